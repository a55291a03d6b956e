"""Raw files as rows of text: .xlsx, .csv, .csv.gz and .parquet.

Every format becomes a DuckDB SELECT whose columns are text and carry the names of the model's SQL; the types
are checked afterwards, in one place for all formats.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import fastexcel
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import Column, UserError
from pipeline.ingestion.sql import literal, quoted


@dataclass(frozen=True)
class Source:
    """Rows of text.

    Attributes:
      select: DuckDB SELECT of the rows, a text column for each `Column`, in the order of the file.
      first_row: number by which people know the first row; 2 where a header is row 1.
      rejects: whether running the SELECT fills DuckDB's table `reject_errors` with malformed lines.
    """

    select: str
    first_row: int = 2
    rejects: bool = False


Reader = Callable[[Path, Sequence[Column], Path], Source]

DAMAGED = (duckdb.Error, pa.ArrowException, fastexcel.FastExcelError, OSError, EOFError, zlib.error, csv.Error)
"""What the libraries raise for a file that is not what its name says."""


def open_source(path: Path, columns: Sequence[Column], scratch: Path) -> Source:
    """Returns the rows of a raw file.

    Args:
      path: the file.
      columns: the columns that the model needs; others are not read.
      scratch: folder for intermediate files; it must outlive the reading.

    Raises:
      UserError: no such file, an unknown format, an empty or damaged file, a missing column.
    """
    reader = _reader(path)
    if path.stat().st_size == 0:
        raise no_rows(path, "an empty file")
    try:
        return reader(path, columns, scratch)
    except DAMAGED as error:
        raise unreadable(path, error) from error


def no_rows(path: Path, received: str) -> UserError:
    """Returns the refusal of a file without rows."""
    return UserError(
        expected=f"at least one row of data in {path.name}", received=received, todo="export the file again"
    )


def unreadable(path: Path, error: Exception) -> UserError:
    """Returns the refusal of a damaged file."""
    return UserError(
        expected=f"a readable {_suffix(path)} file",
        received=f"{path.name}: {str(error).partition(chr(10))[0] or type(error).__name__}",
        todo="check that the file is complete and is what its name says, and export or download it again",
    )


def _reader(path: Path) -> Reader:
    if not path.is_file():
        raise UserError(
            expected="a file of raw data",
            received=f"{path}, which is {'a folder' if path.is_dir() else 'not there'}",
            todo="correct the path",
        )
    if _suffix(path) not in READERS:
        raise UserError(
            expected=f"a file that ends in {', '.join(READERS)}",
            received=path.name,
            todo="export the data in one of these formats",
        )
    return READERS[_suffix(path)]


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in READERS if name.endswith(suffix)), path.suffix)


def _csv(path: Path, columns: Sequence[Column], scratch: Path) -> Source:
    header = _csv_header(path)
    _require(path, header, columns)
    # By position, because a header may name other columns twice; nothing is guessed from the content.
    types = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(header)))
    fields = ", ".join(f"c{header.index(column.source)} AS {quoted(column.name)}" for column in columns)
    scan = (
        f"read_csv({literal(str(path))}, columns = {{{types}}}, auto_detect = false, header = true, "
        """delim = ',', quote = '"', escape = '"', store_rejects = true)"""
    )
    return Source(select=f"SELECT {fields} FROM {scan}", rejects=True)


def _csv_header(path: Path) -> list[str]:
    packed = path.suffix.lower() == ".gz"
    if packed:
        _check_gzip(path)
    opened: Any = gzip.open if packed else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as lines:
        header: list[str] = next(csv.reader(lines), [])
    if not header:
        raise no_rows(path, "an empty file")
    return header


def _check_gzip(path: Path) -> None:
    """Reads the file once to its checksum: DuckDB takes a truncated gzip file for a shorter one."""
    with gzip.open(path) as file:
        while file.read(1 << 20):
            pass


def _parquet(path: Path, columns: Sequence[Column], scratch: Path) -> Source:
    _require(path, pq.read_schema(path).names, columns)
    return Source(select=_from_parquet(path, columns), first_row=1)


def _xlsx(path: Path, columns: Sequence[Column], scratch: Path) -> Source:
    """Reads the first sheet; as text, since cells of a column may be numbers, dates and text."""
    wanted = {column.source for column in columns}
    sheet = fastexcel.read_excel(path).load_sheet(
        0,
        dtypes="string",
        schema_sample_rows=1,
        skip_whitespace_tail_rows=True,
        use_columns=lambda column: column.name in wanted,
    )
    _require(path, [column.name for column in sheet.available_columns()], columns)
    # Through a file, because DuckDB cannot read the Arrow tables of the oldest pyarrow that we support.
    text = scratch / "sheet.parquet"
    pq.write_table(pa.Table.from_batches([sheet.to_arrow()]), text)
    return Source(select=_from_parquet(text, columns))


def _from_parquet(path: Path, columns: Sequence[Column]) -> str:
    fields = ", ".join(f"CAST({quoted(column.source)} AS VARCHAR) AS {quoted(column.name)}" for column in columns)
    return f"SELECT {fields} FROM read_parquet({literal(str(path))})"


def _require(path: Path, header: Sequence[str], columns: Sequence[Column]) -> None:
    for column in columns:
        if header.count(column.source) != 1:
            close = _close_match(column.source, header)
            raise UserError(
                expected=f"one column {column.source!r} in {path.name}",
                received=f"{header.count(column.source)} of that name among {', '.join(map(repr, header))}",
                todo=f"rename {close!r} to {column.source!r} if that is it" if close else "add or rename the column",
            )


def _close_match(name: str, header: Sequence[str]) -> str | None:
    lowered = {found.lower(): found for found in header if found != name}
    matches = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return lowered[matches[0]] if matches else None


READERS: dict[str, Reader] = {".csv.gz": _csv, ".csv": _csv, ".parquet": _parquet, ".xlsx": _xlsx}
"""Ending of a file name -> how such a file is read."""
