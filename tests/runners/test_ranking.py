"""From a file of transactions to the list: with a pushed model that answers what a person can compute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from models.clv import MODEL, features
from models.clv.sample import read_csv, write_sample
from models.colorizer import MODEL as COLORIZER
from pipeline.contract import UserError
from pipeline.push import Told, draft, publish
from runners.ranking import ranked, show

AS_OF = date(2024, 12, 31)
HEADER = "InvoiceNo,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
SHOP = """\
1,10,2024-11-01 09:00:00,2.00,ann,United Kingdom
2,1,2024-12-31 23:59:59,3.50,ann,United Kingdom
3,1,2024-12-30,7.00,ann,EIRE
4,1,2024-01-01,5.00,bob,Malta
5,1,2024-10-02,5.00,bob,Malta
6,1,2024-01-01,6.00,cleo,Malta
7,1,2024-10-01,6.00,cleo,Malta
8,1,2024-01-01,1.00,dan,Malta
9,1,2024-04-25,1.00,dan,Malta
10,1,2024-01-01,1.00,eve,Malta
11,1,2024-04-24,1.00,eve,Malta
12,1,2024-04-25,1.00,fay,Malta
13,1,2024-04-24,1.00,gus,Malta
C14,-1,2024-04-24,1.00,hal,Malta
15,1,2024-04-24,1.00,,Malta
"""
"""Days up to the last of 2024: 2024-10-02 is 90 days before it, 2024-04-25 is 250."""
LATER = """\
16,9,2025-01-01 00:00:00,9.00,ann,Malta
17,9,2025-01-02,9.00,ivy,Malta
"""
LIST = [
    # Predicted are 10 for each day of purchase in a country, and 1 more in EIRE; ann's rows predict 20 and 11. Half of
    # that and twice that are the interval, a hundredth the probability.
    ("cleo", "Malta", 12.0, 20.0, 10.0, 40.0, 0.2, 32.0, 1, "cooling", 91, 2),
    ("bob", "Malta", 10.0, 20.0, 10.0, 40.0, 0.2, 30.0, 2, "active", 90, 2),
    ("dan", "Malta", 2.0, 20.0, 10.0, 40.0, 0.2, 22.0, 3, "cooling", 250, 2),
    ("eve", "Malta", 2.0, 20.0, 10.0, 40.0, 0.2, 22.0, 5, "dormant", 251, 2),
    ("ann", "United Kingdom; EIRE", 30.5, 15.5, 7.75, 31.0, 0.155, 46.0, 6, "active", 0, 3),
    ("fay", "Malta", 1.0, 10.0, 5.0, 20.0, 0.1, 11.0, 8, "one purchase only", 250, 1),
    ("gus", "Malta", 1.0, 10.0, 5.0, 20.0, 0.1, 11.0, 9, "dormant", 251, 1),
]

Rank = Callable[..., pa.Table]


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pushed model that predicts 10 for each purchase, and 1 more in EIRE."""
    return push(tmp_path_factory.mktemp("pushed"), features.INPUTS)


