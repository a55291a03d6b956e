"""Metrics against closed forms, brute force and scipy."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Callable

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn  # type: ignore[import-untyped]

from pipeline import metrics
from pipeline.contract import Rows

ALL = [
    metrics.mae,
    metrics.mse,
    metrics.rmse,
    metrics.mae_relative_to_naive,
    metrics.mae_relative_to_naive_upper,
    metrics.mae_increase_lower,
    metrics.decile_calibration_error,
    metrics.total_bias,
    metrics.spearman,
    metrics.normalized_gini,
]
Metric = Callable[[Rows], float]
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


def rows(
    label: list[float], prediction: list[float], naive: list[float] | None = None, weight: list[float] | None = None
) -> Rows:
    """Rows from lists; the naive rule predicts 0 and weights are 1 unless given."""
    fields = (label, prediction, naive or [0.0] * len(label), weight or [1.0] * len(label))
    arrays = [np.asarray(field, np.float64) for field in fields]
    return Rows(arrays[0], arrays[1], arrays[2], arrays[3], champion=arrays[2])


@st.composite
def many_rows(draw: st.DrawFn) -> Rows:
    """Up to 30 rows with repeated values, so that ties occur."""
    size = draw(st.integers(2, 30))
    values = st.lists(st.one_of(st.sampled_from([0.0, 1.0, 2.0]), numbers), min_size=size, max_size=size)
    weight = draw(st.lists(st.floats(0.1, 1), min_size=size, max_size=size))
    return rows(draw(values), draw(values), draw(values), weight)


def kaggle_gini(label: list[float], order: list[int]) -> float:
    """Gini as the competition's code had it: labels in the order of falling prediction."""
    cumulative = np.cumsum(np.asarray(label)[order]) / np.sum(label)
    return float(np.sum(cumulative) - (len(label) + 1) / 2) / len(label)


def test_errors_of_known_rows() -> None:
    """Errors are 1, -2 and 2."""
    found = rows([1.0, 4.0, 0.0], [2.0, 2.0, 2.0])
    assert metrics.mae(found) == pytest.approx(5 / 3)
    assert metrics.mse(found) == pytest.approx(3.0)
    assert metrics.rmse(found) == pytest.approx(math.sqrt(3.0))


@settings(max_examples=30)
@given(many_rows())
def test_errors_are_those_of_scikit_learn(found: Rows) -> None:
    for ours, theirs in (
        (metrics.mae, sklearn.mean_absolute_error),
        (metrics.mse, sklearn.mean_squared_error),
        (metrics.rmse, sklearn.root_mean_squared_error),
    ):
        assert ours(found) == pytest.approx(theirs(found.label, found.prediction))


def test_the_gini_of_a_yes_or_no_is_that_of_the_area_under_the_curve() -> None:
    """Gini = 2 AUC - 1, ties included; as credit scoring knows it."""
    draw = np.random.default_rng(3)
    label, prediction = draw.integers(0, 2, 200).astype(float), draw.integers(0, 20, 200).astype(float)
    found = rows(label.tolist(), prediction.tolist())
    assert metrics.normalized_gini(found) == pytest.approx(2 * sklearn.roc_auc_score(label, prediction) - 1)


def test_relative_to_naive_is_one_half_when_the_error_is_half() -> None:
    assert metrics.mae_relative_to_naive(rows([10.0, 20.0], [5.0, 10.0], naive=[0.0, 0.0])) == 0.5


def test_bias_counts_an_entity_with_two_rows_once() -> None:
    """A customer of 100 stands on two rows: the total is 100 + 50, predicted 60 + 60."""
    found = rows([100.0, 100.0, 50.0], [80.0, 40.0, 60.0], weight=[0.5, 0.5, 1.0])
    assert metrics.total_bias(found) == pytest.approx(120 / 150 - 1)


@given(many_rows())
def test_spearman_is_the_correlation_of_mean_ranks(found: Rows) -> None:
    value = metrics.spearman(found)
    if np.ptp(found.label) == 0 or np.ptp(found.prediction) == 0:
        assert math.isnan(value)
    else:
        ranks = stats.rankdata(found.label), stats.rankdata(found.prediction)
        assert value == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-9)


@pytest.mark.parametrize("prediction", [[3.0, 1.0, 2.0, 5.0], [0.0, 0.0, 1.0, 1.0], [7.0, 7.0, 7.0, 1.0]])
def test_gini_is_the_mean_over_all_orders_of_tied_rows(prediction: list[float]) -> None:
    """Brute force over every permutation that sorts the predictions downwards."""
    label = [5.0, 0.0, 1.0, 30.0]
    falling = sorted(prediction, reverse=True)
    orders = [o for o in itertools.permutations(range(4)) if [prediction[i] for i in o] == falling]
    best = kaggle_gini(label, sorted(range(4), key=lambda row: -label[row]))
    expected = np.mean([kaggle_gini(label, list(order)) for order in orders]) / best
    assert metrics.normalized_gini(rows(label, prediction)) == pytest.approx(expected)


