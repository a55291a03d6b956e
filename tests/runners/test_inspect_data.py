"""What the doctor says about files of raw data, and what it asks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from models.clv import MODEL
from models.clv.european import write_european
from models.clv.sample import write_sample
from pipeline.settings import read_assignments
from runners.doctor import Finding, all_ok
from runners.inspect_data import inspect

SHOP = "Order ID,Units,When,Price,Client,Country\n"


def look(path: Path, *assignments: str) -> list[Finding]:
    typed = [word for pair in assignments for word in ("--set", pair)]
    layer: Mapping[str, Any] = read_assignments(MODEL, assignments)
    return inspect(MODEL, path, (layer,), typed)


def problems(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.todo for finding in findings if finding.status == "problem"}


def said(findings: list[Finding], name: str) -> str:
    return "; ".join(finding.message for finding in findings if finding.name == name)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "shop.csv"
    write_sample(path, customers=300)
    return path


def test_a_file_in_the_models_own_terms_needs_nothing(sample: Path) -> None:
    found = look(sample)
    assert all_ok(found)
    assert said(found, "command") == f"pipelines run clv --data {sample}"
    assert said(found, "cutoff").startswith("auto comes to 2011-09-")
    assert said(found, "span of dates").startswith("2010-12-")


def test_what_it_proposes_is_all_that_is_needed(sample: Path, tmp_path: Path) -> None:
    write_european(sample, tmp_path / "umsatz.csv")
    found = look(tmp_path / "umsatz.csv")
    proposed = problems(found)
    assert proposed["dates"] == "--set 'date_format=%d.%m.%Y %H:%M'"
    again = look(tmp_path / "umsatz.csv", *(todo.removeprefix("--set ").strip("'") for todo in proposed.values()))
    assert all_ok(again)
    assert said(again, "rows") == said(found, "rows")
    assert sorted(said(again, "command").split()) == sorted(said(found, "command").split())


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        ("03/04/2011,2.50", "05/06/2012,1.25", {"dates": "--set date_format=%d/%m/%Y or --set date_format=%m/%d/%Y"}),
        ("13/04/2010,2.50", "05/06/2012,1.25", {}),
        ("2010-04-03,2.500", "2012-04-03,1.125", {"numbers": "=point --set thousands=none or --set decimal=comma"}),
        ("2010-04-03,2.500", "2012-04-03,1.1", {}),
    ],
)
def test_what_can_be_read_in_two_ways_is_asked(tmp_path: Path, first: str, second: str, asked: dict[str, str]) -> None:
    header = SHOP.replace("Client", "CustomerID").replace("When", "InvoiceDate")
    rows = "".join(f"{number},1,{cells},c{number},UK\n" for number, cells in enumerate([first, second] * 3))
    (tmp_path / "shop.csv").write_text(header + rows)
    found = look(tmp_path / "shop.csv")
    questions = {finding.name: finding for finding in found if "several ways" in finding.message}
    assert questions.keys() == asked.keys()
    for name, options in asked.items():
        assert options in questions[name].todo
        assert not said(found, "command")
        assert not said(found, "rows")


def test_an_answer_settles_what_was_asked(tmp_path: Path) -> None:
    rows = "".join(f"{n},1,03/04/201{n % 2},2.5,c{n},UK\n" for n in range(6))
    (tmp_path / "shop.csv").write_text(SHOP.replace("When", "InvoiceDate") + rows)
    found = look(tmp_path / "shop.csv", "date_format=%m/%d/%Y")
    assert said(found, "span of dates") == "2010-03-04 00:00:00 to 2011-03-04 00:00:00"


def test_a_column_without_a_likely_name_is_asked_for_and_one_that_may_lack_is_not(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("order no,pieces,xyz,price,No\n1,2,2010-01-01,3,4\n2,2,2011-01-01,3,4\n")
    asked = problems(look(tmp_path / "shop.csv"))
    assert asked["invoice"] == "--set 'columns.invoice=order no'"
    assert asked["country"] == "--set columns.country=null"
    assert asked["date"].startswith("--set columns.date=NAME, where")
    answered = look(tmp_path / "shop.csv", "columns.date=xyz", 'columns.customer_id="No"')
    assert "--set columns.country=null" in said(answered, "command")
    assert said(answered, "customer_id") == "No"


def test_a_name_that_the_file_does_not_have_is_a_problem(sample: Path) -> None:
    found = look(sample, "columns.quantity=Quantities")
    assert problems(found)["quantity"].startswith("--set columns.quantity=NAME")
    assert said(found, "quantity") == "0 columns 'Quantities'"


def test_unusable_and_forbidden_rows_are_problems_that_it_foresees(sample: Path, tmp_path: Path) -> None:
    lines = sample.read_text().splitlines()
    bad = [line.replace(",", ",x", 3) for line in lines[1 : len(lines) // 20] if '"' not in line]
    (tmp_path / "shop.csv").write_text("\n".join([*lines, *bad, "1,a,b,3,2011-01-01,-2,9,UK"]))
    found = look(tmp_path / "shop.csv")
    assert "at most 1% of all rows may be" in problems(found)["quarantined"]
    assert said(found, "quarantined").startswith(
        f"rows with quantity: expected integer: {len(bad):,}; for instance row "
    )
    assert said(found, "refused by the data gate").startswith("rows with negative price: 1; row ")


def test_data_that_are_too_short_are_a_problem(tmp_path: Path) -> None:
    rows = "".join(f"{day},1,2011-01-{day:02} 10:00,2.5,c{day},UK\n" for day in range(1, 30))
    header = SHOP.replace("When", "InvoiceDate").replace("Client", "CustomerID")
    (tmp_path / "shop.csv").write_text(header + rows)
    found = look(tmp_path / "shop.csv")
    assert "bring more than 91 days of transactions" in problems(found)["data"]
    assert said(look(tmp_path / "shop.csv", "horizon_days=10"), "cutoff") == "auto comes to 2011-01-20"


def test_months_that_overlap_or_lack_are_seen(tmp_path: Path) -> None:
    header = SHOP.replace("When", "InvoiceDate").replace("Client", "CustomerID")
    spans = {"1.csv": ("01-01", "01-31"), "2.csv": ("01-30", "02-28"), "4.csv": ("04-01", "04-30")}
    for name, days in spans.items():
        (tmp_path / name).write_text(header + "".join(f"1,1,2011-{day} 10:00,2.5,c,UK\n" for day in days))
    warnings = [finding.message for finding in look(tmp_path) if finding.status == "warning"]
    assert warnings == ["2.csv begins before 1.csv ends", "32 days between 2.csv and 4.csv"]


def test_a_database_is_asked_for_its_table(sample: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(f"CREATE TABLE sales AS SELECT * FROM '{sample}'")
        connection.execute("CREATE TABLE notes AS SELECT 1 AS a")
    found = look(tmp_path / "shop.duckdb")
    assert problems(found) == {"data": "say which table with --set table=NAME"}
    assert "'notes', 'sales'" in said(found, "data")
    assert all_ok(look(tmp_path / "shop.duckdb", "table=sales"))


def test_what_is_no_table_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "half.csv").write_bytes("a;ü\n".encode("utf-16")[:-1])
    for name in ("no.csv", "empty.csv", "half.csv"):
        assert not all_ok(look(tmp_path / name))


def test_it_needs_no_tensorflow_and_leaves_nothing_behind(sample: Path, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from runners.cli import app
        try:
            app(["doctor", "--data", sys.argv[1]])
        except SystemExit as end:
            print(end.code, sorted({"tensorflow", "tfx", "apache_beam"} & set(sys.modules)))
    """)
    command = [sys.executable, "-c", program, str(sample)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert list(tmp_path.iterdir()) == []
