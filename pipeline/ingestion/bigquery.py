"""Raw tables in BigQuery: found, asked, counted and read, with Google's own client and its refusals in plain words.

With BIGQUERY_EMULATOR_HOST set, which Google's client honours, a stand-in on this machine is asked instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.contract import Ask, Column, Condition, Query, UserError
from pipeline.fingerprint import digest_json
from pipeline.google_words import LOGIN, first_line, is_loopback
from pipeline.ingestion.raw import ForbiddenRows, RawReport
from pipeline.ingestion.sql import read_from

EMULATOR = "BIGQUERY_EMULATOR_HOST"
ADDRESS = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]\.\w{1,1024}\.[\w-]{1,1024}")
PATIENCE_S = 60
"""How long a first call is tried again where nothing answers."""

PAGE_ROWS = 10_000
"""Rows of an answer in memory at a time."""

TYPES: dict[str, tuple[str, ...]] = {
    "string": ("STRING",),
    "integer": ("INTEGER", "INT64"),
    "float": ("FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC", "INTEGER", "INT64"),
    "timestamp": ("DATETIME", "TIMESTAMP", "DATE"),
}
"""`Column.type` -> types in BigQuery that the model's SELECT can read."""


@dataclass(frozen=True)
class BigQueryTable:
    """A raw table.

    Attributes:
      project: that queries run in, and that pays for them.
      location: of the data set, such as EU or europe-west4.
      address: `project.dataset.table`.
      state: digest that changes with the table's content; see `find_table`.
    """

    project: str
    location: str
    address: str
    state: str = ""


@dataclass(frozen=True)
class Count:
    """A SELECT of one row that counts raw rows, and what its columns are.

    Attributes:
      sql: columns in this order: all rows; rows of each of `left_out`; rows, and an example, of each of `forbidden`.
      left_out, forbidden: names of the conditions.
      unless_none: those of `forbidden` that are only spoken of where there are such rows.
    """

    sql: str
    left_out: list[str]
    forbidden: list[str]
    unless_none: list[str]


def connect(project: str, location: str) -> Any:
    """Returns a `google.cloud.bigquery.Client`; without credentials for a stand-in on this machine.

    Raises:
      google.auth.exceptions.DefaultCredentialsError: there are no credentials; `understood` says so in words.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    standin = is_loopback(os.environ.get(EMULATOR, ""))
    return bigquery.Client(project=project, location=location, credentials=AnonymousCredentials() if standin else None)


def find_table(project: str, location: str, address: str, query: Query) -> BigQueryTable:
    """Returns a raw table with the digest of its state: when it changed last, rows, bytes and columns.

    Args:
      project: that queries run in.
      location: of the data set.
      address: `project.dataset.table`.
      query: what is to read it.

    Raises:
      UserError: there is no such table, it may not be read, it is a view (whose state says nothing of its content), or
        lacks a column.
    """
    table = BigQueryTable(project, location, checked(address))
    with understood(table):
        found = connect(project, location).get_table(address, retry=patience())
    if found.table_type not in ("TABLE", "SNAPSHOT"):
        raise UserError(
            expected=f"a table {address}, whose date of change tells whether its rows are still the same",
            received=f"a {found.table_type.lower().replace('_', ' ')}",
            todo="write what it shows to a table, for instance with a scheduled query, and name that one",
        )
    _check_columns(address, {field.name.lower(): field.field_type for field in found.schema}, query)
    schema = [field.to_api_repr() for field in found.schema]
    state = digest_json([address, str(found.modified), found.num_rows, found.num_bytes, schema])
    return BigQueryTable(project, location, address, state)


def ask(table: BigQueryTable, query: Query) -> Ask:
    """Returns a function that runs a BigQuery SELECT on the table and returns its first row."""

    def run(sql: str) -> tuple[Any, ...]:
        return first_row(table, read_from(sql, query.table, table.address))

    return run


def first_row(table: BigQueryTable, sql: str) -> tuple[Any, ...]:
    """Returns the first row of a SELECT.

    Raises:
      UserError: BigQuery refused.
      LookupError: there is none.
    """
    with understood(table):
        for row in connect(table.project, table.location).query(sql).result(max_results=1):
            return tuple(row.values())
    raise LookupError(f"no row from: {sql}")


def download(table: BigQueryTable, sql: str, parquet: Path) -> int:
    """Writes the rows of a SELECT to a parquet file, page by page, and returns how many BigQuery says they are.

    Raises:
      UserError: BigQuery refused.
    """
    with understood(table):
        rows = connect(table.project, table.location).query(sql).result(page_size=PAGE_ROWS)
        # Without BigQuery's Storage API, which needs a permission more; there is always a first page.
        batches = rows.to_arrow_iterable()
        first = next(batches)
        with pq.ParquetWriter(parquet, first.schema) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)
    return int(rows.total_rows)


def count_query(address: str, query: Query) -> Count:
    """Returns the SELECT that counts what ingestion from a file would count.

    In a file, a row without a value that the SELECT needs would be unusable. Here the SELECT would see it, so that it
    is forbidden.
    """
    required = [_missing(column) for column in query.columns if column.required]
    forbidden = [*query.forbidden, *required]
    row = f"TO_JSON_STRING(STRUCT({', '.join(f'`{column.name}`' for column in query.columns)}))"
    fields = ["COUNT(*)", *(f"COUNTIF({condition.where})" for condition in query.left_out)]
    for rule in forbidden:
        fields += [f"COUNTIF({rule.where})", f"MIN(IF({rule.where}, {row}, NULL))"]
    named = ",\n  ".join(f"{field} AS f{number}" for number, field in enumerate(fields))
    return Count(
        sql=f"SELECT\n  {named}\nFROM `{address}` AS {query.table}",
        left_out=[condition.name for condition in query.left_out],
        forbidden=[rule.name for rule in forbidden],
        unless_none=[rule.name for rule in required],
    )


def read_report(table: BigQueryTable, count: Count) -> RawReport:
    """Returns what is to be said of a table's raw rows. None is in quarantine: that was done when it was loaded.

    Raises:
      UserError: BigQuery refused, or the table is empty.
    """
    rows, *counted = first_row(table, count.sql)
    if rows == 0:
        raise UserError(expected=f"at least one row in {table.address}", received="none", todo="load data into it")
    left_out, found = counted[: len(count.left_out)], counted[len(count.left_out) :]
    forbidden = {
        name: ForbiddenRows(rows=number, examples=[example] if example else [])
        for name, number, example in zip(count.forbidden, found[::2], found[1::2], strict=True)
        if number or name not in count.unless_none
    }
    return RawReport(
        source=table.address,
        source_sha256=table.state,
        rows_read=rows,
        rows_usable=rows,
        quarantined=0,
        quarantined_by_reason={},
        left_out=dict(zip(count.left_out, left_out, strict=True)),
        forbidden=forbidden,
    )


def checked(address: str) -> str:
    """Returns an address of a table.

    Raises:
      UserError: it is none.
    """
    if not ADDRESS.fullmatch(address):
        raise UserError(
            expected="a table in BigQuery, as project.dataset.table", received=repr(address), todo="correct the address"
        )
    return address


def patience() -> Any:
    """Returns how calls are tried again: Google's client would go on for ten minutes where nothing answers."""
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(PATIENCE_S)


