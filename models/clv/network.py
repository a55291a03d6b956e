"""The network and its loss: pure functions of Keras 3.

The model is a generalised linear model with a log link whose linear predictor is a small dense network:

    future = scale * exp(z),    z = network(features)

so that future revenue is never negative. It is fitted with the Tweedie deviance (Jorgensen 1987, "Exponential
dispersion models", JRSS B 49(2), 127-162; for zero-heavy money: Smyth & Jorgensen 2002, "Fitting Tweedie's
compound Poisson model to insurance claims data", ASTIN Bulletin 32(1), 143-157), whose minimum is the conditional
mean, plus a share of the absolute error, whose minimum is the conditional median.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras

NUMERIC = "numeric"
COUNTRY = "country"
"""Names of the network's inputs."""

Loss = Callable[[Any, Any], Any]


def build(
    settings: Mapping[str, Any], *, numeric_size: int, country_size: int, scale: float, ceiling: float
) -> keras.Model:
    """Returns the untrained network.

    Its inputs are `{NUMERIC: [rows, numeric_size] floats of order 1, COUNTRY: [rows] indices below
    country_size}`; its output is future revenue, [rows, 1], from 0 to `ceiling`. Untrained it answers `scale`
    for everybody, since the last layer starts at 0.

    Args:
      settings: training settings; `hidden_units` is read.
      numeric_size: how many numeric features there are.
      country_size: how many indices of countries there are, out-of-vocabulary included.
      scale: mean future revenue of the training rows, in money.
      ceiling: the largest prediction, in money. exp extrapolates without bound, and data speak only of
        revenues that were seen.
    """
    numeric = keras.Input((numeric_size,), name=NUMERIC)
    country = keras.Input((), dtype="int64", name=COUNTRY)
    place = keras.layers.Embedding(country_size, 2, embeddings_initializer="zeros")
    hidden = keras.ops.concatenate([numeric, place(country)], axis=-1)
    for units in settings["hidden_units"]:
        hidden = keras.layers.Dense(units, activation="selu")(hidden)
    z = keras.layers.Dense(1, kernel_initializer="zeros")(hidden)
    future = keras.ops.exp(keras.ops.minimum(z, math.log(ceiling / scale))) * scale
    return keras.Model({NUMERIC: numeric, COUNTRY: country}, future, name="clv")


def tweedie_deviance(label: Any, prediction: Any, power: float) -> Any:
    """Returns the unit Tweedie deviance, elementwise, less the terms that do not depend on the prediction.

    For 1 < p < 2, label y >= 0 and prediction m > 0 (Jorgensen 1987, halved):

        d(y, m) = m^(2-p) / (2-p) - y m^(1-p) / (1-p)

    Its derivative is (m - y) / m^p: zero at m = y, and weighing an error by the variance m^p that such a
    mean has.
    """
    return prediction ** (2 - power) / (2 - power) - label * prediction ** (1 - power) / (1 - power)


def revenue_loss(*, scale: float, power: float, mae_weight: float) -> Loss:
    """Returns the loss `(labels, predictions) -> mean`, in units of `scale` so that money's unit does not matter.

        mean of  d(y / scale, m / scale) + mae_weight * |y - m| / scale

    Args:
      scale: mean future revenue of the training rows.
      power: p of the Tweedie deviance, 1 < p < 2.
      mae_weight: weight of the absolute error.
    """

    def loss(label: Any, prediction: Any) -> Any:
        label = keras.ops.reshape(label, keras.ops.shape(prediction)) / scale
        prediction = keras.ops.maximum(prediction / scale, keras.config.epsilon())
        error = keras.ops.abs(label - prediction)
        return keras.ops.mean(tweedie_deviance(label, prediction, power) + mae_weight * error)

    return loss
