"""Saved models for tests of servers, made without a training, and pushed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.clv import features, preprocessing
from models.clv.serving import signatures
from models.colorizer import network
from models.colorizer.serving import save
from models.colorizer.training_settings import Training
from pipeline.push import Told, Version, draft, publish

SIZE = 32
CUSTOMER: dict[str, Any] = {
    "n_purchases": 3,
    "avg_purchase_size": 100.5,
    "avg_purchase_revenue": 220.25,
    "customer_age": 200,
    "days_since_last_purchase": 12,
    "past_monetary_value": 660.75,
    "tenure_days": 212,
    "customer_country": "United Kingdom",
}
"""A row that a CLV model is asked with."""


class Multiple(tf.Module):
    """In the place of the CLV model's network: a purchase's revenue, times a factor, minus the days since the last."""

    input = ("avg_purchase_revenue", "days_since_last_purchase")

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = tf.Variable(factor)

    def __call__(self, inputs: Mapping[str, Any], training: bool) -> Any:
        days = tf.cast(inputs["days_since_last_purchase"], tf.float32)
        return (inputs["avg_purchase_revenue"] * self.factor - days)[:, tf.newaxis]


def write_clv(folder: Path, factor: float = 2.0) -> Path:
    """A model with the CLV model's own signatures, and answers that can be foreseen."""
    model = Multiple(factor)
    tf.saved_model.save(model, str(folder), signatures=signatures(model, _with_past))
    return folder


def _with_past(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {**raw, preprocessing.PAST: raw[features.PAST]}


def future(rows: list[dict[str, Any]], factor: float = 2.0) -> list[float]:
    """What that model answers as the future of some rows."""
    answers = [row["avg_purchase_revenue"] * factor - row["days_since_last_purchase"] for row in rows]
    return [float(np.float32(answer)) for answer in answers]


def write_colorizer(folder: Path) -> Path:
    """A colorizer that paints something, untrained."""
    keras.utils.set_random_seed(3)
    model = network.build(Training(members=1, filters=(8, 8, 8)).model_dump(), (-0.05, 0.1))
    for variable in model.trainable_variables:
        variable.assign_add(keras.random.normal(variable.shape, stddev=0.05))
    save(model, SIZE, str(folder))
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {"clv": write_clv, "colorizer": write_colorizer}


def push(model: str, folder: Path, root: Path) -> Version:
    """Pushes a saved model as a run of the model's pipeline would, below a root."""
    told = Told(model=model, pipeline=f"{model}-test", data_digest="d" * 16, settings={}, bounds={})
    manifest = draft(told, folder, run="20261121", model_uri=str(folder), metrics={})
    return publish(str(root / "pushed" / told.pipeline), folder, manifest).version