@contextmanager
def understood(table: BigQueryTable, doing: str = "read") -> Iterator[None]:
    """Turns what Google's client raises into a `UserError` that says what to do.

    Args:
      table: that is asked.
      doing: `read`, or `write`, which needs other permissions.
    """
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        yield
    except (exceptions.RetryError, requests.RequestException, ConnectionError, TransportError) as error:
        host = os.environ.get(EMULATOR) or "BigQuery"
        todo = f"look at the network, a proxy, or {EMULATOR}"
        raise UserError(expected=f"to reach {host}", received=first_line(error), todo=todo) from error
    except GoogleAuthError as error:
        raise UserError(expected="credentials for BigQuery", received=first_line(error), todo=LOGIN) from error
    except exceptions.GoogleAPICallError as error:
        expected, todo = _meaning(table, error, doing)
        raise UserError(expected=expected, received=first_line(error), todo=todo) from error


def _meaning(table: BigQueryTable, error: Any, doing: str) -> tuple[str, str]:
    """Returns what was expected, and what to do."""
    from google.api_core import exceptions

    role = "Data Viewer" if doing == "read" else "Data Editor"
    match error:
        case exceptions.NotFound():
            where = f"{table.address} in the location {table.location}, as seen from the project {table.project}"
            return where, "correct vertex.sources, vertex.bigquery_location or vertex.project, or load the table first"
        case exceptions.Forbidden() | exceptions.Unauthenticated():
            return (
                f"permission to {doing} {table.address} and to run jobs in the project {table.project}",
                f"have the roles BigQuery {role} on the data set and BigQuery Job User on the project granted",
            )
        case exceptions.BadRequest():
            return (
                f"a request that BigQuery takes, on {table.address}",
                "correct the SQL or the table, as the answer says",
            )
        case _:
            return (
                f"an answer from BigQuery on {table.address}",
                "try again later; status.cloud.google.com tells of outages",
            )


def _missing(column: Column) -> Condition:
    empty = f" OR TRIM(`{column.name}`) = ''" if column.type == "string" else ""
    return Condition(name=f"no {column.name}", where=f"`{column.name}` IS NULL{empty}")


def _check_columns(address: str, found: dict[str, str], query: Query) -> None:
    wrong = [
        f"{column.name} ({' or '.join(TYPES[column.type])})"
        for column in query.columns
        if found.get(column.name.lower()) not in TYPES[column.type]
    ]
    if wrong:
        raise UserError(
            expected=f"columns of {address}: {', '.join(wrong)}",
            received=_listed([f"{name} ({kind})" for name, kind in found.items()]),
            todo="load it with `pipelines load-bigquery`, or write a table with these columns from yours",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
