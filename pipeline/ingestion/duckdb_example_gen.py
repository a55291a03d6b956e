"""DuckDBExampleGen: TFX's query-based example generator, with DuckDB in the place of BigQuery.

It takes the very queries that BigQueryExampleGen would take, one a split, and runs them on a local parquet
table. Memory does not grow with the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfx.components.example_gen import component
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio

from pipeline.fingerprint import digest_code
from pipeline.ingestion.query_example_gen import EXAMPLES, QueryExecutor, component_inputs, write_records
from pipeline.ingestion.raw import RawTable
from pipeline.ingestion.sql import materialize, open_table


class Executor(QueryExecutor):
    """Runs each split's query in DuckDB and writes its rows as tf.Examples."""

    def write_split(self, config: dict[str, Any], query: str, split: str, out: str) -> int:
        """Writes the rows of a query and returns their number."""
        return write_examples(Path(config["parquet"]), config["table"], query, split, out)

    def count_rows(self, config: dict[str, Any]) -> int:
        """Returns how many rows the query of all splits has."""
        with open_table(Path(config["parquet"]), config["table"]) as connection:
            return materialize(connection, config["whole"], "everything")

    def write_report(self, config: dict[str, Any], out: str) -> None:
        """Copies the report that was written when the raw file was read."""
        fileio.copy(config["report"], out, overwrite=True)


class DuckDBExampleGen(component.QueryBasedExampleGen):  # type: ignore[misc]
    """Generates examples from a raw table, by one BigQuery SELECT a split."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self, queries: dict[str, str], whole: str, raw: RawTable, table: str, optional: Sequence[str] = ()
    ) -> None:
        """Builds the component.

        Args:
          queries: split name -> SELECT in BigQuery's dialect, columns INT64, FLOAT64, STRING or BOOL.
          whole: the SELECT of all splits, whose rows are counted: none may be in no split.
          raw: the raw table. Its digest and this code's digest are part of the cache key.
          table: what the queries call the raw table.
          optional: splits that may be empty.
        """
        config = {
            "parquet": str(raw.parquet),
            "report": str(raw.parquet.with_name("report.json")),
            "raw_digest": raw.digest,
            "code_digest": digest_code(__name__),
            "table": table,
            "whole": whole,
        }
        super().__init__(**component_inputs(queries, config, optional))


def write_examples(parquet: Path, table: str, query: str, split: str, out: str) -> int:
    """Writes the rows of a query as tf.Examples to a gzip TFRecord file, ordered, and returns their number.

    Raises:
      TypeError: a column is of a type that BigQueryExampleGen would not take either.
      RuntimeError: not every row was written.
    """
    with open_table(parquet, table) as connection:
        return write_records(connection, materialize(connection, query, EXAMPLES), split, out)
