"""Reads rows from a table in BigQuery, `bq://project.dataset.table`, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.ingestion.bigquery import PAGE_ROWS, BigQueryTable, checked, connect, patience, understood
from runners.batch.rows import Source
from runners.batch.sources import check_columns, of_batches
from runners.serving.loaded import Signature

SCHEME = "bq://"


def open_table(address: str, signature: Signature, project: str | None = None) -> Source:
    """Opens a table, in the order in which BigQuery gives its rows.

    Args:
      address: `bq://project.dataset.table`.
      signature: what is to read it.
      project: that the query runs in, and that pays for it; the table's if None.

    Raises:
      UserError: there is no such table, it may not be read, or lacks a column.
    """
    name = checked(address.removeprefix(SCHEME))
    project = project or name.partition(".")[0]
    table = BigQueryTable(project, "", name)
    with understood(table):
        found = connect(project, "").get_table(name, retry=patience())
        table = BigQueryTable(project, found.location, name)
    check_columns(name, [field.name for field in found.schema], signature)
    with understood(table):
        sql = f"SELECT * FROM `{name}`"
        rows = connect(project, found.location).query(sql).result(page_size=PAGE_ROWS)
    # Without BigQuery's Storage API, which needs a permission more.
    return Source(of_batches(_pages(table, rows), signature), total=int(rows.total_rows))


def _pages(table: BigQueryTable, rows: Any) -> Iterator[Any]:
    pages: Iterable[Any] = rows.to_arrow_iterable()
    with understood(table):
        yield from pages
