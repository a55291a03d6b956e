"""Tables as other programs write them: names, encodings, separators, notations, databases, folders of months."""

from __future__ import annotations

import csv
import gzip
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from pipeline.contract import Query, TableSettings, UserError
from pipeline.ingestion.raw import RawTable, load_raw

GERMAN = TableSettings(
    columns={"day": "Datum", "amount": "Menge", "price": "Preis", "who": "Kundin"},
    separator="semicolon",
    decimal="comma",
    thousands="point",
    date_format="%d.%m.%Y %H:%M",
)
TEXT = 'Kundin;Menge;Preis;"Datum"\nMüller;1.200;1.234,56;03.04.2011 08:26\nŁoś;-3;,5;2011-04-13 23:59:58\n'
ROWS = [
    (datetime(2011, 4, 3, 8, 26), 1200, 1234.56, "Müller"),
    (datetime(2011, 4, 13, 23, 59, 58), -3, 0.5, "Łoś"),
]
ISO_ROWS = [(datetime(2011, 4, 3, 8, 26), 1200, 2.555, "Müller"), (datetime(2011, 4, 13), -3, 0.5, None)]


@pytest.fixture
def load(tmp_path: Path, query: Query) -> Callable[..., RawTable]:
    """Returns a function that loads a file with settings, those of GERMAN first."""

    def load_with(name: str, settings: TableSettings = GERMAN, **changes: Any) -> RawTable:
        changed = TableSettings.model_validate({**settings.model_dump(), **changes})
        return load_raw(tmp_path / name, query, tmp_path / "raw", changed)

    return load_with


def rows(raw: RawTable) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = duckdb.sql(f"SELECT * FROM '{raw.parquet}' ORDER BY day, price").fetchall()
    return found


def quarantine(raw: RawTable) -> list[tuple[str, str, str]]:
    with raw.quarantine.open(newline="") as file:
        return [(row["file"], row["row"], row["reason"]) for row in csv.DictReader(file)]


# --- text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1250", "iso8859-2"])
@pytest.mark.parametrize("name", ["sales.csv", "sales.txt.gz"])
def test_encodings(load: Callable[..., RawTable], tmp_path: Path, encoding: str, name: str) -> None:
    data = TEXT.encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert rows(load(name, encoding=encoding)) == ROWS


@pytest.mark.parametrize(
    ("name", "separator", "sign"),
    [
        ("s.csv", "comma", ","),
        ("s.csv", "tab", "\t"),
        ("s.csv", "pipe", "|"),
        ("s.tsv", None, "\t"),
        ("s.txt", None, ","),
    ],
)
def test_separators(load: Callable[..., RawTable], tmp_path: Path, name: str, separator: str | None, sign: str) -> None:
    lines = [("Kundin", "Menge", "Preis", "Datum"), ("a;b", "1", '"2,5"', "3.4.2011 8:26")]
    (tmp_path / name).write_text("\n".join(sign.join(line) for line in lines))
    assert rows(load(name, separator=separator)) == [(datetime(2011, 4, 3, 8, 26), 1, 2.5, "a;b")]


def test_a_byte_order_mark_overrules_a_wrong_setting(load: Callable[..., RawTable], tmp_path: Path) -> None:
    for told, real in [("utf-8", "utf-16"), ("cp1252", "utf-8-sig"), ("utf-8", "utf-32")]:
        (tmp_path / "sales.csv").write_bytes(TEXT.encode(real))
        with pytest.raises(UserError, match=f"byte order mark says {real.removesuffix('-sig')}; --set encoding="):
            load("sales.csv", encoding=told)


