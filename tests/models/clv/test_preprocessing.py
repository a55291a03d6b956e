"""The transform graph, as it was analysed from a small table: values a reader can work out with numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from models.clv import features, preprocessing, serving


@pytest.fixture(scope="module")
def layer(transformed: Any) -> Any:
    return tft.TFTransformOutput(transformed.graph).transform_features_layer()


@pytest.fixture(scope="module")
def inputs(transformed: Any) -> dict[str, tf.Tensor]:
    return {name: tf.constant(transformed.table[name], kind) for name, kind in serving.input_types().items()}


def known(table: Any) -> list[Any]:
    return [table[name] for name in features.NUMERIC_INPUTS]


def derived(table: Any) -> list[Any]:
    """Rate, share of the last window, gap, gaps since, price: as the preprocessing describes them."""
    past, purchases, tenure = table[features.PAST], table["n_purchases"], table["tenure_days"]
    gap = np.where(purchases > 1, table["customer_age"] / np.maximum(purchases - 1, 1), tenure)
    return [
        past * 91 / np.maximum(tenure, 91),
        table["revenue_91d"] / past,
        gap,
        table["days_since_last_purchase"] / (gap + 1),
        table["avg_purchase_revenue"] / table["avg_purchase_size"],
    ]


def test_first_come_z_scores_of_logarithms_then_ranks(layer: Any, inputs: dict[str, tf.Tensor], table: Any) -> None:
    numeric = layer(dict(inputs))[preprocessing.NUMERIC].numpy()
    logs = np.stack([np.log1p(values) for values in [*known(table), *derived(table)]], axis=1)
    count = logs.shape[1]
    assert numeric.shape == (len(logs), 2 * count)
    np.testing.assert_allclose(numeric[:, :count], (logs - logs.mean(0)) / logs.std(0), atol=1e-3)
    assert numeric[:, count:].min() == -0.5
    assert numeric[:, count:].max() == 0.5
    for column in range(count):
        assert (np.diff(numeric[logs[:, column].argsort(kind="stable"), count + column]) >= 0).all()


def test_unknown_values_count_as_the_average_and_as_an_unseen_country(layer: Any, inputs: dict[str, Any]) -> None:
    unknown = {name: tf.constant([-1], kind) for name, kind in serving.input_types().items() if kind != tf.string}
    answer = layer(unknown | {features.COUNTRY: tf.constant([""])})
    assert (answer[preprocessing.NUMERIC].numpy() == 0).all()
    assert answer[preprocessing.PAST].numpy().tolist() == [0.0]
    not_a_number = {
        name: tf.constant([float("nan")]) if value.dtype == tf.float32 else value for name, value in unknown.items()
    }
    again = layer(not_a_number | {features.COUNTRY: tf.constant(["Atlantis"])})
    for name in (preprocessing.NUMERIC, preprocessing.COUNTRY):
        np.testing.assert_array_equal(answer[name], again[name])


def test_countries_have_an_index_each_and_unseen_ones_the_last(layer: Any, inputs: dict[str, Any]) -> None:
    asked = {name: value[:3] for name, value in inputs.items()}
    asked[features.COUNTRY] = tf.constant(["United Kingdom", "France", "Atlantis"])
    assert layer(asked)[preprocessing.COUNTRY].numpy().tolist() == [0, 1, 2]


def test_it_serves_without_label_and_customer(layer: Any, inputs: dict[str, Any]) -> None:
    names = {preprocessing.AMOUNTS, preprocessing.NUMERIC, preprocessing.COUNTRY, preprocessing.PAST}
    assert set(layer(dict(inputs))) == names


def test_the_references_five_numbers_are_passed_on_as_they_are(layer: Any, inputs: dict[str, Any], table: Any) -> None:
    amounts = layer(dict(inputs))[preprocessing.AMOUNTS].numpy()
    np.testing.assert_allclose(
        amounts, np.stack([table[name] for name in features.REFERENCE_INPUTS], axis=1), rtol=1e-6
    )


def test_folds_are_even_and_do_not_follow_the_split(layer: Any, inputs: dict[str, Any]) -> None:
    # Ids whose bare hash ends in 0..7, as the train split's do: without a salt, folds would be missing.
    ids = tf.constant([f"{number}.0" for number in range(40_000)])
    train = tf.boolean_mask(ids, tf.strings.to_hash_bucket_fast(ids, 10) < 8)[:20_000]
    folds = layer({name: tf.repeat(value[:1], 20_000) for name, value in inputs.items()} | {features.CUSTOMER: train})
    counts = np.bincount(folds[preprocessing.FOLD].numpy(), minlength=preprocessing.FOLDS)
    assert len(counts) == preprocessing.FOLDS
    assert counts.min() > 140
    assert counts.max() < 260


def test_a_number_that_is_the_same_in_all_training_rows_says_nothing(
    transform: Any, table: Any, tmp_path: Path
) -> None:
    """In a shop of three months, the last 91 days hold all of the past: the window's share is 1, but for rounding."""
    young = {name: values[:60] for name, values in table.items()} | {"revenue_91d": table[features.PAST][:60]}
    graph = transform(young, tmp_path).graph
    layer = tft.TFTransformOutput(graph).transform_features_layer()
    older = young | {"revenue_91d": table[features.PAST][:60] / 2}
    share = len(features.NUMERIC_INPUTS) + 1
    for rows in (young, older):
        asked = {name: tf.constant(rows[name], kind) for name, kind in serving.input_types().items()}
        numeric = layer(asked)[preprocessing.NUMERIC].numpy()
        assert (numeric[:, [share, share + numeric.shape[1] // 2]] == 0).all()
        assert np.abs(numeric).max() < 10
