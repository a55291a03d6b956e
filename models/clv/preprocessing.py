"""What needs a full pass over the data, as one TensorFlow graph that serves as well.

TFX reloads this module: it holds functions and plain constants only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from models.clv import features

AMOUNTS = "amounts"
NUMERIC = "numeric"
COUNTRY = "country"
PAST = "past"
BEFORE = "before"
LABEL = "label"
FOLD = "fold"
"""Names of the transformed features."""

FOLDS = 100
"""Customers fall into so many folds, from which the trainer takes some to stop early."""
WINDOW_DAYS = 91
"""Days of the window that spending so far is compared with."""
BUCKETS = 10
QUANTILE_ERROR = 1e-4
"""Share of the rows by which a quantile may be off; up to some 10,000 rows it is exact."""
CONSTANT = 1e-9
"""Variance of a logarithm up to which a number is the same in all training rows, but for rounding. Divided by that,
a customer of whom it is another would be millions of deviations away: in a young shop, a window holds all of the past.
"""
PENNY = 0.01
VOCABULARY = "countries"
OOV_BUCKETS = 1
COUNTRY_MINIMUM = 10
"""Training rows that a country needs for an index of its own; rarer ones share that of unseen countries."""


def preprocessing_fn(inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Turns raw features into what the network is fed with.

    Number of analyzers, not of rows, is what Transform's time goes with, so all numbers are stacked first and
    analysed together.

    An unknown value is a number that is negative or NaN, or an empty country. It is answered as the average of
    the training rows (z-score 0) or as a country that training did not see.

    Args:
      inputs: raw features by name, [rows], or [rows, 1] sparse where the data have nulls. Labels and customer
        id may be missing where the graph serves.
      custom_config: TFX's; not read, since nothing here depends on settings.

    Returns:
      `AMOUNTS` [rows, 5]: `features.REFERENCE_INPUTS` as they are, 0 where unknown; for the reference network;
      `NUMERIC` [rows, 2 x (numbers + `DERIVED`)]: z-scores of logarithms, then ranks in tenths from -.5 to .5;
      `COUNTRY` [rows]: index in the vocabulary, unseen ones last; `PAST` [rows]: revenue up to the cut-off;
      `BEFORE` [rows]: how long before the cut-off the row is as of, in `WINDOW_DAYS`;
      `LABEL` [rows]: revenue in the horizon; `FOLD` [rows]: a hash of the customer in 0..`FOLDS` - 1.
    """
    del custom_config
    known = {name: _number(inputs[name]) for name in features.NUMERIC_INPUTS}
    numbers = tf.stack([*known.values(), *_derived(known)], axis=1)
    amounts = [_filled(known[name]) for name in features.REFERENCE_INPUTS]
    return {
        AMOUNTS: tf.stack(amounts, axis=1),
        NUMERIC: _scaled(numbers),
        COUNTRY: _country_index(_dense(inputs[features.COUNTRY], "")),
        PAST: _filled(known[features.PAST]),
        BEFORE: _number(inputs[features.BEFORE_CUTOFF]) / WINDOW_DAYS,
        LABEL: _number(inputs[features.FUTURE_LABEL]),
        FOLD: _fold(_dense(inputs[features.CUSTOMER], "")),
    }


def _dense(values: Any, default: Any) -> tf.Tensor:
    """[rows] from [rows] or from a sparse [rows, 1] with gaps."""
    if isinstance(values, tf.SparseTensor):
        values = tf.sparse.to_dense(values, default_value=tf.constant(default, values.dtype))
    return tf.reshape(values, [-1])


def _number(values: Any) -> tf.Tensor:
    """Floats, NaN where the value is unknown."""
    numbers = tf.cast(_dense(values, -1), tf.float32)
    return tf.where(numbers >= 0, numbers, float("nan"))


DERIVED = 5


def _derived(known: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    """`DERIVED` numbers that a small network does not find by itself; NaN where what they are made of is unknown.

    The naive rule's revenue of a window; the last window's share of the past; the mean gap between purchases, after a
    single one the days since; how many such gaps ago the last purchase was; and the mean price of a unit.
    """
    past, tenure, age = known[features.PAST], known[features.TENURE], known["customer_age"]
    gap = tf.where(known["n_purchases"] > 1, age / tf.maximum(known["n_purchases"] - 1, 1), tenure)
    return [
        past * WINDOW_DAYS / tf.maximum(tenure, WINDOW_DAYS),
        known["revenue_91d"] / tf.maximum(past, PENNY),
        gap,
        known["days_since_last_purchase"] / (gap + 1),
        known["avg_purchase_revenue"] / tf.maximum(known["avg_purchase_size"], 1),
    ]


def _filled(numbers: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.math.is_nan(numbers), 0.0, numbers)


def _scaled(numbers: tf.Tensor) -> tf.Tensor:
    """[rows, 2 x numbers]: z-scores carry size, ranks are bounded, so that no whale is far outside."""
    filled = _filled(numbers)
    # Beam takes batches whose size depends on the clock, and the last bits of a sum, even of a logarithm, depend on the
    # batch. In 64 bits, and with exact quantiles, that cannot be seen in the 32 bits of the answer: the same data give
    # the same features.
    logs = tf.math.log1p(tf.cast(filled, tf.float64))
    scores = tf.cast(tft.scale_to_z_score(logs, elementwise=True), tf.float32)
    buckets = tft.bucketize(filled, BUCKETS, epsilon=QUANTILE_ERROR, elementwise=True)
    ranks = tf.cast(buckets, tf.float32) / (BUCKETS - 1) - 0.5
    told = ~tf.math.is_nan(numbers) & (tft.var(logs, reduce_instance_dims=False) > CONSTANT)
    return tf.concat([tf.where(told, scores, 0.0), tf.where(told, ranks, 0.0)], axis=1)


def _country_index(countries: tf.Tensor) -> tf.Tensor:
    return tft.compute_and_apply_vocabulary(
        countries,
        frequency_threshold=COUNTRY_MINIMUM,
        num_oov_buckets=OOV_BUCKETS,
        vocab_filename=VOCABULARY,
    )


def _fold(customers: tf.Tensor) -> tf.Tensor:
    """The split is a hash of the bare id; without the suffix the folds would follow it."""
    return tf.strings.to_hash_bucket_fast(tf.strings.join([customers, "/fold"]), FOLDS)
