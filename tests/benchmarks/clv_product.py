"""The product's own CLV model as a candidate of cross-validation: its preprocessing, trainer and signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from clv_transformed import EXAMPLES, GRAPH, known, write_transformed
from cross_validation import HIGH, LOW, MEAN, Answer, Candidate, Table

from models.clv import MODEL, features, network, serving, trainer
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
        graph = tft.TFTransformOutput(str(place / GRAPH))
        model, told = trainer.fitted([f"{place}/{EXAMPLES}"], graph, chosen.model_dump(mode="json"))
        return ask(model, network.answers(chosen.model_dump(), ceiling=told["largest"]), graph, held_out)

    return fit_and_ask


def of_customers(table: Table, customers: Any) -> Table:
    """Returns the rows of some customers."""
    chosen = np.isin(table[features.CUSTOMER].astype(str), customers.astype(str))
    return {name: values[chosen] for name, values in table.items()}


def ask(model: Any, answers: network.Answers, transform: tft.TFTransformOutput, rows: Table) -> Answer:
    """Returns what the model's default signature answers for rows of the feature table."""
    signature = serving.signatures(model, answers, transform.transform_features_layer())["serving_default"]
    asked = {name: tf.constant(known(rows[name]), kind) for name, kind in serving.input_types().items()}
    answer = signature(**asked)
    return {name: answer[output].numpy().astype("float64") for name, output in OUTPUTS.items() if output in answer}


def transformed(table: Table, earlier: Table, folder: Path) -> Path:
    """Returns the folder with the tables' transformed examples and transform graph, made by Transform's own code.

    The graph is analysed on the first table alone, as in the pipeline, where held-out rows are not seen.
    """
    place = folder / hashlib.sha256("\n".join(sorted(table[features.CUSTOMER].astype(str))).encode()).hexdigest()[:16]
    if place.exists():
        return place
    write_transformed(table, place, earlier)
    return place