def test_a_byte_that_the_encoding_does_not_have_costs_one_line(load: Callable[..., RawTable], tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_bytes(TEXT.replace("Ł", "\x81").encode("latin-1", "replace"))
    raw = load("sales.csv", encoding="cp1252")
    assert rows(raw) == ROWS[:1]
    assert [(row, reason.partition(",")[0]) for _, row, reason in quarantine(raw)] == [("3", "line: invalid encoding")]


def test_a_file_that_ends_within_a_character_is_refused(load: Callable[..., RawTable], tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_bytes(TEXT.encode("utf-16")[:-1])
    with pytest.raises(UserError, match=r"expected a readable .csv file; received sales.csv: .*truncated data"):
        load("sales.csv", encoding="utf-16")


# --- numbers and dates -----------------------------------------------------------------------------------

POINT = {"1234.5": 1234.5, "1e3": 1000.0, ".5": 0.5, "1,234.5": None, "1,5": None, "nan": None, "0x10": None}
COMMA = {"1234,5": 1234.5, ",5": 0.5, "5,": 5.0, "1.234,5": None, "1.234": None, "1,2,3": None}
COMMA_POINT = {
    "1.234,5": 1234.5,
    "1.234": 1234.0,
    "1234": 1234.0,
    "1.234.567": 1234567.0,
    "12.34": None,
    "1.23,4": None,
}
SPACE = {"1 234,5": 1234.5, "1\u00a0234": 1234.0, "1\u202f234,5": 1234.5, "1 23": None}
APOSTROPHE = {"1'234.5": 1234.5, "1\u2019234.5": 1234.5, "1''234": None}


@pytest.mark.parametrize(
    ("decimal", "thousands", "cells"),
    [
        ("point", "none", POINT),
        ("comma", "none", COMMA),
        ("comma", "point", COMMA_POINT),
        ("comma", "space", SPACE),
        ("point", "apostrophe", APOSTROPHE),
    ],
)
def test_numbers_are_read_as_told_or_not_at_all(
    load: Callable[..., RawTable], tmp_path: Path, decimal: str, thousands: str, cells: dict[str, float | None]
) -> None:
    lines = "".join(f"{number};1;{cell};2011-04-03\n" for number, cell in enumerate(cells))
    (tmp_path / "sales.csv").write_text(f"Kundin;Menge;Preis;Datum\n{lines}")
    raw = load("sales.csv", decimal=decimal, thousands=thousands)
    found = {str(who): price for _, _, price, who in rows(raw)}
    assert {cell: found.get(str(number)) for number, cell in enumerate(cells)} == cells
    assert raw.report.quarantined == list(cells.values()).count(None)


@pytest.mark.parametrize(("cell", "value"), [("1.200", 1200), ("6,00", 6), ("-3", -3), ("6,5", None), ("1.20", None)])
def test_whole_numbers(load: Callable[..., RawTable], tmp_path: Path, cell: str, value: int | None) -> None:
    (tmp_path / "sales.csv").write_text(f"{TEXT}x;{cell};1;2011-05-01\n")
    assert [row[1] for row in rows(load("sales.csv")) if row[3] == "x"] == ([] if value is None else [value])


@pytest.mark.parametrize(
    ("form", "cell", "value"),
    [
        ("%d/%m/%Y", "03/04/2011", datetime(2011, 4, 3)),
        ("%m/%d/%Y", "03/04/2011", datetime(2011, 3, 4)),
        ("%m/%d/%y %I:%M %p", "3/4/11 1:05 pm", datetime(2011, 3, 4, 13, 5)),
        ("%d-%b-%Y", "03-Apr-2011", datetime(2011, 4, 3)),
        ("%d.%m.%Y", "2011-04-03 08:26", datetime(2011, 4, 3, 8, 26)),
        ("%d/%m/%Y", "03/04/11", None),
        ("%d/%m/%Y", "31/02/2011", None),
        ("%d/%m/%Y", "13/13/2011", None),
        ("%d/%m/%Y", "03/04/2011 08:26", None),
        ("%d.%m.%Y", "03-04-2011", None),
        ("iso", "03.04.2011", None),
    ],
)
def test_dates_are_read_as_told_or_not_at_all(
    load: Callable[..., RawTable], tmp_path: Path, form: str, cell: str, value: datetime | None
) -> None:
    (tmp_path / "sales.csv").write_text(f"Kundin;Menge;Preis;Datum\nx;1;1;{cell}\ny;1;1;2020-01-01\n")
    raw = load("sales.csv", date_format=form)
    assert [row[0] for row in rows(raw) if row[3] == "x"] == ([value] if value else [])
    assert raw.report.quarantined == (value is None)


# --- names of columns ------------------------------------------------------------------------------------


def test_a_file_may_do_without_a_column_only_where_the_model_can(tmp_path: Path, query: Query) -> None:
    (tmp_path / "sales.csv").write_text("Amount,Price,Day\n1,2,2011-04-03\n")
    spared = [
        column.model_copy(update={"absent": "nobody"}) if column.name == "who" else column for column in query.columns
    ]
    relaxed = query.model_copy(update={"columns": tuple(spared)})
    settings = TableSettings(columns={"who": None})
    assert rows(load_raw(tmp_path / "sales.csv", relaxed, tmp_path / "raw", settings))[0][3] == "nobody"
    with pytest.raises(UserError, match="a column of the file for who, which cannot be done without"):
        load_raw(tmp_path / "sales.csv", query, tmp_path / "raw", settings)
    with pytest.raises(UserError, match="expected one column 'Who'"):
        load_raw(tmp_path / "sales.csv", relaxed, tmp_path / "raw")


def test_two_columns_of_the_model_may_be_one_of_the_file(load: Callable[..., RawTable], tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("Menge;Datum\n7;2011-04-03\n")
    raw = load("sales.csv", columns={"day": "Datum", "amount": "Menge", "price": "Menge", "who": "Menge"})
    assert rows(raw) == [(datetime(2011, 4, 3), 7, 7.0, "7")]


def test_the_table_is_addressed_by_how_it_was_read(load: Callable[..., RawTable], tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(TEXT)
    assert load("sales.csv").digest == load("sales.csv", currency="EUR", line="shop").digest
    assert load("sales.csv").digest != load("sales.csv", date_format="%m.%d.%Y %H:%M").digest
    assert load("sales.csv").digest != load("sales.csv", columns={**GERMAN.columns, "price": "Menge"}).digest


# --- databases, parquet and workbooks --------------------------------------------------------------------

TYPED = pa.table(
    {
        "Datum": pa.array([datetime(2011, 4, 3, 8, 26), datetime(2011, 4, 13)], pa.timestamp("us")),
        "Menge": pa.array([1200, -3], pa.int64()),
        "Preis": pa.array([2.555, 0.5]),
        "Kundin": ["Müller", None],
        "Notiz": ["x", "y"],
    }
)
"""A price of 2.555 is not 2,555, though points stand between the thousands of this shop's texts."""


def make_duckdb(path: Path, *tables: str) -> Path:
    pq.write_table(TYPED, path.with_suffix(".parquet"))
    with duckdb.connect(str(path)) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE \"{table}\" AS SELECT * FROM '{path.with_suffix('.parquet')}'")
    return path


def make_sqlite(path: Path, *tables: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        for table in tables:
            connection.execute(f'CREATE TABLE "{table}" (Datum TEXT, Menge, Preis, Kundin TEXT)')
            values = [("2011-04-03 08:26:00", "1.200", 2.555, "Müller"), ("13.04.2011 00:00", -3, ",5", None)]
            connection.executemany(f'INSERT INTO "{table}" VALUES (?, ?, ?, ?)', values)
        connection.commit()
    return path


@pytest.mark.parametrize("make", [make_duckdb, make_sqlite])
@pytest.mark.parametrize("name", ["shop.db", "shop.duckdb", "shop.sqlite"])
def test_databases_of_whatever_ending(
    load: Callable[..., RawTable], tmp_path: Path, make: Callable[..., Path], name: str
) -> None:
    make(tmp_path / name, "sales")
    assert rows(load(name)) == ISO_ROWS


@pytest.mark.parametrize("make", [make_duckdb, make_sqlite])
def test_which_table_is_a_setting(load: Callable[..., RawTable], tmp_path: Path, make: Callable[..., Path]) -> None:
    make(tmp_path / "shop.db", "sales 2011", "returns")
    assert rows(load("shop.db", table="sales 2011")) == ISO_ROWS
    with pytest.raises(
        UserError, match=r"one table in shop.db; received 2: 'returns', 'sales 2011'; .*--set table=NAME"
    ):
        load("shop.db")
    with pytest.raises(UserError, match="did you mean --set table=sales 2011"):
        load("shop.db", table="sales2011")


def test_a_view_that_reads_other_files_is_no_table(load: Callable[..., RawTable], tmp_path: Path) -> None:
    path = make_duckdb(tmp_path / "shop.duckdb", "sales")
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE VIEW elsewhere AS SELECT * FROM '{tmp_path / 'shop.parquet'}'")
    with pytest.raises(UserError, match="received 1: 'sales'"):
        load("shop.duckdb", table="elsewhere")


@pytest.mark.parametrize("make", [make_duckdb, make_sqlite])
def test_damaged_databases_are_refused(
    load: Callable[..., RawTable], tmp_path: Path, make: Callable[..., Path]
) -> None:
    path = make(tmp_path / "shop.db", "sales", "more")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"expected a readable \.db file"):
        load("shop.db", table="sales")


def test_a_database_that_is_being_written_is_refused(load: Callable[..., RawTable], tmp_path: Path) -> None:
    path = make_sqlite(tmp_path / "shop.db", "sales")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("DELETE FROM sales")
        connection.commit()
        with pytest.raises(UserError, match=r"received shop.db-wal beside it, with changes that are not yet in it"):
            load("shop.db")


def test_numbers_of_a_parquet_file_are_numbers_whatever_its_texts_are(
    load: Callable[..., RawTable], tmp_path: Path
) -> None:
    pq.write_table(TYPED, tmp_path / "sales.parquet")
    assert rows(load("sales.parquet")) == ISO_ROWS


def workbook(path: Path, cells: list[list[Any]], sheets: tuple[str, ...] = ("Verkauf",)) -> None:
    with xlsxwriter.Workbook(path) as book:
        for sheet in map(book.add_worksheet, sheets):
            sheet.write_row(0, 0, ["Kundin", "Menge", "Preis", "Datum"])
            for number, row in enumerate(cells, start=1):
                sheet.write_row(number, 0, row)


def test_numbers_of_a_workbook_are_numbers_whatever_its_texts_are(
    load: Callable[..., RawTable], tmp_path: Path
) -> None:
    workbook(tmp_path / "s.xlsx", [["Müller", "1.200", 2.555, "03.04.2011 08:26"], [None, "-3", 0.5, "2011-04-13"]])
    assert rows(load("s.xlsx")) == ISO_ROWS


def test_a_column_of_numbers_and_texts_is_refused_where_it_can_mean_two_things(
    load: Callable[..., RawTable], tmp_path: Path
) -> None:
    workbook(tmp_path / "s.xlsx", [["a", 1, 2.555, "2011-04-03"], ["b", 1, "2.555", "2011-04-03"]])
    with pytest.raises(UserError, match=r"columns of s.xlsx that hold either numbers or text with decimal commas"):
        load("s.xlsx")
    assert len(rows(load("s.xlsx", decimal="point", thousands="none"))) == 2


def test_which_sheet_is_a_setting(load: Callable[..., RawTable], tmp_path: Path) -> None:
    workbook(tmp_path / "s.xlsx", [["a", 1, 2, "2011-04-03"]], sheets=("2010", "2011"))
    assert len(rows(load("s.xlsx", table="2011"))) == 1
    with pytest.raises(UserError, match=r"expected one sheet in s.xlsx; received 2: '2010', '2011'"):
        load("s.xlsx")


# --- folders of months -----------------------------------------------------------------------------------


@pytest.fixture
def months(tmp_path: Path) -> Path:
    """Three months, whose columns stand in different orders; rows that do not parse in the second and third."""
    folder = tmp_path / "months"
    folder.mkdir()
    (folder / "2011-01.csv").write_text("Kundin;Menge;Preis;Datum\na;1;1,5;05.01.2011 10:00\n")
    (folder / "2011-02.csv").write_text(
        "Datum;Preis;Menge;Kundin\n05.02.2011 10:00;2,5;zwei;b\n06.02.2011 10:00;2,5;2;b\n"
    )
    (folder / "2011-03.tsv").write_text("Datum\tPreis\tMenge\tKundin\nzu kurz\n05.03.2011 10:00\t3,5\t3\tc\n")
    (folder / ".DS_Store").write_text("hidden")
    return folder


def test_a_folder_of_months_is_one_table(load: Callable[..., RawTable], months: Path) -> None:
    raw = load("months", separator=None, files="*.tsv")
    assert [row[3] for row in rows(raw)] == ["c"]

    (months / "2011-03.tsv").rename(months / "2011-03.csv")
    text = (months / "2011-03.csv").read_text().replace("\t", ";")
    (months / "2011-03.csv").write_text(text)
    raw = load("months")
    assert [(row[1], row[3]) for row in rows(raw)] == [(1, "a"), (2, "b"), (3, "c")]
    assert [(file, row) for file, row, _ in quarantine(raw)] == [("2011-02.csv", "2"), ("2011-03.csv", "2")]
    assert [(file.name, file.rows_usable, file.quarantined, file.first) for file in raw.report.files] == [
        ("2011-01.csv", 1, 0, "2011-01-05 10:00:00"),
        ("2011-02.csv", 1, 1, "2011-02-06 10:00:00"),
        ("2011-03.csv", 1, 1, "2011-03-05 10:00:00"),
    ]
    assert (raw.report.rows_read, raw.report.source) == (5, "months")


def test_a_pattern_of_names_chooses_files(load: Callable[..., RawTable], months: Path) -> None:
    first = load("months", files="2011-0[12].csv")
    assert [file.name for file in first.report.files] == ["2011-01.csv", "2011-02.csv"]
    assert load("months", files="2011-01.csv").digest != first.digest
    with pytest.raises(UserError, match=r"expected files 2012\* in .*; received 2011-01.csv, 2011-02.csv, 2011-03.tsv"):
        load("months", files="2012*")


def test_a_month_that_is_there_twice_is_refused(load: Callable[..., RawTable], months: Path) -> None:
    (months / "2011-01 (1).csv").write_bytes((months / "2011-01.csv").read_bytes())
    with pytest.raises(UserError, match=r"2011-01.csv, which is the same as 2011-01 \(1\).csv"):
        load("months")


def test_a_file_of_a_folder_that_is_no_table_is_refused(load: Callable[..., RawTable], months: Path) -> None:
    (months / "notes.docx").touch()
    with pytest.raises(UserError, match=r"received notes.docx"):
        load("months")


# --- the settings themselves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("encoding", "utf-9", "an encoding such as utf-8, cp1252"),
        ("decimal", "point", "decimal and thousands that differ"),
        ("date_format", "%d.%m", "iso, or day, month and year"),
        ("date_format", "DD.MM.YYYY", "iso, or day, month and year"),
        ("date_format", "%d.%m.%Y %I:%M", "iso, or day, month and year"),
        ("date_format", "%Y-%d-%m", "iso, or day, month and year"),
        ("date_format", "%d.%m.%Y %Z", "iso, or day, month and year"),
        ("separator", ";", "'comma', 'semicolon', 'tab' or 'pipe'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(setting: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TableSettings.model_validate({**GERMAN.model_dump(), setting: value})
