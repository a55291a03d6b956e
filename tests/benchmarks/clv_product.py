"""The product's own CLV model as a candidate of cross-validation: its preprocessing, trainer and signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from cross_validation import HIGH, LOW, MEAN, Answer, Candidate, Table
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from models.clv import MODEL, features, preprocessing, serving, trainer
from pipeline.settings import make_settings

OUTPUTS = {MEAN: features.FUTURE, LOW: "future_p10", HIGH: "future_p90"}
"""What is judged -> what the signature calls it, if it answers it."""


def candidate(folder: Path, training: Mapping[str, Any]) -> Candidate:
    """Returns the product's model as a candidate.

    Args:
      folder: receives the transformed examples of each set of training rows, once for all seeds and settings.
      training: training settings other than the defaults.
    """

    def fit_and_ask(fitted: Table, held_out: Table, seed: int) -> Answer:
        chosen = make_settings(MODEL, {"training": {**training, "seed": seed}}).training
        place = transformed(fitted, folder)
        graph = tft.TFTransformOutput(str(place / "graph"))
        model, _ = trainer.fitted([f"{place}/examples-*"], graph, chosen.model_dump(mode="json"))
        return ask(model, graph, held_out)

    return fit_and_ask


def ask(model: Any, transform: tft.TFTransformOutput, rows: Table) -> Answer:
    """Returns what the model's default signature answers for rows of the feature table."""
    signature = serving.signatures(model, transform.transform_features_layer())["serving_default"]
    asked = {name: tf.constant(_known(rows[name]), kind) for name, kind in serving.input_types().items()}
    answer = signature(**asked)
    return {name: answer[output].numpy().astype("float64") for name, output in OUTPUTS.items() if output in answer}


def transformed(table: Table, folder: Path) -> Path:
    """Returns the folder with the table's transformed examples and transform graph, made by Transform's own code.

    The graph is analysed on this table alone, as in the pipeline, where held-out rows are not seen.
    """
    place = folder / hashlib.sha256("\n".join(sorted(table[features.CUSTOMER].astype(str))).encode()).hexdigest()[:16]
    if place.exists():
        return place
    types = serving.input_types() | {name: tf.float32 for name in features.LABELS} | {features.CUSTOMER: tf.string}
    spec = {name: tf.io.FixedLenFeature([], kind) for name, kind in types.items()}
    columns = {name: _known(table[name]) for name in spec}
    rows = [{name: values[row] for name, values in columns.items()} for row in range(len(table[features.PAST]))]
    raw = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(temp_dir=str(folder / "tmp")):
        analysed = (pipeline | beam.Create(rows), raw) | tft_beam.AnalyzeAndTransformDataset(
            preprocessing.preprocessing_fn
        )
        (examples, metadata), graph = analysed
        encode = tft.coders.ExampleProtoCoder(metadata.schema).encode
        write = beam.io.WriteToTFRecord(str(place / "examples"), file_name_suffix=".gz")
        _ = examples | "encode" >> beam.Map(encode) | "examples" >> write
        _ = graph | tft_beam.WriteTransformFn(str(place / "graph"))
    return place


def _known(values: Any) -> Any:
    """The same values, with what stands for an unknown number in the place of NaN."""
    return np.where(np.isnan(values), features.UNKNOWN_NUMBER, values) if values.dtype.kind == "f" else values
