"""Loads raw rows into BigQuery, as the models' queries read them: typed, partitioned by month, all or nothing."""

from __future__ import annotations

from typing import Any, Literal

from pipeline.contract import Column, FeatureSettings, Query, UserError
from pipeline.ingestion.bigquery import BigQueryTable, checked, connect, understood
from pipeline.ingestion.raw import RawTable
from pipeline.ingestion.sql import render, render_cte

Write = Literal["fail", "append", "replace"]
DISPOSITIONS = {"fail": "WRITE_EMPTY", "append": "WRITE_APPEND", "replace": "WRITE_TRUNCATE"}
TYPES = {"string": "STRING", "integer": "INTEGER", "float": "FLOAT", "timestamp": "DATETIME"}
"""Type of a raw column -> of the table's."""


def load(raw: RawTable, query: Query, table: BigQueryTable, write: Write = "fail") -> int:
    """Makes a table hold raw rows, and returns how many it holds then. The data set is made where it is missing.

    Args:
      raw: the typed rows.
      query: says which columns there are.
      table: where to.
      write: what becomes of a table that is there: `fail` leaves it alone and refuses, `append` adds to its rows,
        `replace` puts these in their place.

    Raises:
      UserError: the table holds rows and `write` is `fail`, it lies elsewhere, or BigQuery refuses. Nothing of these
        rows is in the table then.
    """
    from google.cloud import bigquery

    checked(table.address)
    config = bigquery.LoadJobConfig(
        source_format="PARQUET", schema=_schema(query), write_disposition=DISPOSITIONS[write], **_layout(query)
    )
    with understood(table, "write"):
        client = connect(table.project, table.location)
        _make_data_set(client, table)
        with raw.parquet.open("rb") as file:
            job = client.load_table_from_file(file, table.address, job_config=config, location=table.location)
        try:
            job.result()
        except Exception as error:
            if write == "fail" and "Already Exists" in str(error):
                raise _taken(table) from error
            raise
        return int(client.get_table(table.address).num_rows)


def refuse_unusable(raw: RawTable, share: float) -> None:
    """Refuses a file too much of which is unusable: what is left of it says little of the shop.

    Raises:
      UserError: more than `share` of the rows, 0 to 1, are in quarantine.
    """
    report = raw.report
    found = report.quarantined / report.rows_read
    if found > share:
        raise UserError(
            expected=f"at most {share:.2%} unusable rows in {report.source}",
            received=f"{report.quarantined:,} of {report.rows_read:,}, {found:.2%}; reasons in {raw.quarantine}",
            todo="correct the file, or say how it is written with the settings that `pipelines doctor --data` proposes",
        )


def write_derived(query: Query, features: FeatureSettings, table: BigQueryTable) -> dict[str, int]:
    """Writes what the model's SELECT makes of a table beside it, for analysts; returns address -> rows.

    `<table>_clean` holds the rows of the SELECT's common table expression `clean`, if it has one; `<table>_features`
    the feature table, all splits.

    Raises:
      UserError: BigQuery refused.
    """
    clean = render_cte(query, features, "clean", table=table.address)
    selects = {"features": render(query, features, table=table.address), **({"clean": clean} if clean else {})}
    return {f"{table.address}_{name}": _write(table, f"{table.address}_{name}", sql) for name, sql in selects.items()}


def _write(table: BigQueryTable, address: str, select: str) -> int:
    from google.cloud import bigquery

    config = bigquery.QueryJobConfig(destination=address, write_disposition="WRITE_TRUNCATE")
    with understood(table, "write"):
        client = connect(table.project, table.location)
        client.query(select, job_config=config).result()
        return int(client.get_table(address).num_rows)


def _make_data_set(client: Any, table: BigQueryTable) -> None:
    from google.api_core.exceptions import NotFound
    from google.cloud import bigquery

    address = table.address.rpartition(".")[0]
    try:
        found = client.get_dataset(address)
    except NotFound:
        fresh = bigquery.Dataset(address)
        fresh.location = table.location
        found = client.create_dataset(fresh)
    if found.location.lower() != table.location.lower():
        raise UserError(
            expected=f"the data set {address} in {table.location}",
            received=f"one in {found.location}",
            todo=f"set vertex.bigquery_location to {found.location}, or name another data set in vertex.sources",
        )


def _schema(query: Query) -> list[Any]:
    """All NULLABLE: the columns of a parquet file are, and BigQuery takes no other mode for them."""
    from google.cloud import bigquery

    return [
        bigquery.SchemaField(column.name, TYPES[column.type], description=column.source) for column in query.columns
    ]


def _layout(query: Query) -> dict[str, Any]:
    """By month: a table has at most 10,000 partitions, which days would use up in 27 years."""
    from google.cloud import bigquery

    dates: list[Column] = [column for column in query.columns if column.type == "timestamp"]
    return {"time_partitioning": bigquery.TimePartitioning("MONTH", field=dates[0].name)} if dates else {}


def _taken(table: BigQueryTable) -> UserError:
    return UserError(
        expected=f"no rows in {table.address}",
        received="a table that holds some",
        todo="add to them with --write append, or put these in their place with --write replace",
    )
