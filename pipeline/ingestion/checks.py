"""From rows of text to typed rows, quarantined rows and counts; in DuckDB, so that memory stays flat."""

from __future__ import annotations

import duckdb

from pipeline.contract import Column, Condition, Query
from pipeline.ingestion.readers import Source
from pipeline.ingestion.sql import first_row, literal, quoted, to_duckdb

EXAMPLES = 3
"""How many forbidden rows a report shows."""

SPELLINGS = {
    "integer": (r"[+-]?\d+(\.0+)?", "BIGINT"),
    "float": (r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", "DOUBLE"),
    "timestamp": (r"\d{4}-\d{2}-\d{2}.*", "TIMESTAMP"),
}
"""Type of a column -> how it must be written, and DuckDB's type. DuckDB's own casts are too lenient: '6.5' becomes
7, '1/2/24' a day of the year 1, and 'nan' and 'infinity' are numbers and dates."""


def check(connection: duckdb.DuckDBPyConnection, source: Source, query: Query) -> None:
    """Creates the temporary views `usable` and `quarantined`.

    `usable` has the typed columns and `_row`, `_text`; `quarantined` has `row`, `reason` and `text`: the row's
    number in the file, and its cells or its whole line as they stood there. Only forbidden rows of `usable` keep
    their text.
    """
    connection.execute(f"CREATE TEMP TABLE checked AS {_typed(source.select, query)}")
    connection.execute(f"CREATE TEMP TABLE rejected AS {_rejected(source)}")
    connection.execute(f"CREATE TEMP VIEW located AS {_located(source.first_row)}")
    connection.execute("CREATE TEMP VIEW usable AS SELECT * FROM located WHERE _reason IS NULL")
    connection.execute(
        "CREATE TEMP VIEW quarantined AS "
        "SELECT _row AS row, _reason AS reason, _text AS text FROM located WHERE _reason IS NOT NULL "
        "UNION ALL SELECT row, reason, text FROM rejected"
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


def examples_where(connection: duckdb.DuckDBPyConnection, condition: Condition) -> list[str]:
    """Returns the first few usable rows that meet a condition, as `row 17: {...}`."""
    where = to_duckdb(condition.where)
    statement = f"SELECT _row, _text FROM usable WHERE {where} ORDER BY _row LIMIT {EXAMPLES}"
    return [f"row {row}: {text}" for row, text in connection.execute(statement).fetchall()]


def _typed(select: str, query: Query) -> str:
    typed = ", ".join(f"{_parsed(column)} AS {quoted(column.name)}" for column in query.columns)
    reason = ", ".join(_problem(column) for column in query.columns)
    cells = ", ".join(f"{literal(column.source)}: {quoted(column.name)}" for column in query.columns)
    shown = " OR ".join(["_reason IS NOT NULL", *(f"({to_duckdb(rule.where)})" for rule in query.forbidden)])
    return (
        f"SELECT * REPLACE (CASE WHEN {shown} THEN _text END AS _text) FROM ("
        f"SELECT row_number() OVER () AS _row, {typed}, COALESCE({reason}) AS _reason, "
        f"CAST(to_json({{{cells}}}) AS VARCHAR) AS _text FROM ({select}))"
    )


def _parsed(column: Column) -> str:
    text = f"trim({quoted(column.name)})"
    if column.type == "string":
        return f"CASE WHEN {text} <> '' THEN {quoted(column.name)} END"
    pattern, target = SPELLINGS[column.type]
    return f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN TRY_CAST({text} AS {target}) END"


def _problem(column: Column) -> str:
    """Why the cell makes the row unusable, or NULL."""
    text = quoted(column.name)
    empty = f"({text} IS NULL OR trim({text}) = '')"
    wrong = f"{literal(f'{column.name}: expected {column.type}, received ')} || '''' || left({text}, 80) || ''''"
    missing = literal(f"{column.name}: expected a value, received nothing") if column.required else "NULL"
    return f"CASE WHEN {empty} THEN {missing} WHEN {_parsed(column)} IS NULL THEN {wrong} END"


def _rejected(source: Source) -> str:
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
        f"FROM (SELECT row - {first - 1} AS row, row_number() OVER (ORDER BY row) AS rank FROM rejected) "
        "GROUP BY accepted) AS gaps ON checked._row > gaps.accepted"
    )
