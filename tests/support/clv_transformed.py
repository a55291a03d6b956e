"""TFX Transform's own code on rows of the CLV model's feature table, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from numpy.typing import NDArray
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from models.clv import features, preprocessing, serving

Table = Mapping[str, NDArray[Any]]
GRAPH, EXAMPLES = "graph", "examples-*"
"""Names in the folder: of the transform graph, and of the files of transformed examples."""


def write_transformed(table: Table, folder: Path, earlier: Table | None = None) -> None:
    """Writes transformed examples and the transform graph, which is analysed on the table alone, as in the pipeline.

    Args:
      table: rows of the training split, by column.
      folder: receives what is written.
      earlier: rows as of earlier days, to learn from besides.
    """
    types = serving.input_types() | {name: tf.float32 for name in features.LABELS}
    types |= {features.CUSTOMER: tf.string, features.BEFORE_CUTOFF: tf.int64}
    spec = {name: tf.io.FixedLenFeature([], kind) for name, kind in types.items()}
    raw = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(temp_dir=str(folder / "tmp")):
        analysed = (pipeline | "train" >> beam.Create(_rows(table, spec)), raw)
        (examples, metadata), graph = analysed | tft_beam.AnalyzeAndTransformDataset(preprocessing.preprocessing_fn)
        besides = ((pipeline | "earlier" >> beam.Create(_rows(earlier or {}, spec)), raw), graph)
        more, _ = besides | tft_beam.TransformDataset()
        encode = tft.coders.ExampleProtoCoder(metadata.schema).encode
        write = beam.io.WriteToTFRecord(str(folder / "examples"), file_name_suffix=".gz")
        _ = (examples, more) | beam.Flatten() | "encode" >> beam.Map(encode) | "examples" >> write
        _ = graph | tft_beam.WriteTransformFn(str(folder / GRAPH))


def known(values: NDArray[Any]) -> NDArray[Any]:
    """Returns the same values, with what stands for an unknown number in the place of NaN."""
    return np.where(np.isnan(values), features.UNKNOWN_NUMBER, values) if values.dtype.kind == "f" else values


def _rows(table: Table, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = {name: known(table[name]) for name in spec} if table else {}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
