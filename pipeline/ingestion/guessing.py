"""What a raw file looks like, for proposals to people. Ingestion itself guesses nothing."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from pipeline.contract import Column, Query, TableSettings
from pipeline.ingestion.delimited import SEPARATORS, mark_of, open_bytes, separator_of
from pipeline.ingestion.notation import number, timestamp
from pipeline.ingestion.sql import first_row, quoted

LINES = 1_000
"""Lines from whose cells a separator is told."""
ALIKE = 0.75
"""Least likeness of two names of a column, 0 to 1; two in eight letters may differ."""
NOTATIONS = [
    {"decimal": decimal, "thousands": thousands}
    for thousands in ("none", "comma", "point", "space", "apostrophe")
    for decimal in ("point", "comma")
    if decimal != thousands
]
"""Ways to write numbers, the plainest first."""
_DAYS = [
    *(f"%{a}{sign}%{b}{sign}%{y}" for sign in "./-" for a, b in ("dm", "md") for y in "Yy"),
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d-%b-%Y",
    "%d-%b-%y",
]
_CLOCKS = ["", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p"]
DATE_FORMATS = ["iso", *(day + clock for day in _DAYS for clock in _CLOCKS)]
"""Ways to write dates that are tried."""


class Encoding(NamedTuple):
    """The encoding that a text file seems to have, and a word that shows it (empty where there is none)."""

    name: str
    shown: str


@dataclass(frozen=True)
class Fit:
    """The way of writing that fits most of the cells.

    Attributes:
      chosen: settings, field -> value; the first tried of several that read all cells alike.
      rivals: other ways that fit as many cells and read some of them as something else: only people can tell.
      read: how many cells it reads.
      cells: how many there are, empty ones aside.
      example: a cell that the rivals read differently, or else one that the chosen does not read; maybe empty.
    """

    chosen: dict[str, Any]
    rivals: list[dict[str, Any]]
    read: int
    cells: int
    example: str


def guess_encoding(path: Path) -> Encoding:
    """Returns the encoding of a text file: by its mark, or else UTF-8 where it is that, or else an 8-bit encoding."""
    if mark := mark_of(path):
        return Encoding(mark, "a byte order mark")
    with open_bytes(path) as file:
        start: bytes = file.read(1 << 16)
    if start.count(0) > len(start) / 5:
        return Encoding("utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be", "")
    for name in ("utf-8", "cp1252"):
        shown = _decodes(path, name)
        if shown is not None:
            return Encoding(name, shown)
    return Encoding("latin-1", "")


def _decodes(path: Path, encoding: str) -> str | None:
    """Returns the first word that is not ASCII, maybe empty; None if the file is not of the encoding."""
    shown = ""
    decoder = codecs.getincrementaldecoder(encoding)()
    with open_bytes(path) as file:
        for block in itertools.chain(iter(lambda: file.read(1 << 20), b""), [b""]):
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError:
                return None
            if not shown and not text.isascii():
                shown = next((word for word in re.findall(r"\w+", text) if not word.isascii()), "")[:60]
    return shown


def guess_separator(path: Path, settings: TableSettings) -> str:
    """Returns the name of the separator that gives the first lines most columns, as many in nearly all of them."""
    text = io.TextIOWrapper(open_bytes(path), encoding=settings.encoding, errors="replace", newline="")
    with text:
        lines = list(itertools.islice(text, LINES))
    now = separator_of(path, settings)
    best, most = next(name for name, sign in SEPARATORS.items() if sign == now), 1
    for name, sign in SEPARATORS.items():
        widths = [len(row) for row in csv.reader(lines, delimiter=sign) if row]
        if widths and widths[0] > most and widths.count(widths[0]) >= 0.9 * len(widths):
            best, most = name, widths[0]
    return best


def guess_columns(query: Query, header: Sequence[str], fixed: Iterable[str] = ()) -> dict[str, str]:
    """Returns `Column.name` -> name in the header, for the columns of a mapped query that the header lacks.

    Args:
      query: the mapped query; columns whose name is in the header are taken as they are.
      header: the names in the file.
      fixed: columns that are not guessed.
    """
    taken = {column.source for column in query.columns if column.source in header}
    lacking = [
        column for column in query.columns if column.source and column.source not in taken and column.name not in fixed
    ]
    likeness = {
        (column.name, found): _likeness(column, found) for column in lacking for found in header if found not in taken
    }
    guesses: dict[str, str] = {}
    for name, found in sorted(likeness, key=lambda pair: -likeness[pair]):
        if likeness[name, found] >= ALIKE and name not in guesses and found not in guesses.values():
            guesses[name] = found
    return guesses


def _likeness(column: Column, found: str) -> float:
    names = {_letters(name) for name in (column.name, column.source, *column.also)}
    return max(difflib.SequenceMatcher(None, name, _letters(found)).ratio() for name in names)


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def fit_numbers(
    connection: duckdb.DuckDBPyConnection, table: str, query: Query, given: Mapping[str, Any]
) -> Fit | None:
    """Returns how the numbers of a table of texts are written; None if it has none.

    Args:
      connection: where the table is.
      table: the table of texts.
      query: says which columns hold numbers.
      given: settings that are not to be guessed.
    """
    columns = [column for column in query.columns if column.type in ("integer", "float")]
    ways = [way for way in NOTATIONS if all(way[key] == given.get(key, way[key]) for key in way)]
    return _fit(connection, table, columns, ways, [_number_reader(way) for way in ways])


def fit_dates(connection: duckdb.DuckDBPyConnection, table: str, query: Query, given: Mapping[str, Any]) -> Fit | None:
    """Returns how the dates of a table of texts are written; None if it has none. See `fit_numbers`."""
    columns = [column for column in query.columns if column.type == "timestamp"]
    forms = [given["date_format"]] if "date_format" in given else DATE_FORMATS
    ways = [{"date_format": form} for form in forms]
    return _fit(connection, table, columns, ways, [_date_reader(form) for form in forms])


def _number_reader(way: Mapping[str, Any]) -> Callable[[Column], str]:
    settings = TableSettings.model_validate(way)
    return lambda column: number("cell", settings, whole=column.type == "integer")


def _date_reader(form: str) -> Callable[[Column], str]:
    settings = TableSettings(date_format=form)
    return lambda _: timestamp("cell", settings)


def _fit(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[Column],
    ways: Sequence[dict[str, Any]],
    readers: Sequence[Callable[[Column], str]],
) -> Fit | None:
    """Tries ways of reading on each different text of some columns."""
    if not columns or not ways:
        return None
    parts = (
        f"SELECT trim({quoted(column.name)}) AS cell, {place} AS place, COUNT(*) AS n FROM {table} "
        "WHERE cell <> '' GROUP BY cell"
        for place, column in enumerate(columns)
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE cells AS {' UNION ALL '.join(parts)}")
    values = [
        f"CASE {' '.join(f'WHEN place = {at} THEN CAST({read(c)} AS VARCHAR)' for at, c in enumerate(columns))} END"
        for read in readers
    ]
    sums = (f"SUM(n) FILTER (WHERE {value} IS NOT NULL)" for value in values)
    counts = first_row(connection, f"SELECT SUM(n), {', '.join(sums)} FROM cells")
    cells, fits = int(counts[0] or 0), [int(count or 0) for count in counts[1:]]
    if not cells:
        return None
    best = fits.index(max(fits))
    differ = {
        way: connection.execute(
            f"SELECT cell FROM cells WHERE {values[best]} IS DISTINCT FROM {values[way]} ORDER BY cell LIMIT 1"
        ).fetchone()
        for way in range(best + 1, len(ways))
        if fits[way] == fits[best] > 0
    }
    rivals = [way for way, cell in differ.items() if cell]
    example = next((cell[0] for cell in differ.values() if cell), None) or _unread(connection, values[best])
    return Fit(ways[best], [ways[way] for way in rivals], fits[best], cells, example)


def _unread(connection: duckdb.DuckDBPyConnection, value: str) -> str:
    found = connection.execute(f"SELECT cell FROM cells WHERE {value} IS NULL ORDER BY n DESC, cell LIMIT 1").fetchone()
    return str(found[0]) if found else ""
