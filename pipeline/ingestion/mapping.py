"""The names that a file's header has for the columns of a model."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from pipeline.contract import Query, TableSettings, UserError


def map_columns(query: Query, settings: TableSettings) -> Query:
    """Returns the query with columns whose `source` is the name in the file; empty where the file has none.

    Raises:
      UserError: the settings name a column that the query does not have, or do without one that it needs.
    """
    known = [column.name for column in query.columns]
    for name in settings.columns:
        if name not in known:
            raise UserError(
                expected=f"one of the columns {', '.join(known)} in data.columns",
                received=repr(name),
                todo=f"did you mean columns.{close_match(name, known)}?" if close_match(name, known) else "correct it",
            )
    found = {column.name: settings.columns.get(column.name, column.source) or "" for column in query.columns}
    for column in query.columns:
        if not found[column.name] and column.absent is None:
            raise UserError(
                expected=f"a column of the file for {column.name}, which cannot be done without",
                received=f"columns.{column.name}={settings.columns.get(column.name)}",
                todo=f"name the column with --set columns.{column.name}=NAME",
            )
    columns = tuple(column.model_copy(update={"source": found[column.name]}) for column in query.columns)
    return query.model_copy(update={"columns": columns})


def require(file: str, header: Sequence[str], query: Query) -> None:
    """Holds that a file has every column of a mapped query, once.

    Raises:
      UserError: it has not; with the names that there are, and the one most like it.
    """
    for column in query.columns:
        if column.source and header.count(column.source) != 1:
            close = close_match(column.source, header)
            named = f"--set columns.{column.name}=NAME"
            raise UserError(
                expected=f"one column {column.source!r} in {file}",
                received=f"{header.count(column.source)} of that name among {', '.join(map(repr, header))}",
                todo=(f"rename {close!r} to {column.source!r} if that is it, or " if close else "")
                + f"say what the file calls it with {named}; `pipelines doctor --data FILE` proposes names",
            )


def close_match(name: str, others: Iterable[str]) -> str | None:
    """Returns the name most like another, case aside, if any is."""
    lowered = {other.lower(): other for other in others if other != name}
    matches = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return lowered[matches[0]] if matches else None