def push(folder: Path, inputs: tuple[str, ...], model: str = "clv") -> Path:
    import tensorflow as tf

    def kind(name: str) -> tf.DType:
        return tf.string if name == features.COUNTRY else tf.int64 if name in features.INTEGER_INPUTS else tf.float32

    def answer(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        future = 10 * tf.cast(row["n_purchases"], tf.float32) + tf.cast(row[features.COUNTRY] == "EIRE", tf.float32)
        said = {features.LOW: future / 2, features.HIGH: 2 * future, features.BUYS_AGAIN: future / 100}
        return {features.FUTURE: future, features.TOTAL: row[features.PAST] + future, **said}

    specs = {name: tf.TensorSpec([None], kind(name), name=name) for name in inputs}
    serve = tf.function(answer, input_signature=[specs]).get_concrete_function()
    saved = folder / "model"
    tf.saved_model.save(tf.Module(), str(saved), signatures={"serving_default": serve})
    settings = MODEL.settings().model_dump(mode="json")
    told = Told(model=model, pipeline=f"{model}-main", data_digest="d" * 16, settings=settings, bounds={})
    manifest = draft(told, saved, run="", model_uri="", metrics={})
    return Path(publish(str(folder / "served"), saved, manifest).version.path)


@pytest.fixture
def told() -> list[str]:
    """What a list says of itself."""
    return []


@pytest.fixture
def listed(pushed: Path, tmp_path: Path, told: list[str]) -> Rank:
    """Ranks the text of a file."""

    def listed(text: str, as_of: date = AS_OF, *assignments: str, **other: Any) -> pa.Table:
        path = tmp_path / "shop.csv"
        path.write_text(text)
        called = {"contract": MODEL, "version": pushed, "data": path, "root": tmp_path / "runs", **other}
        return ranked(as_of=as_of, assignments=assignments, tell=told.append, **called)

    return listed


def test_a_list_worked_out_by_hand(listed: Rank, told: list[str]) -> None:
    assert [tuple(row.values()) for row in listed(HEADER + SHOP).to_pylist()] == LIST
    assert told == [
        "Left out by the model's definition: 1 row, no customer id.",
        "Left out by the model's definition: 1 row, cancelled or returned.",
        "Of 8 different customer_id, 7 are listed: 1 only in rows that the model's definition leaves out.",
    ]


def test_what_comes_after_the_day_is_left_out_and_said(listed: Rank, told: list[str]) -> None:
    assert [tuple(row.values()) for row in listed(HEADER + LATER + SHOP).to_pylist()] == LIST
    assert told[0] == "Left out: 2 rows after 2024-12-31, up to 2025-01-02, as if they were not known yet."
    assert told[-1] == (
        "Of 9 different customer_id, 7 are listed: 1 first seen after 2024-12-31; "
        "1 only in rows that the model's definition leaves out."
    )


def test_a_day_after_the_last_row_is_said(listed: Rank, told: list[str]) -> None:
    table = listed(HEADER + SHOP, date(2025, 9, 7))
    assert set(table.column("segment").to_pylist()) == {"cooling", "dormant"}
    assert told[0].startswith("The last row is of 2024-12-31: of the 250 days up to 2025-09-07 nothing is known")


def test_rows_that_do_not_parse_are_counted_and_listed(listed: Rank, told: list[str], tmp_path: Path) -> None:
    text = HEADER + SHOP + "18,many,2024-12-01,1.00,zoe,Malta\n"
    with pytest.raises(UserError, match=r"at most 1.00% .* received 1 of 16 rows that do not parse \(1 x quantity"):
        listed(text)
    assert [tuple(row.values()) for row in listed(text, AS_OF, "max_quarantined_share=0.07").to_pylist()] == LIST
    (quarantine,) = tmp_path.glob("runs/data/*/quarantine.csv")
    assert told[0].startswith("Left out: 1 of 16 rows that do not parse")
    assert told[0].endswith(f"{quarantine}.")
    assert "zoe" in quarantine.read_text()


def test_rows_that_must_not_exist_are_refused(listed: Rank) -> None:
    with pytest.raises(UserError, match=r"no rows with negative price .* received 1, for instance row 17"):
        listed(HEADER + SHOP + "18,1,2024-12-01,-1.00,zoe,Malta\n")


@pytest.mark.parametrize(
    ("rows", "received"),
    [("1,1,2025-01-01,1.00,ann,Malta\n", "the first on 2025-01-01"), ("1,1,2024-01-01,1.00,,Malta\n", "none at all")],
)
def test_a_day_before_which_nothing_is_known_is_refused(listed: Rank, rows: str, received: str) -> None:
    with pytest.raises(UserError, match=f"up to and including 2024-12-31 .* received {received}; the last day is"):
        listed(HEADER + rows)


def test_a_file_may_be_written_otherwise_than_that_of_the_training(listed: Rank) -> None:
    names = HEADER.replace(",", ";").replace("CustomerID", "Kunde")
    text = names + "\n".join(line.replace(",", ";").replace(".", ",") for line in SHOP.splitlines())
    table = listed(text, AS_OF, "separator=semicolon", "decimal=comma", "columns.customer_id=Kunde")
    assert [tuple(row.values()) for row in table.to_pylist()] == LIST


@pytest.mark.parametrize("assignment", ["cutoff=2024-06-01", "horizon_days=30", "training.seed=1"])
def test_settings_of_the_training_are_not_to_be_had_otherwise(listed: Rank, assignment: str) -> None:
    with pytest.raises(UserError, match="settings of data and gates"):
        listed(HEADER + SHOP, AS_OF, assignment)


def test_a_model_without_a_list_is_refused(listed: Rank) -> None:
    with pytest.raises(UserError, match="received colorizer, which has none"):
        listed(HEADER + SHOP, contract=COLORIZER)


def test_a_version_of_another_model_is_refused(listed: Rank, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a pushed version of clv; .* which is one of other"):
        listed(HEADER + SHOP, version=push(tmp_path, features.INPUTS, "other"))


def test_a_version_that_wants_other_features_is_refused(listed: Rank, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of the name height"):
        listed(HEADER + SHOP, version=push(tmp_path, (*features.INPUTS, "height")))


def test_the_past_is_the_sum_of_the_raw_revenues(pushed: Path, tmp_path: Path, told: list[str]) -> None:
    path, day = tmp_path / "sample.csv", date(2011, 7, 1)
    write_sample(path, customers=1200)
    table = ranked(MODEL, pushed, path, day, tmp_path / "runs", tell=told.append)
    header, *lines = read_csv(path)
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        row = dict(zip(header, line, strict=True))
        if row["CustomerID"] and int(row["Quantity"]) > 0 and row["InvoiceDate"][:10] <= str(day):
            spent[row["CustomerID"]] += int(row["Quantity"]) * Decimal(row["UnitPrice"])
    past = dict(zip(table.column("customer").to_pylist(), table.column("past").to_pylist(), strict=True))
    assert past == {customer: float(money) for customer, money in spent.items()}
    assert len(past) > 500
    assert any("; " in countries for countries in table.column("countries").to_pylist())


def test_the_first_page_shows_the_top_and_counts_the_segments(listed: Rank) -> None:
    out = StringIO()
    show(listed(HEADER + SHOP), Console(file=out, width=100))
    lines = [line.split() for line in out.getvalue().splitlines() if line.strip()]
    assert "the first 7 of 7" in out.getvalue()
    assert ["cleo", "Malta", "12", "20", "10", "40", "0.20", "32", "1", "cooling", "91", "2"] in lines
    assert lines[-4:] == [["active", "2"], ["cooling", "2"], ["dormant", "2"], ["one", "purchase", "only", "1"]]


def test_a_narrow_page_cuts_no_number_and_no_customer(listed: Rank) -> None:
    out = StringIO()
    text = HEADER + "".join(f"{n},1000,2024-12-01,{n}.00,customer {n:05},United Kingdom\n" for n in range(100, 112))
    show(listed(text), Console(file=out, width=80))
    shown = [line.split() for line in out.getvalue().splitlines() if "customer 00" in line]
    assert len(shown) == 10
    assert shown[0][1] == "00111"
    assert {"111,000", "111,010", "0.10"} < set(shown[0])
    assert "too wide to be shown: segment, days_since_last_purchase, purchases" in " ".join(out.getvalue().split())
