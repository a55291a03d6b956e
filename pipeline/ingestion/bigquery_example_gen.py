"""BigQueryTableExampleGen: TFX's BigQueryExampleGen, with its queries run by Google's own client.

TFX's executor reads through an export job of Beam's into a bucket, makes a Python object of each row and counts nothing
of the raw rows, which the data gate could not judge then. This one is the twin of DuckDBExampleGen: the same queries,
the same records in the same order, the same report.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.extensions.google_cloud_big_query.example_gen import component

from pipeline.contract import Query
from pipeline.fingerprint import digest_code
from pipeline.ingestion.bigquery import BigQueryTable, Count, count_query, download, first_row, read_report
from pipeline.ingestion.query_example_gen import EXAMPLES, QueryExecutor, component_inputs, write_records
from pipeline.ingestion.sql import open_table


class Executor(QueryExecutor):
    """Runs each split's query in BigQuery and writes its rows as tf.Examples."""

    def write_split(self, config: dict[str, Any], query: str, split: str, out: str) -> int:
        """Writes the rows of a query and returns their number; on their way they are in a local parquet file."""
        with tempfile.TemporaryDirectory(prefix="bigquery-") as folder:
            parquet = Path(folder) / "rows.parquet"
            rows = download(_table(config), query, parquet)
            with open_table(parquet, EXAMPLES) as connection:
                return write_records(connection, rows, split, out)

    def count_rows(self, config: dict[str, Any]) -> int:
        """Returns how many rows the query of all splits has."""
        return int(first_row(_table(config), f"SELECT COUNT(*) AS n FROM (\n{config['whole']}\n)")[0])

    def write_report(self, config: dict[str, Any], out: str) -> None:
        """Writes what BigQuery counts of the raw rows."""
        count = Count(**{key: _plain(value) for key, value in dict(config["count"]).items()})
        with fileio.open(out, "w") as file:
            file.write(read_report(_table(config), count).model_dump_json(indent=2))


class BigQueryTableExampleGen(component.BigQueryExampleGen):  # type: ignore[misc]
    """Generates examples from a table in BigQuery, by one SELECT a split."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, queries: dict[str, str], whole: str, table: BigQueryTable, query: Query) -> None:
        """Builds the component; asks nobody.

        Args:
          queries: split name -> SELECT on the table, columns INT64, FLOAT64, STRING or BOOL.
          whole: the SELECT of all splits, whose rows are counted: none may be in no split.
          table: the raw table. Its state and this code's digest are part of the cache key.
          query: the model's query, which says what is counted of the raw rows.
        """
        config = {
            "table": asdict(table),
            "count": asdict(count_query(table.address, query)),
            "code_digest": digest_code(__name__),
            "whole": whole,
        }
        super().__init__(**component_inputs(queries, config, query.learnt_besides))


def _table(config: dict[str, Any]) -> BigQueryTable:
    return BigQueryTable(**dict(config["table"]))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else list(value)
