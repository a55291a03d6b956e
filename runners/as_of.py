"""What of a raw table counts up to a day, and what does not: counted and told, so that nothing disappears unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract import Query, UserError
from pipeline.ingestion.raw import RawReport, RawTable, ask

Tell = Callable[[str], None]
"""Told a sentence for people."""


class Rows(NamedTuple):
    """Rows of a raw table, and those whom they are about: the values of `Ranking.subject`.

    Attributes:
      first: day of the first row that the model's definition does not leave out; None if it leaves out all of them.
      last: day of the last row.
      later: rows after the day.
      left_out: condition -> rows up to the day that the model's definition leaves out.
      subjects: how many there are, whenever.
      seen: how many there are up to the day.
    """

    first: date | None
    last: date
    later: int
    left_out: dict[str, int]
    subjects: int
    seen: int


def hold_usable(raw: RawTable, share: float, tell: Tell) -> None:
    """Tells what is unusable in a raw table, and holds that it is no more than what the data gate lets pass.

    Args:
      raw: the table.
      share: of the rows that may be in quarantine, 0 to 1.
      tell: told of them.

    Raises:
      UserError: more rows are unusable, or there are rows that must not exist.
    """
    report = raw.report
    if report.quarantined > share * report.rows_read:
        raise UserError(
            expected=f"at most {share:.2%} of the rows of {report.source} unusable",
            received=f"{_unusable(report)}, listed in {raw.quarantine}",
            todo="correct the export, or say how the file is written with --set, as `pipelines doctor --data` proposes",
        )
    for name, forbidden in report.forbidden.items():
        if forbidden.rows:
            raise UserError(
                expected=f"no rows with {name} in {report.source}",
                received=f"{forbidden.rows:,}, for instance {forbidden.examples[0]}",
                todo="correct the export",
            )
    if report.quarantined:
        tell(f"Left out: {_unusable(report)}, listed in {raw.quarantine}.")


def count(raw: RawTable, query: Query, as_of: date, subject: str | None) -> Rows:
    """Counts a raw table's rows and subjects up to a day and after it, by the query's first column of times."""
    day = f"DATE({_day(query)})"
    known = f"{day} <= DATE '{as_of}'"
    ignored = " OR ".join(f"({rule.where}) IS TRUE" for rule in query.left_out) or "FALSE"
    whom = f"`{subject}`" if subject else "NULL"
    counts = [
        f"MIN(IF({ignored}, NULL, {day}))",
        f"MAX({day})",
        f"COUNTIF(NOT ({known}))",
        f"COUNT(DISTINCT {whom})",
        f"COUNT(DISTINCT IF({known}, {whom}, NULL))",
        *(f"COUNTIF({known} AND ({rule.where}))" for rule in query.left_out),
    ]
    found = ask(raw, query)(f"SELECT {', '.join(counts)} FROM {query.table}")
    first, last, later, subjects, seen, *rows = found
    names = [rule.name for rule in query.left_out]
    return Rows(first, last, later, dict(zip(names, rows, strict=True)), subjects, seen)


def hold_some(rows: Rows, table: pa.Table, source: str, as_of: date) -> None:
    """Holds that features came out of a raw table.

    Raises:
      UserError: none did.
    """
    if not table.num_rows:
        raise UserError(
            expected=f"rows in {source} up to and including {as_of} that the model's definition does not leave out",
            received=f"{f'the first on {rows.first}' if rows.first else 'none at all'}; the last day is {rows.last}",
            todo=f"set --as-of to {rows.last}, or bring other rows",
        )


def sentences(rows: Rows, table: pa.Table, as_of: date, subject: str | None) -> Iterator[str]:
    """Yields what is left out, and how far the rows reach.

    Args:
      rows: of the raw table.
      table: the features that the model's SELECT made of them.
      as_of: the day.
      subject: column that says whom a row is about.
    """
    if rows.later:
        yield f"Left out: {_counted(rows.later)} after {as_of}, up to {rows.last}, as if they were not known yet."
    if as_of > rows.last:
        yield (
            f"The last row is of {rows.last}: of the {(as_of - rows.last).days:,} days up to {as_of} nothing is known, "
            "and the list takes them for days on which nothing happened."
        )
    for name, number in rows.left_out.items():
        if number:
            yield f"Left out by the model's definition: {_counted(number)}, {name}."
    if subject:
        yield _subjects(rows, pc.count_distinct(table.column(subject)).as_py(), subject, as_of)


def _subjects(rows: Rows, listed: int, name: str, as_of: date) -> str:
    reasons = {
        f"first seen after {as_of}": rows.subjects - rows.seen,
        "only in rows that the model's definition leaves out": rows.seen - listed,
    }
    missing = [f"{number:,} {reason}" for reason, number in reasons.items() if number]
    return f"Of {rows.subjects:,} different {name}, {listed:,} are listed{': ' if missing else ''}{'; '.join(missing)}."


def _counted(rows: int) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def _unusable(report: RawReport) -> str:
    reasons = ", ".join(f"{number:,} x {reason}" for reason, number in report.quarantined_by_reason.items())
    return f"{report.quarantined:,} of {report.rows_read:,} rows that do not parse ({reasons})"


def _day(query: Query) -> str:
    return next(f"`{column.name}`" for column in query.columns if column.type == "timestamp")
