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

from models.clv import MODEL, features, network, preprocessing, serving, trainer
from pipeline.settings import make_settings

OUTPUTS = {MEAN: features.FUTURE, LOW: features.LOW, HIGH: features.HIGH}
"""What is judged -> what the signature calls it, if it answers it."""


def candidate(folder: Path, training: Mapping[str, Any], earlier: Table) -> Candidate:
    """Returns the product's model as a candidate.

    Args:
      folder: receives the transformed examples of each set of training rows, once for all seeds and settings.
      earlier: rows as of earlier days, of all customers: it learns from those of the customers that it may learn from.
      training: training settings other than the defaults.
    """

    def fit_and_ask(fitted: Table, held_out: Table, seed: int) -> Answer:
        chosen = make_settings(MODEL, {"training": {**training, "seed": seed}}).training
        place = transformed(fitted, of_customers(earlier, fitted[features.CUSTOMER]), folder)
        graph = tft.TFTransformOutput(str(place / "graph"))
        model, told = trainer.fitted([f"{place}/examples-*"], graph, chosen.model_dump(mode="json"))
        return ask(model, network.answers(chosen.model_dump(), ceiling=told["largest"]), graph, held_out)

    return fit_and_ask


def of_customers(table: Table, customers: Any) -> Table:
    """Returns the rows of some customers."""
    chosen = np.isin(table[features.CUSTOMER].astype(str), customers.astype(str))
    return {name: values[chosen] for name, values in table.items()}


def ask(model: Any, answers: network.Answers, transform: tft.TFTransformOutput, rows: Table) -> Answer:
    """Returns what the model's default signature answers for rows of the feature table."""
    signature = serving.signatures(model, answers, transform.transform_features_layer())["serving_default"]
    asked = {name: tf.constant(_known(rows[name]), kind) for name, kind in serving.input_types().items()}
    answer = signature(**asked)
    return {name: answer[output].numpy().astype("float64") for name, output in OUTPUTS.items() if output in answer}


def transformed(table: Table, earlier: Table, folder: Path) -> Path:
    """Returns the folder with the tables' transformed examples and transform graph, made by Transform's own code.

    The graph is analysed on the first table alone, as in the pipeline, where held-out rows are not seen.
    """
    place = folder / hashlib.sha256("\n".join(sorted(table[features.CUSTOMER].astype(str))).encode()).hexdigest()[:16]
    if place.exists():
        return place
    types = serving.input_types() | {name: tf.float32 for name in features.LABELS}
    types |= {features.CUSTOMER: tf.string, features.BEFORE_CUTOFF: tf.int64}
    spec = {name: tf.io.FixedLenFeature([], kind) for name, kind in types.items()}
    raw = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(temp_dir=str(folder / "tmp")):
        analysed = (pipeline | "train" >> beam.Create(_rows(table, spec)), raw)
        (examples, metadata), graph = analysed | tft_beam.AnalyzeAndTransformDataset(preprocessing.preprocessing_fn)
        besides = ((pipeline | "earlier" >> beam.Create(_rows(earlier, spec)), raw), graph)
        more, _ = besides | tft_beam.TransformDataset()
        encode = tft.coders.ExampleProtoCoder(metadata.schema).encode
        write = beam.io.WriteToTFRecord(str(place / "examples"), file_name_suffix=".gz")
        _ = (examples, more) | beam.Flatten() | "encode" >> beam.Map(encode) | "examples" >> write
        _ = graph | tft_beam.WriteTransformFn(str(place / "graph"))
    return place


def _rows(table: Table, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = {name: _known(table[name]) for name in spec}
    return [{name: values[row] for name, values in columns.items()} for row in range(len(table[features.PAST]))]


def _known(values: Any) -> Any:
    """The same values, with what stands for an unknown number in the place of NaN."""
    return np.where(np.isnan(values), features.UNKNOWN_NUMBER, values) if values.dtype.kind == "f" else values
