"""The reference network: that of the public lab which this model follows (Google Cloud's CLV lab on UCI Online Retail).

It predicts the total from five numbers as they stand, and is fitted with the absolute error of the total:

    total = dense(dropout(relu(dense(amounts))))

The product's signatures answer past + future, and its label is the future, so this network answers total - past: the
absolute error is the same, and what is served is the total that the lab's network would answer. Nothing keeps it from
predicting a total below the past, a negative future.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from models.clv import features

AMOUNTS = "amounts"
PAST = "past"
"""Names of the network's inputs."""


def build(settings: Mapping[str, Any]) -> keras.Model:
    """Returns the untrained network.

    Its inputs are `{AMOUNTS: [rows, 5] features.REFERENCE_INPUTS as they are, PAST: [rows] revenue so far}`; its
    output is future revenue, [rows, 1].

    Args:
      settings: training settings; `hidden_units` and `dropout` are read.
    """
    amounts = keras.Input((len(features.REFERENCE_INPUTS),), name=AMOUNTS)
    past = keras.Input((), name=PAST)
    hidden = amounts
    for units in settings["hidden_units"]:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
        hidden = keras.layers.Dropout(settings["dropout"])(hidden)
    total = keras.layers.Dense(1)(hidden)
    return keras.Model({AMOUNTS: amounts, PAST: past}, total - keras.ops.expand_dims(past, 1), name="reference")


def absolute_error(label: Any, prediction: Any) -> Any:
    """Returns the mean absolute error, in money; labels are [rows], predictions [rows, 1]."""
    return keras.ops.mean(keras.ops.abs(keras.ops.reshape(label, (-1,)) - keras.ops.reshape(prediction, (-1,))))
