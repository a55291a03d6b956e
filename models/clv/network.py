"""The network and its loss: pure functions of Keras 3.

The model is a generalised linear model with a log link whose linear predictor is a small dense network:

    future = scale * exp(z),    z = network(features)

so that future revenue is never negative. It is fitted with the Tweedie deviance (Jorgensen 1987, "Exponential
dispersion models", JRSS B 49(2), 127-162; for zero-heavy money: Smyth & Jorgensen 2002, "Fitting Tweedie's
compound Poisson model to insurance claims data", ASTIN Bulletin 32(1), 143-157), whose minimum is the conditional
mean, plus a share of the absolute error, whose minimum is the conditional median.

Several such networks are fitted side by side and their answers averaged (Lakshminarayanan, Pritzel & Blundell 2017,
"Simple and scalable predictive uncertainty estimation using deep ensembles", NeurIPS 30, section 2.4): one network
alone differs much from seed to seed on the few customers who make up most of the revenue.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
    country_size}`; its output is future revenue, [rows, members], from 0 to `ceiling`: one answer a member. Their
    mean is the prediction. Untrained it answers `scale` for everybody, since the last layers start at 0.

    Args:
      settings: training settings; `hidden_units` and `members` are read.
      numeric_size: how many numeric features there are.
      country_size: how many indices of countries there are, out-of-vocabulary included.
      scale: mean future revenue of the training rows, in money.
      ceiling: the largest prediction, in money. exp extrapolates without bound, and data speak only of
        revenues that were seen.
    """
    inputs = {
        NUMERIC: keras.Input((numeric_size,), name=NUMERIC),
        COUNTRY: keras.Input((), dtype="int64", name=COUNTRY),
    }
    z = [_member(inputs, settings["hidden_units"], country_size) for _ in range(settings["members"])]
    bounded = keras.ops.minimum(keras.ops.concatenate(z, axis=-1), math.log(ceiling / scale))
    return keras.Model(inputs, keras.ops.exp(bounded) * scale, name="clv")


def _member(inputs: Mapping[str, Any], hidden_units: Sequence[int], country_size: int) -> Any:
    """The linear predictor of one member, [rows, 1]: 0 for everybody before training."""
    place = keras.layers.Embedding(country_size, 2, embeddings_initializer="zeros")(inputs[COUNTRY])
    hidden = keras.ops.concatenate([inputs[NUMERIC], place], axis=-1)
    for units in hidden_units:
        hidden = keras.layers.Dense(units, activation="selu")(hidden)
    return keras.layers.Dense(1, kernel_initializer="zeros")(hidden)


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
        label = keras.ops.reshape(label, (-1, 1)) / scale
        # Keras squeezes a lone member away, and [rows] against [rows, 1] would pair all rows with all rows.
        prediction = keras.ops.reshape(prediction, (keras.ops.shape(label)[0], -1)) / scale
        prediction = keras.ops.maximum(prediction, keras.config.epsilon())
        error = keras.ops.abs(label - prediction)
        return keras.ops.mean(tweedie_deviance(label, prediction, power) + mae_weight * error)

    return loss
