"""Raw files as rows of text: delimited text, .parquet, .xlsx, and databases of DuckDB and SQLite.

Every format becomes a DuckDB SELECT whose columns are text and carry the names of the model's SQL; the types
are checked afterwards, in one place for all formats.
"""

from __future__ import annotations

import csv
import sqlite3
import zlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import duckdb
import fastexcel
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import Query, TableSettings, UserError
from pipeline.ingestion.databases import database_columns, read_database
from pipeline.ingestion.delimited import read_delimited, read_header, separator_of
from pipeline.ingestion.mapping import require
from pipeline.ingestion.tables import Reader, Source, choose_table, no_rows, select_parquet

DAMAGED = (
    duckdb.Error,
    sqlite3.Error,
    pa.ArrowException,
    fastexcel.FastExcelError,
    OSError,
    EOFError,
    UnicodeError,
    zlib.error,
    csv.Error,
)
"""What the libraries raise for a file that is not what its name says."""


def list_files(path: Path, settings: TableSettings) -> list[Path]:
    """Returns the files of raw data: the file itself, or those of a folder that the settings name, by name.

    Hidden files are none. Every other file that is named must be raw data, so that nothing is left out unseen.

    Raises:
      UserError: there is nothing, or something that is no raw data.
    """
    if not path.is_dir():
        _reader(path)
        return [path]
    found = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    chosen = [file for file in found if fnmatchcase(file.name, settings.files)]
    if not chosen:
        raise UserError(
            expected=f"files {settings.files} in {path}",
            received=", ".join(file.name for file in found) or "an empty folder",
            todo="correct the path, or data.files",
        )
    for file in chosen:
        _reader(file)
    return chosen


def open_source(path: Path, query: Query, settings: TableSettings, scratch: Path) -> Source:
    """Returns the rows of a raw file.

    Args:
      path: the file.
      query: the mapped query, whose columns the file must have; others are not read.
      settings: how the file is written.
      scratch: folder for intermediate files of this file only; it must outlive the reading.

    Raises:
      UserError: no such file, an unknown format, an empty or damaged file, a missing column.
    """
    reader = _reader(path)
    if path.stat().st_size == 0:
        raise no_rows(path, "an empty file")
    try:
        return reader(path, query, settings, scratch)
    except DAMAGED as error:
        raise unreadable(path, error) from error


def column_names(path: Path, settings: TableSettings) -> list[str]:
    """Returns what the header of a raw file calls its columns, in their order.

    Raises:
      UserError: as `open_source` does, but for columns.
    """
    reader = _reader(path)
    if path.stat().st_size == 0:
        raise no_rows(path, "an empty file")
    try:
        if reader is read_delimited:
            encoding = "utf-8-sig" if settings.encoding == "utf-8" else settings.encoding
            return read_header(path, separator_of(path, settings), encoding)
        if reader is read_database:
            return database_columns(path, settings)
        return list(pq.read_schema(path).names) if reader is _parquet else _sheet_columns(path, settings)
    except DAMAGED as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> UserError:
    """Returns the refusal of a damaged file."""
    return UserError(
        expected=f"a readable {suffix_of(path)} file",
        received=f"{path.name}: {str(error).partition(chr(10))[0] or type(error).__name__}",
        todo="check that the file is complete and is what its name says, and export or download it again",
    )


def suffix_of(path: Path) -> str:
    """Returns the ending that says how a file is read, or whatever ending it has."""
    name = path.name.lower()
    return next((suffix for suffix in READERS if name.endswith(suffix)), path.suffix)


def _reader(path: Path) -> Reader:
    if not path.is_file():
        raise UserError(
            expected="a file of raw data",
            received=f"{path}, which is {'a folder' if path.is_dir() else 'not there'}",
            todo="correct the path",
        )
    if suffix_of(path) not in READERS:
        raise UserError(
            expected=f"a file that ends in {', '.join(READERS)}",
            received=path.name,
            todo="export the data in one of these formats",
        )
    return READERS[suffix_of(path)]


def _parquet(path: Path, query: Query, settings: TableSettings, scratch: Path) -> Source:
    schema = pq.read_schema(path)
    require(path.name, schema.names, query)
    numeric = frozenset(field.name for field in schema if not _is_text(field.type))
    return Source(select_parquet(path, query, numeric, settings), first_row=1)


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def _xlsx(path: Path, query: Query, settings: TableSettings, scratch: Path) -> Source:
    """Reads a sheet; as text, since cells of a column may be numbers, dates and text."""
    book = fastexcel.read_excel(path)
    name = choose_table(path, book.sheet_names, settings, "sheet")
    wanted = {column.source for column in query.columns}
    options: dict[str, Any] = {"skip_whitespace_tail_rows": True, "use_columns": lambda found: found.name in wanted}
    sheet = book.load_sheet(name, dtypes="string", schema_sample_rows=1, **options)
    require(path.name, [column.name for column in sheet.available_columns()], query)
    # Through a file, because DuckDB cannot read the Arrow tables of the oldest pyarrow that we support.
    text = scratch / "sheet.parquet"
    pq.write_table(pa.Table.from_batches([sheet.to_arrow()]), text)
    numeric = _numeric_cells(path, query, book, name) if settings.decimal == "comma" else frozenset()
    return Source(select_parquet(text, query, numeric, settings))


def _sheet_columns(path: Path, settings: TableSettings) -> list[str]:
    book = fastexcel.read_excel(path)
    name = choose_table(path, book.sheet_names, settings, "sheet")
    return [column.name for column in book.load_sheet(name, n_rows=1).available_columns()]


def _numeric_cells(path: Path, query: Query, book: fastexcel.ExcelReader, sheet: str) -> frozenset[str]:
    """Returns the columns whose cells are numbers, which a workbook keeps with points; others hold text with commas.

    Raises:
      UserError: a column of numbers has cells of both kinds: which of them was meant how cannot be told.
    """
    wanted = {column.source for column in query.columns if column.type in ("integer", "float")}
    options: dict[str, Any] = {"schema_sample_rows": None, "use_columns": lambda found: found.name in wanted}
    try:
        kinds = book.load_sheet(sheet, dtype_coercion="strict", **options).available_columns()
    except fastexcel.UnsupportedColumnTypeCombinationError as error:
        raise UserError(
            expected=f"columns of {path.name} that hold either numbers or text with decimal commas",
            received=str(error).replace("\n", " "),
            todo="make all cells of the column numbers, or export the sheet as .csv",
        ) from error
    return frozenset(kind.name for kind in kinds if kind.name in wanted and kind.dtype != "string")


READERS: dict[str, Reader] = {
    ".csv.gz": read_delimited,
    ".csv": read_delimited,
    ".tsv.gz": read_delimited,
    ".tsv": read_delimited,
    ".txt.gz": read_delimited,
    ".txt": read_delimited,
    ".parquet": _parquet,
    ".xlsx": _xlsx,
    ".duckdb": read_database,
    ".sqlite": read_database,
    ".sqlite3": read_database,
    ".db": read_database,
}
"""Ending of a file name -> how such a file is read."""
