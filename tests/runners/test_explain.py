"""`pipelines explain`: bars on the screen, a file for machines, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from csv import DictReader
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import spending
from commands import pipelines
from pyarrow import csv, parquet
from typer.testing import CliRunner, Result

from models.clv import features
from pipeline.contract import UserError
from runners.cli import app


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    spending.push(folder)
    return folder


@pytest.fixture(scope="module")
def rows(root: Path) -> Path:
    path = root / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in spending.ROWS))
    return path


@pytest.fixture(scope="module")
def explain(root: Path) -> Callable[..., Result]:
    def explain(*arguments: object, model: str = "clv") -> Result:
        typed = ["explain", model, "--root", root, *arguments]
        return CliRunner().invoke(app, list(map(str, typed)), env={"COLUMNS": "160"})

    return explain


def refusal(result: Result) -> str:
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def test_the_first_rows_are_shown_the_greatest_addition_first(explain: Callable[..., Result], rows: Path) -> None:
    shown = explain("--input", rows).output
    assert "Baseline: a customer of whom nothing is known" in shown
    assert "Row 1: customer_id 100, customer_country United Kingdom" in shown
    assert "Row 5" in shown
    assert "Row 6" not in shown
    assert "--output FILE explains them all" in shown
    fifth = shown.split("Row 5")[1].splitlines()
    lines = [line.split() for line in fifth if line.split()[1:2] and line.split()[0] in features.INPUTS]
    assert lines[0][0] == "past_monetary_value"
    assert lines[0][2] == "+120.00"  # 5 days of 24, as they are
    assert lines[0][-1] == "█" * 30
    added = [next(float(word) for word in line if word[0] in "+-") for line in lines]
    assert sorted(added, key=lambda each: -abs(each)) == added
    assert "total_monetary_value" in shown
    assert "approximation error 0." in shown  # 13 inputs have more coalitions than paths pass through.
    assert "-0.00" not in shown


def test_fewer_paths_are_sampled_and_say_how_far_they_may_be_off(explain: Callable[..., Result], rows: Path) -> None:
    shown = explain("--input", rows, "--paths", "6").output
    assert "±" in shown
    assert "approximation error 0." in shown
    assert shown == explain("--input", rows, "--paths", "6", "--seed", "0").output
    assert shown != explain("--input", rows, "--paths", "6", "--seed", "1").output


def test_a_file_of_all_rows_is_in_vertex_ais_form(explain: Callable[..., Result], rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "why.jsonl"
    assert f"Wrote 7 rows to {output}" in explain("--input", rows, "--output", output).output
    assert [path.name for path in tmp_path.iterdir()] == ["why.jsonl"]
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["instance"] for line in lines] == spending.ROWS
    for line in lines:
        (attribution,) = line["explanation"]["attributions"]
        assert line["prediction"][features.TOTAL] == pytest.approx(attribution["instanceOutputValue"], rel=1e-6)
        assert set(line["prediction"]) == set(features.OUTPUTS)
        added = sum(attribution["featureAttributions"].values())
        assert attribution["baselineOutputValue"] + added == pytest.approx(attribution["instanceOutputValue"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_has_a_column_for_each_input(
    explain: Callable[..., Result], rows: Path, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"why{suffix}"
    assert explain("--input", rows, "--output", output).exit_code == 0
    table: list[dict[str, Any]] = (
        list(DictReader(output.open())) if suffix == ".csv" else parquet.read_table(output).to_pylist()
    )
    assert [(int(row["row"]), row["customer_id"]) for row in table] == [(n + 1, str(100 + n)) for n in range(7)]
    for row in table:
        added = sum(float(row[name]) for name in features.INPUTS)
        assert float(row["baseline"]) + added == pytest.approx(float(row[features.TOTAL]))
        assert 0 <= float(row["approximation_error"]) < 0.1


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_are_read_as_lines_of_json_are(
    explain: Callable[..., Result], rows: Path, tmp_path: Path, suffix: str
) -> None:
    source, expected, output = tmp_path / f"rows{suffix}", tmp_path / "expected.csv", tmp_path / "why.csv"
    table = pa.Table.from_pylist(spending.ROWS)
    csv.write_csv(table, source) if suffix == ".csv" else parquet.write_table(table, source)
    explain("--input", rows, "--output", expected)
    assert explain("--input", source, "--output", output).exit_code == 0
    assert output.read_text() == expected.read_text()


def test_files_larger_than_a_block_are_explained_to_their_end(explain: Callable[..., Result], tmp_path: Path) -> None:
    source, output = tmp_path / "rows.csv", tmp_path / "why.parquet"
    csv.write_csv(pa.Table.from_pylist(spending.ROWS * 200), source)
    assert explain("--input", source, "--output", output, "--paths", "4").exit_code == 0
    written = parquet.read_table(output)
    assert written["row"].to_pylist() == list(range(1, 1401))
    assert written[features.TOTAL].to_pylist()[-7:] == pytest.approx(written[features.TOTAL].to_pylist()[:7])


# --- refusals ----------------------------------------------------------------------------------------------


def test_a_model_without_explanations_says_why(tmp_path: Path) -> None:
    answer = pipelines("explain", "colorizer", "--input", "photos.jsonl", cwd=tmp_path)
    assert answer.returncode == 2
    assert "a colour picture is tens of thousands of numbers" in answer.stderr


def test_a_row_that_is_not_as_the_model_wants_it_is_named_and_nothing_is_written(
    explain: Callable[..., Result], tmp_path: Path
) -> None:
    source, output = tmp_path / "rows.jsonl", tmp_path / "why.jsonl"
    bad = spending.ROWS * 200
    bad[1100] = {**bad[1100], "n_purchases": "many"}
    source.write_text("".join(json.dumps(row) + "\n" for row in bad))
    told = refusal(explain("--input", source, "--output", output, "--paths", "4"))
    assert "instances[76].n_purchases" in told
    assert "instance 0 is row 1025" in told
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.jsonl", "{not json\n", "line 1 is no JSON"),
        ("rows.jsonl", "[1, 2]\n", "line 1 is no JSON object"),
        ("rows.jsonl", "\n", "received none"),
        ("rows.csv", "n_purchases\nmany\n", "conversion error"),
        ("rows.csv", "", "Empty CSV file"),
        ("rows.parquet", "no parquet", "rows.parquet"),
        ("rows.xlsx", "", "expected a .jsonl, .csv or .parquet file"),
        ("rows.csv", None, "No such file"),
        ("rows.csv", "customer_id\n7\n", "tenure_days"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_mistake(
    explain: Callable[..., Result], tmp_path: Path, name: str, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert told in refusal(explain("--input", tmp_path / name))


def test_an_output_that_cannot_be_written_is_a_mistake(
    explain: Callable[..., Result], rows: Path, tmp_path: Path
) -> None:
    assert "correct --output" in refusal(explain("--input", rows, "--output", tmp_path / "why.txt"))
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "why.jsonl"
    assert "correct --output" in refusal(explain("--input", rows, "--output", below))
    assert "correct --output" in refusal(explain("--input", rows, "--output", below.with_suffix(".csv")))


def test_what_is_no_input_stays_as_it_is_written(explain: Callable[..., Result], rows: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "rows.csv", tmp_path / "why.jsonl"
    found = [{**json.loads(line), "note": f"00{number}"} for number, line in enumerate(rows.read_text().splitlines())]
    csv.write_csv(pa.Table.from_pylist(found), source)
    explain("--input", source, "--output", output)
    told = [json.loads(line)["instance"]["note"] for line in output.read_text().splitlines()]
    assert told == [row["note"] for row in found]


def test_a_version_that_is_not_there_is_a_mistake(explain: Callable[..., Result], rows: Path) -> None:
    assert "version 5" in refusal(explain("--input", rows, "--model", "5"))
