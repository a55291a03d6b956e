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
from collections.abc import Callable, Mapping
from typing import Any

import keras

from models.clv import reference

NUMERIC = "numeric"
COUNTRY = "country"
"""Names of the network's inputs."""

GRADIENT_NORM = {"ensemble": 1.0, "reference": None}
"""Longer gradients are cut to this norm: one whale in a batch must not throw the weights. The reference does not."""

Loss = Callable[[Any, Any], Any]


def build(
    settings: Mapping[str, Any], *, numeric_size: int, country_size: int, scale: float, ceiling: float
) -> keras.Model:
    """Returns the untrained network: that of `reference.build`, or the product's own ensemble.

    The latter's inputs are `{NUMERIC: [rows, numeric_size] floats of order 1, COUNTRY: [rows] indices below
    country_size}`; its output is future revenue, [rows, members], from 0 to `ceiling`: one answer a member. Their
    mean is the prediction. Untrained it answers `scale` for everybody, since the last layers start at 0.

    Args:
      settings: training settings; `network`, `hidden_units`, `dropout` and `members` are read.
      numeric_size: how many numeric features there are.
      country_size: how many indices of countries there are, out-of-vocabulary included.
      scale: mean future revenue of the training rows, in money.
      ceiling: the largest prediction, in money. exp extrapolates without bound, and data speak only of
        revenues that were seen.
    """
    if settings["network"] == "reference":
        return reference.build(settings)
    numeric = keras.Input((numeric_size,), name=NUMERIC)
    country = keras.Input((), dtype="int64", name=COUNTRY)
    z = _linear_predictors(numeric, country, settings, country_size)
    bounded = keras.ops.minimum(z, math.log(ceiling / scale))
    return keras.Model({NUMERIC: numeric, COUNTRY: country}, keras.ops.exp(bounded) * scale, name="clv")


def _linear_predictors(numeric: Any, country: Any, settings: Mapping[str, Any], country_size: int) -> Any:
    """The linear predictors of all members, [rows, members]: 0 for everybody before training.

    Members share no weight. They are stacked along an axis because five small matrices cost five times the
    time of a stack of them.
    """
    members = settings["members"]
    places = keras.layers.Embedding(country_size, 2 * members, embeddings_initializer="zeros")(country)
    own = keras.ops.reshape(places, (-1, members, 2))
    shared = keras.ops.repeat(keras.ops.expand_dims(numeric, 1), members, axis=1)
    hidden = keras.ops.concatenate([shared, own], axis=-1)
    # Keras takes the members' axis for part of a filter and would start each member too small: scale undoes it.
    glorot = keras.initializers.VarianceScaling(scale=members, mode="fan_avg", distribution="uniform")
    for units in settings["hidden_units"]:
        hidden = keras.layers.Activation("selu")(_stacked(members, units, glorot)(hidden))
        hidden = keras.layers.Dropout(settings["dropout"])(hidden) if settings["dropout"] else hidden
    return keras.ops.squeeze(_stacked(members, 1, "zeros")(hidden), axis=-1)


def _stacked(members: int, units: int, initializer: Any) -> keras.layers.Layer:
    """A dense layer a member: [rows, members, inputs] -> [rows, members, units]."""
    return keras.layers.EinsumDense(
        "bmi,mio->bmo", output_shape=(members, units), bias_axes="mo", kernel_initializer=initializer
    )


def loss(settings: Mapping[str, Any], scale: float) -> Loss:
    """Returns the network's loss.

    Args:
      settings: training settings; `network`, `tweedie_power` and `mae_weight` are read.
      scale: mean future revenue of the training rows.
    """
    if settings["network"] == "reference":
        return reference.absolute_error
    return revenue_loss(scale=scale, power=settings["tweedie_power"], mae_weight=settings["mae_weight"])


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
