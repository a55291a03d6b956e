"""Text files with a separator between cells, in any encoding, packed by gzip or not."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
from pathlib import Path
from typing import Any

from pipeline.contract import Query, TableSettings, UserError
from pipeline.ingestion.mapping import require
from pipeline.ingestion.sql import literal
from pipeline.ingestion.tables import Source, no_rows, select

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order mark -> encoding. That of UTF-32 begins as that of UTF-16 does, so it comes first."""


def read_delimited(path: Path, query: Query, settings: TableSettings, scratch: Path) -> Source:
    """Reads a text file; see `Reader`. Lines that are not of the encoding become rejected lines."""
    if packed(path):
        _check_gzip(path)
    _check_mark(path, settings)
    text = path if settings.encoding.startswith("utf-8") else _as_utf8(path, settings.encoding, scratch)
    separator = separator_of(path, settings)
    header = read_header(text, separator)
    require(path.name, header, query)
    # By position, because a header may name other columns twice; nothing is guessed from the content.
    types = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(header)))
    scan = (
        f"read_csv({literal(str(text))}, columns = {{{types}}}, auto_detect = false, header = true, "
        f"""delim = {literal(separator)}, quote = '"', escape = '"', store_rejects = true)"""
    )
    return Source(select(query, scan, lambda column: f"c{header.index(column.source)}"), rejects=True)


def separator_of(path: Path, settings: TableSettings) -> str:
    """Returns the sign between cells."""
    by_name = "tab" if path.name.lower().removesuffix(".gz").endswith(".tsv") else "comma"
    return SEPARATORS[settings.separator or by_name]


def read_header(text: Path, separator: str, encoding: str = "utf-8-sig") -> list[str]:
    """Returns the cells of the first line of a text file.

    Raises:
      UserError: there is none.
    """
    with io.TextIOWrapper(open_bytes(text), encoding=encoding, errors="replace", newline="") as lines:
        header: list[str] = next(csv.reader(lines, delimiter=separator), [])
    if not header:
        raise no_rows(text, "an empty file")
    return header


def packed(path: Path) -> bool:
    """Whether a file is packed by gzip, by its name."""
    return path.suffix.lower() == ".gz"


def mark_of(path: Path) -> str | None:
    """Returns the encoding that the byte order mark of a file names, if it has one."""
    with open_bytes(path) as file:
        start: bytes = file.read(4)
    return next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), None)


def open_bytes(path: Path) -> Any:
    """Opens a file for reading bytes, unpacked."""
    return gzip.open(path) if packed(path) else path.open("rb")


def _check_gzip(path: Path) -> None:
    """Reads the file once to its checksum: DuckDB takes a truncated gzip file for a shorter one."""
    with gzip.open(path) as file:
        while file.read(1 << 20):
            pass


def _check_mark(path: Path, settings: TableSettings) -> None:
    said = mark_of(path)
    if said and not settings.encoding.startswith(said):
        raise UserError(
            expected=f"text in {settings.encoding}",
            received=f"{path.name}, whose byte order mark says {said}",
            todo=f"--set encoding={said}",
        )


def _as_utf8(path: Path, encoding: str, scratch: Path) -> Path:
    """Copies a text as UTF-8. A byte that the encoding does not have stays as it is: its line will be rejected.

    Raises:
      UnicodeError: the file ends within a character.
    """
    target = scratch / "text.csv"
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    with open_bytes(path) as file, target.open("wb") as out:
        for block in itertools.chain(iter(lambda: file.read(1 << 20), b""), [b""]):
            out.write(decoder.decode(block, final=not block).encode("utf-8", "surrogateescape"))
    return target
