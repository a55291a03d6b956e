"""Predictions by TFX's own way for many rows: `RunInference` of tfx_bsl, which is what BulkInferrer runs, in Beam."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.contract import UserError
from runners.batch.examples import records, rows_of
from runners.batch.predicting import Ask
from runners.batch.rows import BATCH_ROWS, chunks
from runners.beam import BEAM_ARGS
from runners.serving.loaded import Columns, Signature

SCHEMA = pa.schema([("number", pa.int64()), ("log", pa.binary())])


@contextmanager
def predicted(path: Path, version: Path, signature: Signature) -> Iterator[Ask]:
    """Runs Beam over a file of tf.Examples, and lends what answers with its predictions, in the order of the file.

    Args:
      path: of serialized tf.Examples.
      version: folder of the model.
      signature: what it is asked: one that takes tf.Examples.

    Raises:
      UserError: Beam failed.
    """
    if any(tensor.dtype == "string" for tensor in signature.outputs.values()):
        raise UserError(
            expected="a signature that answers numbers only, since tfx_bsl takes no others",
            received=f"{signature.name}, which answers {', '.join(signature.outputs)}",
            todo="leave out --beam",
        )
    with tempfile.TemporaryDirectory(prefix="predictions-") as folder:
        try:
            _run(path, version, signature, f"{folder}/logs")
        except Exception as error:  # Beam raises what its workers raise, and worse.
            raise UserError(
                expected=f"predictions of all rows of {path} from {version}, by Beam",
                received=" ".join(str(error).split())[-300:],
                todo="leave out --beam: then a row that the model refuses is told by itself",
            ) from error
        yield _taking(_ordered(f"{folder}/logs*"), signature)


def _run(path: Path, version: Path, signature: Signature, prefix: str) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from tfx_bsl.public.beam import RunInference
    from tfx_bsl.public.proto import model_spec_pb2

    model = model_spec_pb2.SavedModelSpec(model_path=str(version), signature_name=[signature.name])
    with beam.Pipeline(options=PipelineOptions(list(BEAM_ARGS))) as pipeline:
        _ = (
            pipeline
            | "files" >> beam.Create([str(path)])
            | "records" >> beam.FlatMap(_numbered, signature).with_output_types(tuple[int, bytes])
            | "predictions" >> RunInference(model_spec_pb2.InferenceSpecType(saved_model_spec=model))
            | "rows" >> beam.MapTuple(lambda number, log: {"number": number, "log": log.SerializeToString()})
            | "write" >> beam.io.WriteToParquet(prefix, SCHEMA)
        )


def _numbered(path: str, signature: Signature) -> Iterator[tuple[int, bytes]]:
    """The records that are tf.Examples, numbered among themselves."""
    number = 0
    for chunk in chunks(records(Path(path)), BATCH_ROWS):
        for record in rows_of(signature, list(enumerate(chunk))).wanted[next(iter(signature.inputs))]:
            yield number, record
            number += 1


def _ordered(pattern: str) -> Iterator[bytes]:
    """Beam promises no order; DuckDB sorts on disk what does not fit into memory."""
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute("SELECT log FROM read_parquet(?) ORDER BY number", [pattern])
        for batch in found.to_arrow_reader(BATCH_ROWS):
            yield from batch.column(0).to_pylist()


def _taking(logs: Iterator[bytes], signature: Signature) -> Ask:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2  # type: ignore[import-untyped]

    def outputs(log: bytes) -> dict[str, Any]:
        told = prediction_log_pb2.PredictionLog.FromString(log).predict_log.response.outputs
        return {name: tf.make_ndarray(told[name])[0] for name in signature.outputs}

    def ask(columns: Columns) -> Columns:
        (asked,) = columns.values()
        rows = [outputs(next(logs)) for _ in range(len(asked))]
        try:
            return {name: np.array([row[name] for row in rows]) for name in signature.outputs}
        except ValueError as error:  # Of several shapes. Asking again would take the next rows' answers.
            raise UserError(
                expected="answers of one shape, with --beam", received=str(error), todo="leave out --beam"
            ) from error

    return ask
