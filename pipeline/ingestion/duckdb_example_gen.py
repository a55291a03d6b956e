"""DuckDBExampleGen: TFX's query-based example generator, with DuckDB in the place of BigQuery.

It takes the very queries that BigQueryExampleGen would take, one a split, and runs them on a local parquet
table. Rows travel as Arrow record batches into TFX's own C++ encoder: no Python object is made of a row but its
encoded bytes, and memory does not grow with the table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf import any_pb2, struct_pb2
from tfx import types
from tfx.components.example_gen import component
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils
from tfx_bsl.coders import example_coder

from pipeline.contract import UserError
from pipeline.fingerprint import digest_code
from pipeline.ingestion.example_files import FILE, REPORT, describe, note_counts
from pipeline.ingestion.raw import RawTable
from pipeline.ingestion.sql import materialize, open_table

BATCH_ROWS = 10_000
"""Rows in memory at a time: a few MB."""


class Executor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
    """Runs each split's query and writes its rows as tf.Examples.

    A Beam executor only because query-based example generators have to be; it starts no Beam pipeline.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `Split-<name>/data_tfrecord-00000-of-00001.gz` a split, and the ingestion report.

        Raises:
          UserError: a split has no row.
          RuntimeError: not every row that a query returned was written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        queries = _queries(exec_properties)
        config = _config(exec_properties)
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        describe(examples, list(queries))
        written = {}
        for split, query in queries.items():
            folder = artifact_utils.get_split_uri([examples], split)
            fileio.makedirs(folder)
            written[split] = write_examples(
                Path(config["parquet"]), config["table"], query, split, os.path.join(folder, FILE)
            )
        _check_complete(config, sum(written.values()))
        note_counts(examples, written)
        fileio.copy(config["report"], os.path.join(examples.uri, REPORT), overwrite=True)


class DuckDBExampleGen(component.QueryBasedExampleGen):  # type: ignore[misc]
    """Generates examples from a raw table, by one BigQuery SELECT a split."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, queries: dict[str, str], whole: str, raw: RawTable, table: str) -> None:
        """Builds the component.

        Args:
          queries: split name -> SELECT in BigQuery's dialect, columns INT64, FLOAT64, STRING or BOOL.
          whole: the SELECT of all splits, whose rows are counted: none may be in no split.
          raw: the raw table. Its digest and this code's digest are part of the cache key.
          table: what the queries call the raw table.
        """
        splits = [example_gen_pb2.Input.Split(name=name, pattern=query) for name, query in queries.items()]
        config = struct_pb2.Struct()
        config.update(
            {
                "parquet": str(raw.parquet),
                "report": str(raw.parquet.with_name("report.json")),
                "raw_digest": raw.digest,
                "code_digest": digest_code(__name__),
                "table": table,
                "whole": whole,
            }
        )
        packed = any_pb2.Any()
        packed.Pack(config)
        super().__init__(
            input_config=example_gen_pb2.Input(splits=splits),
            custom_config=example_gen_pb2.CustomConfig(custom_config=packed),
        )


def _check_complete(config: dict[str, str], written: int) -> None:
    with open_table(Path(config["parquet"]), config["table"]) as connection:
        rows = materialize(connection, config["whole"], "everything")
    if written != rows:
        raise RuntimeError(f"the query returned {rows} rows, but {written} examples were written: some are in no split")


def write_examples(parquet: Path, table: str, query: str, split: str, out: str) -> int:
    """Writes the rows of a query as tf.Examples to a gzip TFRecord file, ordered, and returns their number.

    Raises:
      UserError: the query returns no row.
      TypeError: a column is of a type that BigQueryExampleGen would not take either.
      RuntimeError: not every row was written.
    """
    with open_table(parquet, table) as connection:
        rows = materialize(connection, query, "examples")
        if rows == 0:
            raise UserError(
                expected=f"at least one row in the split {split!r}",
                received="none",
                todo="bring more data, or change the split of the model's SELECT",
            )
        written = 0
        with tf.io.TFRecordWriter(out, options="GZIP") as writer:
            for record in _records(connection):
                writer.write(record)
                written += 1
    if written != rows:
        raise RuntimeError(f"split {split!r}: the query returned {rows} rows, but {written} examples were written")
    return written


def to_examples(batch: pa.RecordBatch) -> list[bytes]:
    """Returns the rows of a batch as serialized tf.Examples; NULL becomes a feature without values.

    Raises:
      TypeError: a column is neither integer, float, string nor boolean.
    """
    columns = [_as_lists(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
    encoder = example_coder.RecordBatchToExamplesEncoder()
    encoded: list[bytes] = encoder.encode(pa.RecordBatch.from_arrays(columns, names=batch.schema.names))
    return encoded


def _records(connection: duckdb.DuckDBPyConnection) -> Iterator[bytes]:
    # Ordered by all columns: DuckDB's threads return rows in any order, but the same data has to give the same
    # records in the same order (the order of the features within a record is the encoder's own, and varies).
    reader = connection.sql("SELECT * FROM examples ORDER BY ALL").to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        yield from to_examples(batch)


def _as_lists(name: str, column: pa.Array) -> pa.Array:
    """A feature of tf.Example is a list: of one value here, or of none for NULL."""
    values = column.drop_null().cast(_feature_type(name, column.type))
    offsets = np.concatenate([[0], np.cumsum(np.asarray(column.is_valid()))])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)


def _feature_type(name: str, kind: pa.DataType) -> pa.DataType:
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float32()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.large_binary()
    raise TypeError(f"column {name!r}: expected INT64, FLOAT64, STRING or BOOL, received {kind}; CAST it in the SELECT")


def _queries(exec_properties: dict[str, Any]) -> dict[str, str]:
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.INPUT_CONFIG_KEY], config)
    return {split.name: split.pattern for split in config.splits}


def _config(exec_properties: dict[str, Any]) -> dict[str, str]:
    custom = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], custom)
    config = struct_pb2.Struct()
    custom.custom_config.Unpack(config)
    return {key: str(value) for key, value in config.items()}
