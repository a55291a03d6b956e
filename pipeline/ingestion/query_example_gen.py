"""What query-based example generators share, whichever engine runs the queries: splits, records, counts, report.

Rows travel as Arrow record batches into TFX's own C++ encoder: no Python object is made of a row but its encoded
bytes. They are ordered by DuckDB whatever engine they come from, so that the same rows give the same records.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf import any_pb2, struct_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils
from tfx_bsl.coders import example_coder

from pipeline.contract import UserError
from pipeline.ingestion.example_files import FILE, REPORT, describe, note_counts

BATCH_ROWS = 10_000
"""Rows in memory at a time: a few MB."""

EXAMPLES = "examples"
"""What the table of a split's rows is called in DuckDB."""

_OPTIONAL = "optional"
"""Key of the splits that may be empty."""


class QueryExecutor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
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
          RuntimeError: not every row that a query returned was written, or a row is in no split.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        queries = _queries(exec_properties)
        config = _config(exec_properties)
        optional = config[_OPTIONAL]
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        describe(examples, list(queries))
        written = {}
        for split, query in queries.items():
            folder = artifact_utils.get_split_uri([examples], split)
            fileio.makedirs(folder)
            written[split] = self.write_split(config, query, split, os.path.join(folder, FILE))
            if not written[split] and split not in optional:
                raise _empty(split)
        _check_complete(self.count_rows(config), sum(written.values()))
        note_counts(examples, written)
        self.write_report(config, os.path.join(examples.uri, REPORT))

    @abstractmethod
    def write_split(self, config: dict[str, Any], query: str, split: str, out: str) -> int:
        """Writes the rows of a query with `write_records` and returns their number."""

    @abstractmethod
    def count_rows(self, config: dict[str, Any]) -> int:
        """Returns how many rows the query of all splits has."""

    @abstractmethod
    def write_report(self, config: dict[str, Any], out: str) -> None:
        """Writes what became of the raw rows (`pipeline.ingestion.raw.RawReport`)."""


def component_inputs(
    queries: Mapping[str, str], config: Mapping[str, Any], optional: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns what TFX's query-based example generators take, `input_config` and `custom_config`.

    Args:
      queries: split name -> SELECT.
      config: what the executor is told besides; part of the cache key.
      optional: splits that may be empty.
    """
    splits = [example_gen_pb2.Input.Split(name=name, pattern=query) for name, query in queries.items()]
    struct = struct_pb2.Struct()
    struct.update({**config, _OPTIONAL: list(optional)})
    packed = any_pb2.Any()
    packed.Pack(struct)
    return {
        "input_config": example_gen_pb2.Input(splits=splits),
        "custom_config": example_gen_pb2.CustomConfig(custom_config=packed),
    }


def write_records(connection: duckdb.DuckDBPyConnection, rows: int, split: str, out: str) -> int:
    """Writes DuckDB's table `examples` as tf.Examples to a gzip TFRecord file, ordered, and returns their number.

    Args:
      connection: where the table is.
      rows: how many rows the query returned.
      split: name of the split, for people.
      out: the file.

    Raises:
      TypeError: a column is of a type that BigQueryExampleGen would not take either.
      RuntimeError: not every row was written.
    """
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


def _empty(split: str) -> UserError:
    return UserError(
        expected=f"at least one row in the split {split!r}",
        received="none",
        todo="bring more data, or change the split of the model's SELECT",
    )


def _check_complete(rows: int, written: int) -> None:
    if written != rows:
        raise RuntimeError(f"the query returned {rows} rows, but {written} examples were written: some are in no split")


def _records(connection: duckdb.DuckDBPyConnection) -> Iterator[bytes]:
    # Ordered by all columns: engines return rows in any order, but the same data has to give the same records in the
    # same order (the order of the features within a record is the encoder's own, and varies).
    reader = connection.sql(f"SELECT * FROM {EXAMPLES} ORDER BY ALL").to_arrow_reader(BATCH_ROWS)
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


def _config(exec_properties: dict[str, Any]) -> dict[str, Any]:
    custom = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], custom)
    config = struct_pb2.Struct()
    custom.custom_config.Unpack(config)
    return dict(config)