@given(many_rows())
def test_gini_of_a_perfect_order_is_one_and_of_its_reverse_minus_one(found: Rows) -> None:
    if np.ptp(found.label) > 0:
        assert metrics.normalized_gini(found._replace(prediction=2 * found.label + 1)) == pytest.approx(1)
        assert metrics.normalized_gini(found._replace(prediction=-found.label)) == pytest.approx(-1)
        assert abs(metrics.normalized_gini(found)) <= 1 + 1e-9


@settings(max_examples=30)
@given(many_rows(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(found: Rows, generator: random.Random) -> None:
    order = list(range(len(found.label)))
    generator.shuffle(order)
    label, prediction, naive, weight = (column[order] for column in found[:4])
    shuffled = Rows(label, prediction, naive, weight, champion=naive)
    for metric in ALL:
        assert metric(shuffled) == pytest.approx(metric(found), rel=1e-6, abs=1e-6, nan_ok=True), metric.__name__


def test_a_constant_prediction_ranks_nothing() -> None:
    found = rows([1.0, 2.0, 3.0], [4.0, 4.0, 4.0])
    assert math.isnan(metrics.spearman(found))
    assert metrics.normalized_gini(found) == 0


@pytest.mark.parametrize("metric", [metrics.spearman, metrics.normalized_gini])
def test_constant_labels_have_no_order(metric: Metric) -> None:
    assert math.isnan(metric(rows([1.0, 1.0], [1.0, 2.0])))


def test_totals_of_zero_have_no_ratio() -> None:
    assert math.isnan(metrics.total_bias(rows([0.0, 0.0], [1.0, 2.0])))
    assert math.isnan(metrics.mae_relative_to_naive(rows([1.0, 2.0], [0.0, 0.0], naive=[1.0, 2.0])))


# --- tenths ------------------------------------------------------------------------------------------


def test_tenths_of_the_list_are_pandas_deciles() -> None:
    draw = np.random.default_rng(5)
    label, prediction, weight = draw.lognormal(5, 1, 353), draw.lognormal(5, 1, 353), draw.choice([0.5, 1.0], 353)
    found = rows(label.tolist(), prediction.tolist(), weight=weight.tolist())
    tenth = pandas.qcut(prediction, 10, labels=False)
    gaps = pandas.Series(weight * (prediction - label)).groupby(tenth).sum()
    assert metrics.decile_calibration_error(found) == pytest.approx(gaps.abs().sum() / np.sum(weight * label))


def test_a_right_total_may_be_in_the_wrong_places() -> None:
    """Ten customers, a tenth each: the top five are 10 too high, the others 10 too low."""
    label = [float(100 * rank) for rank in range(1, 11)]
    found = rows(label, [value + (10 if value > 500 else -10) for value in label])
    assert metrics.total_bias(found) == 0
    assert metrics.decile_calibration_error(found) == pytest.approx(100 / 5500)


def test_tenths_of_a_total_that_is_too_low_sum_to_the_bias() -> None:
    label = np.random.default_rng(2).lognormal(5, 1, 200)
    found = rows(label.tolist(), (0.7 * label).tolist())
    assert metrics.decile_calibration_error(found) == pytest.approx(-metrics.total_bias(found)) == pytest.approx(0.3)


def test_rows_of_equal_prediction_are_in_one_tenth() -> None:
    """A constant model has one tenth, so its error is its bias, whichever rows come first."""
    found = rows([0.0, 0.0, 30.0], [20.0, 20.0, 20.0])
    assert metrics.decile_calibration_error(found) == pytest.approx(1)
    assert math.isnan(metrics.decile_calibration_error(rows([0.0, 0.0], [1.0, 2.0])))


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("prediction", [[], [1.0], [math.nan, 1.0, 2.0], [math.inf, 1.0, 2.0], [1e300, 1.0, 2.0]])
def test_no_metric_ever_warns(metric: Metric, prediction: list[float]) -> None:
    """Without rows, and with NaN predictions, the answer is NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = metric(rows([3.0, 4.0, 9.0][: len(prediction)], prediction))
    if not prediction or math.isnan(prediction[0]):
        assert math.isnan(value)


@pytest.mark.parametrize("metric", [metrics.mae, metrics.mse, metrics.rmse])
def test_errors_take_images_too(metric: Metric) -> None:
    images = Rows(np.zeros((2, 3, 3, 3)), np.ones((2, 3, 3, 3)), np.zeros((2, 3, 3, 3)), np.ones(2))
    assert metric(images) == 1
