"""A small saved model with the CLV model's inputs and outputs, which TensorFlow writes in a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from models.clv import features, serving
from pipeline.push import Told, draft, publish

ROWS: list[dict[str, Any]] = [
    {
        "customer_id": str(100 + row),
        "n_purchases": 1 + row,
        "avg_purchase_size": 10.5,
        "avg_purchase_revenue": 20.0 + row,
        "customer_age": 30,
        "days_since_last_purchase": 7 * row,
        "past_monetary_value": (1 + row) * (20.0 + row),
        "tenure_days": 60,
        "revenue_30d": 20.0 + row,
        "revenue_91d": (1 + row) * (20.0 + row),
        "revenue_182d": (1 + row) * (20.0 + row),
        "purchases_91d": 1 + row,
        "purchases_182d": 1 + row,
        "customer_country": ("United Kingdom", "France")[row % 2],
    }
    for row in range(7)
]


class Spending(tf.Module):
    """Past revenue, and as much as the customer bought on a day, often, lately and in France."""

    @tf.function(
        input_signature=[{name: tf.TensorSpec([None], kind, name=name) for name, kind in serving.input_types().items()}]
    )
    def answer(self, row: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        known = {name: tf.cast(tf.maximum(row[name], 0), tf.float32) for name in features.NUMERIC_INPUTS}
        abroad = tf.where(row[features.COUNTRY] == "France", 2.0, 1.0)
        lately = tf.exp(-known["days_since_last_purchase"] / 30)
        future = (1 + known["avg_purchase_revenue"]) * (1 + known["n_purchases"]) * lately * abroad
        others = {features.MEDIAN: future, features.LOW: future / 2, features.HIGH: 2 * future}
        again = 1 - tf.exp(-future / 100)
        return {
            features.TOTAL: known[features.PAST] + future,
            features.FUTURE: future,
            features.BUYS_AGAIN: again,
        } | others


def push(root: Path) -> Path:
    """Pushes it below a root and returns the version's folder."""
    model, made = root / "trained", Spending()
    tf.saved_model.save(made, str(model), signatures={"serving_default": made.answer})
    told = Told(model="clv", pipeline="clv-main-horizon_days-91", data_digest="d" * 16, settings={}, bounds={})
    manifest = draft(told, model, run="1", model_uri=str(model), metrics={})
    return Path(publish(str(root / "pushed" / told.pipeline), model, manifest).version.path)


def columns(rows: list[dict[str, Any]] = ROWS) -> dict[str, Any]:
    """The rows as a model takes them."""
    return {
        name: np.array([row[name].encode() for row in rows], object)
        if kind == tf.string
        else np.array([row[name] for row in rows], kind.as_numpy_dtype)
        for name, kind in serving.input_types().items()
    }
