"""What all readers of raw tables share: rows of text as a SELECT, and the refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.contract import Column, Query, TableSettings, UserError
from pipeline.ingestion.mapping import close_match
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


Reader = Callable[[Path, Query, TableSettings, Path], Source]
"""From a file, a mapped query, how the file is written, and a folder for intermediate files that outlives the reading.
Raises UserError for a missing column."""


def select(query: Query, scan: str, cell: Callable[[Column], str]) -> str:
    """Returns a SELECT of all columns of a mapped query; `cell` is the SQL of a column's text in the file."""
    fields = (
        f"{cell(column) if column.source else literal(column.absent or '')} AS {quoted(column.name)}"
        for column in query.columns
    )
    return f"SELECT {', '.join(fields)} FROM {scan}"


def select_parquet(path: Path, query: Query, numeric: frozenset[str], settings: TableSettings) -> str:
    """Returns the SELECT of a parquet file.

    Args:
      path: the file.
      query: the mapped query.
      numeric: columns of the file that hold numbers rather than text: they are spelt as the settings say first, so
        that a 2.555 is not taken for 2,555 where points stand between thousands.
      settings: how texts are written.
    """

    def cell(column: Column) -> str:
        text = f"CAST({quoted(column.source)} AS VARCHAR)"
        counted = column.source in numeric and column.type in ("integer", "float")
        return f"replace({text}, '.', ',')" if counted and settings.decimal == "comma" else text

    return select(query, f"read_parquet({literal(str(path))})", cell)


def choose_table(path: Path, names: Sequence[str], settings: TableSettings, kind: str) -> str:
    """Returns the table of a database, or the sheet of a workbook, that is meant.

    Raises:
      UserError: there is none of that name, or several and none is named.
    """
    if settings.table in names:
        return str(settings.table)
    if settings.table is None and len(names) == 1:
        return names[0]
    close = close_match(settings.table, names) if settings.table else None
    raise UserError(
        expected=f"one {kind} in {path.name}" if settings.table is None else f"a {kind} {settings.table!r} in it",
        received=f"{len(names)}: {', '.join(map(repr, names))}" if names else "none",
        todo=f"did you mean --set table={close}?" if close else f"say which {kind} with --set table=NAME",
    )


def no_rows(path: Path, received: str) -> UserError:
    """Returns the refusal of a file without rows."""
    return UserError(
        expected=f"at least one row of data in {path.name}", received=received, todo="export the file again"
    )
