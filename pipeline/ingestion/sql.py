"""The model's SELECT: parameters, splits, and the same text for BigQuery and for DuckDB.

BigQuery's dialect is the source; sqlglot turns it into DuckDB's, and FARM_FINGERPRINT comes from the
farmhash package, whose fingerprint64 is the function that BigQuery documents.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import farmhash
import sqlglot
from sqlglot import exp

from pipeline.contract import FeatureSettings, Query, UserError, resource

MEMORY = "1GB"
"""DuckDB spills to disk beyond it."""

AUTO = "auto"
"""Value of a feature setting that is still to be found in the data."""

LATEST = "_latest"
"""Common table expression of one row, which holds what settings that are `auto` come to."""


def render(query: Query, features: FeatureSettings, *, table: str | None = None) -> str:
    """Returns the model's SELECT in BigQuery's dialect, with literals in place of `@name`.

    Literals rather than query parameters, because BigQueryExampleGen passes none.

    Args:
      query: the model's query.
      features: a field for each `@name` of the SELECT.
      table: what to read instead of `query.table`, such as `project.dataset.table`.

    Raises:
      UserError: the SELECT uses a name that the settings do not have, or one that is `auto` and has no
        `Query.latest`; or it is not one SELECT.
    """
    return _text(_rendered(query, features, table))


def render_cte(query: Query, features: FeatureSettings, name: str, *, table: str) -> str | None:
    """Returns a SELECT of the rows of one of the model's common table expressions; None if it has none of that name.

    Arguments are those of `render`.
    """
    select = _rendered(query, features, table)
    names = [cte.alias for cte in select.ctes]
    if name not in names:
        return None
    rows = exp.select("*").from_(name)
    for cte in select.ctes[: names.index(name) + 1]:
        rows = rows.with_(cte.alias, as_=cte.this)
    return _text(rows)


def read_from(sql: str, old: str, new: str) -> str:
    """Returns a SELECT in BigQuery's dialect that reads the table `new` wherever it read `old`."""
    select = sqlglot.parse_one(sql, read="bigquery")
    _read_from(select, old, new)
    return _text(select)


def split_queries(query: Query, features: FeatureSettings, *, table: str | None = None) -> dict[str, str]:
    """Returns one BigQuery SELECT for each TFX split, without the split column.

    Each is a single SELECT without `;`, which BigQueryExampleGen can wrap in another.
    """
    select = render(query, features, table=table)
    column = query.split_column
    return {
        split: f"SELECT * EXCEPT ({column}) FROM (\n{select}\n) WHERE {column} = {exp.Literal.string(value)}"
        for split, value in query.splits.items()
    }


def to_duckdb(sql: str) -> str:
    """Returns a statement or expression of BigQuery's dialect in DuckDB's.

    Raises:
      sqlglot.errors.SqlglotError: it does not parse, or DuckDB has no equivalent.
    """
    tree = sqlglot.parse_one(sql, read="bigquery")
    for kind in list(tree.find_all(exp.DataType)):
        # BigQuery's NUMERIC has 38 digits, 9 of them decimals; DuckDB's plain DECIMAL only 18 and 3.
        if kind.this == exp.DataType.Type.DECIMAL and not kind.expressions:
            kind.replace(exp.DataType.build("NUMERIC(38, 9)", dialect="bigquery"))
    text: str = tree.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE, comments=False)
    return text


@contextmanager
def connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens an in-memory DuckDB that knows FARM_FINGERPRINT, spills to disk and never goes online.

    Each connection spills into a temporary folder of its own: DuckDB's spill files have fixed names.
    """
    with tempfile.TemporaryDirectory(prefix="duckdb-") as folder:
        config: dict[str, Any] = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(config=config) as connection:
            connection.create_function("farm_fingerprint", farm_fingerprint, ["VARCHAR"], "BIGINT")
            yield connection


@contextmanager
def open_table(parquet: Path, table: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens a connection in which a parquet file is called `table`."""
    with connect() as connection:
        connection.read_parquet(str(parquet)).create_view(table)
        yield connection


