"""The network and its loss: pure functions of Keras 3.

A small dense network tells of each customer a zero-inflated lognormal distribution of the revenue after the cut-off,
see `head`. It is fitted with

    nll_weight * -log likelihood + Tweedie deviance of the mean + mae_weight * absolute error of the mean

The likelihood makes probabilities and intervals right. Alone, it leaves the mean to the lognormal's tail, which a few
rows do not tell; the Tweedie deviance (Jorgensen 1987, "Exponential dispersion models", JRSS B 49(2), 127-162; for
zero-heavy money: Smyth & Jorgensen 2002, "Fitting Tweedie's compound Poisson model to insurance claims data", ASTIN
Bulletin 32(1), 143-157) is least at the conditional mean, whatever the distribution. The absolute error is least at the
median: its share draws the mean towards it.

Several such networks are fitted side by side, and their answers are a mixture (Lakshminarayanan, Pritzel & Blundell
2017, "Simple and scalable predictive uncertainty estimation using deep ensembles", NeurIPS 30, section 2.4): one
network alone differs much from seed to seed on the few customers who make up most of the revenue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from models.clv import features, head, reference

NUMERIC = "numeric"
COUNTRY = "country"
BEFORE = "before"
"""Names of the network's inputs."""

GRADIENT_NORM = {"ensemble": 1.0, "reference": None}
"""Longer gradients are cut to this norm: one whale in a batch must not throw the weights. The reference does not."""
SMALLEST_MEAN, LARGEST_MEAN = 1e-6, 250.0
"""Of the typical revenue, in the loss: the deviance of 0 is infinite, and one row must not throw the weights."""

Loss = Callable[[Any, Any], Any]
Answers = Callable[[Any], dict[str, Any]]


def build(settings: Mapping[str, Any], *, numeric_size: int, country_size: int, scale: float) -> keras.Model:
    """Returns the untrained network: that of `reference.build`, or the product's own ensemble.

    The latter's inputs are `{NUMERIC: [rows, numeric_size] floats of order 1, COUNTRY: [rows] indices below
    country_size, BEFORE: [rows] how long before the cut-off the row is as of, 0 for what is served}`; its output is
    `head.stacked`, [rows, members, 3], in money. Untrained it answers the same for everybody.

    Args:
      settings: training settings; `network`, `hidden_units`, `activation`, `dropout` and `members` are read.
      numeric_size: how many numeric features there are.
      country_size: how many indices of countries there are, out-of-vocabulary included.
      scale: mean future revenue of the training rows, in money.
    """
    if settings["network"] == "reference":
        return reference.build(settings)
    numeric = keras.Input((numeric_size,), name=NUMERIC)
    country = keras.Input((), dtype="int64", name=COUNTRY)
    before = keras.Input((), name=BEFORE)
    told = [numeric, *_as_of(before)]
    raw = _stack(keras.ops.concatenate(told, axis=-1), country, settings, country_size)
    answer = head.stacked(head.from_raw(raw, scale))
    return keras.Model({NUMERIC: numeric, COUNTRY: country, BEFORE: before}, answer, name="clv")


def answers(settings: Mapping[str, Any], *, ceiling: float) -> Answers:
    """Returns the function of what the network answers to `features.OUTPUTS` but the total, [rows] each.

    A point forecast, such as the reference's, is a distribution that is certain: its interval has no width.

    Args:
      settings: training settings; `network` is read.
      ceiling: the largest amount, in money. The tail of a lognormal reaches without bound, and data speak only of
        revenues that were seen.
    """

    def of_distribution(answer: Any) -> dict[str, Any]:
        found = head.unstacked(answer)
        ends = head.interval_levels(features.INTERVAL, found)
        levels = keras.ops.concatenate([ends, keras.ops.full_like(ends[:, :1], 0.5)], axis=1)
        low, high, median = keras.ops.unstack(head.quantiles(levels, found, ceiling), 3, axis=1)
        return {
            features.FUTURE: keras.ops.mean(head.mean(found, ceiling), axis=1),
            features.MEDIAN: median,
            features.BUYS_AGAIN: keras.ops.mean(head.probability(found), axis=1),
            features.LOW: low,
            features.HIGH: high,
        }

    def of_point(answer: Any) -> dict[str, Any]:
        future = keras.ops.mean(answer, axis=1)
        certain = dict.fromkeys((features.FUTURE, features.MEDIAN, features.LOW, features.HIGH), future)
        return {**certain, features.BUYS_AGAIN: keras.ops.cast(future > 0, "float32")}

    return of_point if settings["network"] == "reference" else of_distribution


def _as_of(before: Any) -> list[Any]:
    """Whether the row is as of an earlier day, and how much earlier: shops have seasons, and grow."""
    column = keras.ops.expand_dims(before, 1)
    return [keras.ops.cast(column > 0, "float32"), column]


def _stack(numeric: Any, country: Any, settings: Mapping[str, Any], country_size: int) -> Any:
    """What the members say, [rows, members, head.PARAMETERS]: 0 for everybody before training.

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
        hidden = keras.layers.Activation(settings["activation"])(_dense(members, units, glorot)(hidden))
        hidden = keras.layers.Dropout(settings["dropout"])(hidden) if settings["dropout"] else hidden
    return _dense(members, head.PARAMETERS, "zeros")(hidden)


def _dense(members: int, units: int, initializer: Any) -> keras.layers.Layer:
    """A dense layer a member: [rows, members, inputs] -> [rows, members, units]."""
    return keras.layers.EinsumDense(
        "bmi,mio->bmo", output_shape=(members, units), bias_axes="mo", kernel_initializer=initializer
    )


def loss(settings: Mapping[str, Any], scale: float) -> Loss:
    """Returns the network's loss, of labels [rows] and what the network answers.

    In units of `scale`, so that money's unit does not matter; see the module's docstring.

    Args:
      settings: training settings; `network`, `nll_weight`, `tweedie_power` and `mae_weight` are read.
      scale: mean future revenue of the training rows.
    """
    if settings["network"] == "reference":
        return reference.absolute_error

    def composite(label: Any, answer: Any) -> Any:
        label = keras.ops.reshape(label, (-1, 1))
        found = head.unstacked(answer)
        mean = keras.ops.maximum(head.mean(found, LARGEST_MEAN * scale) / scale, SMALLEST_MEAN)
        deviance = tweedie_deviance(label / scale, mean, settings["tweedie_power"])
        error = keras.ops.abs(label / scale - mean)
        likelihood = settings["nll_weight"] * head.negative_log_likelihood(label, found)
        return keras.ops.mean(likelihood + deviance + settings["mae_weight"] * error)

    return composite


def tweedie_deviance(label: Any, prediction: Any, power: float) -> Any:
    """Returns the unit Tweedie deviance, elementwise, less the terms that do not depend on the prediction.

    For 1 < p < 2, label y >= 0 and prediction m > 0 (Jorgensen 1987, halved):

        d(y, m) = m^(2-p) / (2-p) - y m^(1-p) / (1-p)

    Its derivative is (m - y) / m^p: zero at m = y, and weighing an error by the variance m^p that such a
    mean has.
    """
    return prediction ** (2 - power) / (2 - power) - label * prediction ** (1 - power) / (1 - power)
