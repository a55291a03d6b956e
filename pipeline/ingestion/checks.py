"""From rows of text to typed rows, quarantined rows and counts; in DuckDB, so that memory stays flat."""

from __future__ import annotations

import duckdb

from pipeline.contract import Column, Condition, Query, TableSettings
from pipeline.ingestion.notation import number, timestamp
from pipeline.ingestion.sql import first_row, literal, quoted, to_duckdb
from pipeline.ingestion.tables import Source

EXAMPLES = 3
"""How many forbidden rows a report shows."""


def check(
    connection: duckdb.DuckDBPyConnection, source: Source, query: Query, settings: TableSettings, file: str
) -> None:
    """Adds the rows of a file to the temporary tables `located` and `rejected`, which `create_views` makes sense of.

    Args:
      connection: where the tables are made.
      source: the rows of text.
      query: the mapped query.
      settings: how numbers and dates are written.
      file: name of the file, for people.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE checked AS {_typed(source.select, query, settings)}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE broken AS {_broken(source)}")
    _add(connection, "located", f"SELECT {literal(file)} AS _file, * FROM ({_located(source.first_row)})")
    _add(connection, "rejected", f"SELECT {literal(file)} AS file, * FROM broken")
    if source.rejects:  # Its lines are counted anew in each file.
        connection.execute("DROP TABLE reject_errors")
        connection.execute("DROP TABLE reject_scans")


def create_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Creates the temporary views `usable` and `quarantined`, of all files.

    `usable` has the typed columns and `_file`, `_row`, `_text`; `quarantined` has `file`, `row`, `reason` and `text`:
    the row's number in the file, and its cells or its whole line as they stood there. Only forbidden rows of `usable`
    keep their text.
    """
    connection.execute("CREATE TEMP VIEW usable AS SELECT * FROM located WHERE _reason IS NULL")
    connection.execute(
        "CREATE TEMP VIEW quarantined AS "
        "SELECT _file AS file, _row AS row, _reason AS reason, _text AS text FROM located WHERE _reason IS NOT NULL "
        "UNION ALL SELECT file, row, reason, text FROM rejected"
    )


def count_reasons(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Returns quarantined rows by reason, without the values, most frequent first."""
    statement = (
        "SELECT split_part(reason, ', received ', 1) AS kind, COUNT(*) FROM quarantined GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    return dict(connection.execute(statement).fetchall())


def count_where(connection: duckdb.DuckDBPyConnection, condition: Condition) -> int:
    """Returns how many usable rows meet a condition."""
    return int(first_row(connection, f"SELECT COUNT(*) FROM usable WHERE {to_duckdb(condition.where)}")[0])


def examples_where(connection: duckdb.DuckDBPyConnection, condition: Condition, *, several: bool) -> list[str]:
    """Returns the first few usable rows that meet a condition, as `row 17: {...}`; of several files, with its name."""
    where = to_duckdb(condition.where)
    first = f"SELECT _file, _row, _text FROM usable WHERE {where} ORDER BY _file, _row LIMIT {EXAMPLES}"
    found = connection.execute(first).fetchall()
    return [f"{f'{file} ' if several else ''}row {row}: {text}" for file, row, text in found]


def _add(connection: duckdb.DuckDBPyConnection, table: str, rows: str) -> None:
    connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} AS {rows} LIMIT 0")
    connection.execute(f"INSERT INTO {table} {rows}")


def _typed(select: str, query: Query, settings: TableSettings) -> str:
    typed = ", ".join(f"{_parsed(column, settings)} AS {quoted(column.name)}" for column in query.columns)
    reason = ", ".join(_problem(column, settings) for column in query.columns)
    cells = ", ".join(
        f"{literal(column.source)}: {quoted(column.name)}" for column in _each_once(query) if column.source
    )
    shown = " OR ".join(["_reason IS NOT NULL", *(f"({to_duckdb(rule.where)})" for rule in query.forbidden)])
    return (
        f"SELECT * REPLACE (CASE WHEN {shown} THEN _text END AS _text) FROM ("
        f"SELECT row_number() OVER () AS _row, {typed}, COALESCE({reason}) AS _reason, "
        f"CAST(to_json({{{cells}}}) AS VARCHAR) AS _text FROM ({select}))"
    )


def _each_once(query: Query) -> list[Column]:
    """The columns of the file: two columns of a query may be one of the file."""
    return list({column.source: column for column in query.columns}.values())


def _parsed(column: Column, settings: TableSettings) -> str:
    text = f"trim({quoted(column.name)})"
    match column.type:
        case "string":
            return f"CASE WHEN {text} <> '' THEN {quoted(column.name)} END"
        case "timestamp":
            return timestamp(text, settings)
        case _:
            return number(text, settings, whole=column.type == "integer")


def _problem(column: Column, settings: TableSettings) -> str:
    """Why the cell makes the row unusable, or NULL."""
    text = quoted(column.name)
    empty = f"({text} IS NULL OR trim({text}) = '')"
    wrong = f"{literal(f'{column.name}: expected {column.type}, received ')} || '''' || left({text}, 80) || ''''"
    missing = literal(f"{column.name}: expected a value, received nothing") if column.required else "NULL"
    return f"CASE WHEN {empty} THEN {missing} WHEN {_parsed(column, settings)} IS NULL THEN {wrong} END"


def _broken(source: Source) -> str:
    """Lines that are no rows, as DuckDB's CSV reader reports them (a line may have several errors)."""
    if not source.rejects:
        return "SELECT 0 AS row, '' AS reason, '' AS text WHERE false"
    return (
        "SELECT line AS row, 'line: ' || lower(first(error_type)) || ', received ' || first(error_message) AS reason, "
        "trim(first(csv_line), chr(10) || chr(13)) AS text FROM reject_errors GROUP BY line"
    )


def _located(first: int) -> str:
    """Numbers the rows as in the file: past the rejected lines, which the reader did not count."""
    return (
        f"SELECT checked.* REPLACE (_row + {first - 1} + COALESCE(skipped, 0) AS _row) FROM checked ASOF LEFT JOIN ("
        "SELECT row - rank AS accepted, MAX(rank) AS skipped "
        f"FROM (SELECT row - {first - 1} AS row, row_number() OVER (ORDER BY row) AS rank FROM broken) "
        "GROUP BY accepted) AS gaps ON checked._row > gaps.accepted"
    )