def materialize(connection: duckdb.DuckDBPyConnection, select: str, name: str) -> int:
    """Runs a BigQuery SELECT into a temporary table and returns its number of rows.

    Raises:
      UserError: a value of the data is beyond what the SELECT can compute with.
    """
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS {to_duckdb(select)}")
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise UserError(
            expected="values that the model's SELECT can compute with",
            received=str(error).partition("\n")[0],
            todo="look for extreme values in the raw file and correct them",
        ) from error
    return int(first_row(connection, f"SELECT COUNT(*) FROM {quoted(name)}")[0])


def first_row(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[Any, ...]:
    """Returns the first row of a DuckDB statement.

    Raises:
      LookupError: there is none.
    """
    row: tuple[Any, ...] | None = connection.execute(statement).fetchone()
    if row is None:
        raise LookupError(f"no row from: {statement}")
    return row


def quoted(identifier: str) -> str:
    """Returns a name as a DuckDB identifier."""
    return str(exp.to_identifier(identifier, quoted=True).sql(dialect="duckdb"))


def literal(text: str) -> str:
    """Returns a text as an SQL string literal."""
    return str(exp.Literal.string(text).sql(dialect="duckdb"))


def farm_fingerprint(text: str) -> int:
    """Returns BigQuery's FARM_FINGERPRINT: farmhash's fingerprint64 of the UTF-8 bytes, read as a signed integer.

    >>> farm_fingerprint("1footrue")
    -1541654101129638711
    """
    unsigned: int = farmhash.fingerprint64(text)
    return unsigned - (1 << 64) if unsigned >> 63 else unsigned


def _one_select(text: str, origin: str) -> exp.Expression:
    statements = sqlglot.parse(text, read="bigquery")
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise UserError(
            expected=f"one SELECT in {origin}",
            received=f"{len(statements)} statements",
            todo="use common table expressions (WITH ...) instead of several statements",
        )
    return statements[0]


def _rendered(query: Query, features: FeatureSettings, table: str | None) -> exp.Expression:
    select = _one_select(resource(query.sql).read_text(encoding="utf-8"), query.sql)
    values = features.model_dump()
    used = dict.fromkeys(parameter.name for parameter in select.find_all(exp.Parameter))
    late = [name for name in used if values.get(name) == AUTO]
    if late:
        _find_late(select, late, query)
    for parameter in list(select.find_all(exp.Parameter)):
        parameter.replace(_literal(parameter.name, values, query.sql))
    if table is not None:
        _read_from(select, query.table, table)
    return select


def _find_late(select: exp.Expression, late: list[str], query: Query) -> None:
    """Puts a first common table expression with the values of settings, which stand in the SELECT as @name so far.

    There, and not wherever a setting is used: the text names each expression once.
    """
    for name in late:
        if name not in query.latest:
            raise UserError(
                expected=f"a value of the setting {name}, which {query.sql} uses",
                received=AUTO,
                todo=f"set features.{name}, or add how it is found to `latest` of the model's query",
            )
    for parameter in list(select.find_all(exp.Parameter)):
        if parameter.name in late:
            parameter.replace(sqlglot.parse_one(f"(SELECT {parameter.name} FROM {LATEST})", read="bigquery"))
    fields = ", ".join(f"{query.latest[name]} AS {name}" for name in late)
    select.with_(LATEST, as_=sqlglot.parse_one(f"SELECT {fields}", read="bigquery"), copy=False)
    *others, latest = select.ctes
    latest.parent.set("expressions", [latest, *others])


def _text(select: exp.Expression) -> str:
    # Without comments, so that rewording one changes no cache key.
    text: str = select.sql(dialect="bigquery", pretty=True, comments=False)
    return text


def _literal(name: str, values: dict[str, Any], origin: str) -> exp.Expression:
    if name not in values:
        raise UserError(
            expected=f"one of the feature settings {', '.join('@' + key for key in values)} in {origin}",
            received=f"@{name}",
            todo="correct the name in the SQL, or add the setting to the model's feature settings",
        )
    value = values[name]
    if isinstance(value, date):
        return exp.cast(exp.Literal.string(value.isoformat()), "DATE")
    return exp.convert(value)


def _read_from(select: exp.Expression, old: str, new: str) -> None:
    """Replaces a table's name everywhere; the old name stays as the alias, so `old.column` still works."""
    for table in list(select.find_all(exp.Table)):
        if table.name == old and not table.db:
            table.replace(exp.alias_(exp.to_table(new, dialect="bigquery"), table.alias_or_name, table=True))
