"""Raw files of every format, well-formed and not."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from pipeline.contract import FeatureSettings, Query, UserError
from pipeline.ingestion.raw import RawTable, ask, export_features, feature_table, load_raw

HEADER = "Day,Amount,Price,Who\n"
GOOD = HEADER + "2024-01-01 10:00:00,3,1.5,17850.0\n2024-02-01,4,2.5,\n"
ROWS = [(datetime(2024, 1, 1, 10), 3, 1.5, "17850.0"), (datetime(2024, 2, 1), 4, 2.5, None)]


class Settings(FeatureSettings):
    """Feature settings of the tiny query."""

    until: date = date(2024, 3, 1)
    least: int = 0


def written(path: Path, text: str) -> Path:
    """Writes a text file, packed if its name says so."""
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def rows(raw: RawTable) -> list[tuple[object, ...]]:
    """All rows of a raw table, by day."""
    found: list[tuple[object, ...]] = duckdb.sql(f"SELECT * FROM '{raw.parquet}' ORDER BY day").fetchall()
    return found


def quarantine(raw: RawTable) -> list[dict[str, str]]:
    """Rows of the quarantine file."""
    with (raw.parquet.parent / "quarantine.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def load(tmp_path: Path, query: Query) -> Callable[..., RawTable]:
    """Returns a function that writes a csv text to a file and loads it."""

    def load_text(text: str, name: str = "sales.csv") -> RawTable:
        return load_raw(written(tmp_path / name, text), query, tmp_path / "raw")

    return load_text


@pytest.mark.parametrize("name", ["sales.csv", "sales.csv.gz", "SALES.CSV"])
def test_csv(load: Callable[..., RawTable], name: str) -> None:
    raw = load(GOOD, name)

    assert rows(raw) == ROWS
    assert (raw.report.source, raw.report.rows_read, raw.report.rows_usable) == (name, 2, 2)
    assert raw.report.quarantined == 0
    assert raw.report.left_out == {"nobody": 1}
    assert json.loads((raw.parquet.parent / "report.json").read_text())["forbidden"]["negative price"]["rows"] == 0


def test_csv_with_byte_order_mark_windows_lines_quotes_and_other_columns(load: Callable[..., RawTable]) -> None:
    raw = load('\ufeffPrice,Note,Who,Day,Note,Amount\r\n1.5,"a, ""b""\nc",17850.0,2024-01-01 10:00:00,,3\r\n')
    assert rows(raw) == ROWS[:1]


def test_xlsx_with_date_cells_numeric_ids_and_mixed_cells(tmp_path: Path, query: Query) -> None:
    with xlsxwriter.Workbook(tmp_path / "sales.xlsx") as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["Who", "Day", "Amount", "Price"])
        for row, who in enumerate([17850, "C5", None], start=1):
            sheet.write(row, 0, who)
            sheet.write_datetime(row, 1, datetime(2024, row, 1, 8, 26), book.add_format({"num_format": "m/d/yy h:mm"}))
            sheet.write_row(row, 2, [row, 2.55])
    raw = load_raw(tmp_path / "sales.xlsx", query, tmp_path / "raw")

    assert rows(raw) == [
        (datetime(2024, month, 1, 8, 26), month, 2.55, who) for month, who in [(1, "17850"), (2, "C5"), (3, None)]
    ]


def test_parquet_with_integer_ids_and_whole_floats(tmp_path: Path, query: Query) -> None:
    table = pa.table(
        {
            "Who": pa.array([17850, None], pa.int64()),
            "Day": pa.array([datetime(2024, 1, 1, 10), datetime(2024, 2, 1)], pa.timestamp("ms")),
            "Amount": pa.array([3.0, 4.5]),
            "Price": ["1.5", "2.5"],
        }
    )
    pq.write_table(table, tmp_path / "sales.parquet")
    raw = load_raw(tmp_path / "sales.parquet", query, tmp_path / "raw")

    assert rows(raw) == [(datetime(2024, 1, 1, 10), 3, 1.5, "17850")]
    assert [(row["row"], row["reason"]) for row in quarantine(raw)] == [
        ("2", "amount: expected integer, received '4.5'")
    ]


def test_rows_that_do_not_parse_are_quarantined_with_reason_and_text(load: Callable[..., RawTable]) -> None:
    raw = load(
        GOOD
        + "2024-03-01,abc,1,x\n"
        + "2024-03-01,6.5,1,x\n"
        + "2024-03-01,1,nan,x\n"
        + "infinity,1,1,x\n"
        + "2024-03-01,,1,x\n"
        + "2024-13-01,1,1,x\n"
    )

    assert [(int(row["row"]), row["reason"]) for row in quarantine(raw)] == [
        (4, "amount: expected integer, received 'abc'"),
        (5, "amount: expected integer, received '6.5'"),
        (6, "price: expected float, received 'nan'"),
        (7, "day: expected timestamp, received 'infinity'"),
        (8, "amount: expected a value, received nothing"),
        (9, "day: expected timestamp, received '2024-13-01'"),
    ]
    assert json.loads(quarantine(raw)[0]["text"]) == {"Day": "2024-03-01", "Amount": "abc", "Price": "1", "Who": "x"}
    assert raw.report.quarantined_by_reason == {
        "amount: expected integer": 2,
        "day: expected timestamp": 2,
        "amount: expected a value": 1,
        "price: expected float": 1,
    }
    assert (raw.report.rows_read, raw.report.rows_usable, raw.report.quarantined) == (8, 2, 6)


def test_malformed_lines_are_quarantined_and_rows_keep_their_numbers(load: Callable[..., RawTable]) -> None:
    raw = load(
        HEADER
        + "2024-01-01,1\n"
        + "2024-01-01,1,1,x,y\n"
        + "2024-01-01 10:00:00,3,1.5,17850.0\n"
        + '2024-01-01,"un"q,1,x\n'
        + "2024-03-01,abc,1,x\n"
    )

    assert rows(raw) == ROWS[:1]
    assert [(row["row"], row["reason"].partition(",")[0], row["text"][:12]) for row in quarantine(raw)] == [
        ("2", "line: missing columns", "2024-01-01,1"),
        ("3", "line: too many columns", "2024-01-01,1"),
        ("5", "line: unquoted value", '2024-01-01,"'),
        ("6", "amount: expected integer", '{"Day":"2024'),
    ]
    assert raw.report.rows_read == 5


def test_text_that_is_not_utf8_is_quarantined(tmp_path: Path, query: Query) -> None:
    (tmp_path / "sales.csv").write_bytes(GOOD.encode() + b"2024-01-01,1,1,Caf\xe9\n")
    raw = load_raw(tmp_path / "sales.csv", query, tmp_path / "raw")
    assert [row["reason"].partition(",")[0] for row in quarantine(raw)] == ["line: invalid encoding"]


def test_forbidden_rows_are_counted_and_shown(load: Callable[..., RawTable]) -> None:
    raw = load(GOOD + "2024-03-01,1,-2,x\n" * 5)

    found = raw.report.forbidden["negative price"]
    assert (found.rows, len(found.examples)) == (5, 3)
    assert found.examples[0].startswith('row 4: {"Day":"2024-03-01","Amount":"1","Price":"-2"')
    assert raw.report.rows_usable == 7


def test_a_second_load_reuses_the_first(load: Callable[..., RawTable]) -> None:
    first = load(GOOD)
    inode = first.parquet.stat().st_ino
    second = load(GOOD, "same.csv")

    assert (second.parquet, second.digest) == (first.parquet, first.digest)
    assert second.parquet.stat().st_ino == inode
    assert second.report.source == "same.csv"


def test_the_digest_follows_content_and_conditions(tmp_path: Path, query: Query, load: Callable[..., RawTable]) -> None:
    first, other = load(GOOD), load(GOOD + "2024-03-01,1,1,x\n")
    relaxed = load_raw(written(tmp_path / "s.csv", GOOD), query.model_copy(update={"left_out": ()}), tmp_path / "raw")
    assert len({first.digest, other.digest, relaxed.digest}) == 3


def test_a_failed_load_leaves_nothing_behind(tmp_path: Path, load: Callable[..., RawTable]) -> None:
    with pytest.raises(UserError):
        load(HEADER)
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "received an empty file"),
        (HEADER, "received a header and nothing below it"),
        (GOOD.replace("Amount", "Amounts"), "expected one column 'Amount' .*rename 'Amounts' to 'Amount'"),
        (
            GOOD.replace("Amount", "Zzz"),
            "received 0 of that name among 'Day', 'Zzz', .*say what the file calls it with --set columns\\.amount=NAME",
        ),
        (GOOD.replace("Price", "Day"), "expected one column 'Day' .* received 2 of that name"),
        (HEADER + "1/2/24,1,1,x\n", "none of which parses; row 2: day: expected timestamp, received '1/2/24'"),
    ],
)
@pytest.mark.parametrize("name", ["sales.csv", "sales.csv.gz"])
def test_csv_that_is_refused(load: Callable[..., RawTable], name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(text, name)


def test_a_truncated_gzip_file_is_refused(tmp_path: Path, query: Query) -> None:
    packed = gzip.compress(GOOD.encode() * 1000)
    (tmp_path / "sales.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(
        UserError, match=r"expected a readable .csv.gz file; received sales.csv.gz: Compressed file ended"
    ):
        load_raw(tmp_path / "sales.csv.gz", query, tmp_path / "raw")


@pytest.mark.parametrize("suffix", [".csv.gz", ".parquet", ".xlsx"])
def test_a_damaged_file_is_refused(tmp_path: Path, query: Query, suffix: str) -> None:
    path = tmp_path / f"sales{suffix}"
    path.write_bytes(b"neither one nor the other")
    with pytest.raises(UserError, match=f"expected a readable {suffix} file; received sales{suffix}: "):
        load_raw(path, query, tmp_path / "raw")


def test_missing_files_and_unknown_formats_are_refused(tmp_path: Path, query: Query) -> None:
    (tmp_path / "sales.ods").touch()
    for name, message in [
        ("no.csv", "which is not there"),
        ("", r"ends in .*; received sales\.ods"),
        ("sales.ods", r"ends in \.csv\.gz, \.csv, .*\.db; received sales\.ods"),
    ]:
        with pytest.raises(UserError, match=message):
            load_raw(tmp_path / name, query, tmp_path / "raw")


def test_ask_answers_bigquery_questions(load: Callable[..., RawTable], query: Query) -> None:
    answer = ask(load(GOOD), query)("SELECT DATE(MAX(day)), COUNTIF(who IS NULL) FROM sales")
    assert answer == (date(2024, 2, 1), 1)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_export_writes_the_feature_table(
    tmp_path: Path, load: Callable[..., RawTable], query: Query, suffix: str
) -> None:
    raw = load(GOOD + "2024-02-02,1,0.5,a\n")
    out = tmp_path / "new" / f"table{suffix}"

    assert export_features(raw, query, Settings(), out) == 3
    expected = [("17850.0", 3, 1.5, "a"), ("a", 1, 0.5, "a"), (None, 4, 2.5, "a")]
    assert duckdb.sql(f"SELECT * FROM '{out}'").fetchall() == expected
    assert [tuple(row.values()) for row in feature_table(raw, query, Settings()).to_pylist()] == expected


def test_export_refuses_other_formats_and_unwritable_places(
    tmp_path: Path, load: Callable[..., RawTable], query: Query
) -> None:
    raw = load(GOOD)
    with pytest.raises(UserError, match=r"expected an output file \.parquet or \.csv; received table\.xls"):
        export_features(raw, query, Settings(), tmp_path / "table.xls")
    with pytest.raises(UserError, match="expected a writable place"):
        export_features(raw, query, Settings(), tmp_path / "sales.csv" / "table.csv")
