"""Intervals of means and of ratios of means, against scipy and closed forms."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from pipeline import metrics
from pipeline.bootstrap import LARGE, LOWER, UPPER, percentile, resampled_means
from pipeline.contract import Rows


def rows(size: int, seed: int = 1, *, better: float = 0.7) -> Rows:
    """A model whose errors are this share of the naive rule's, which is the champion as well; paired, and skewed."""
    draw = np.random.default_rng(seed)
    hard = draw.lognormal(5, 1.2, size)
    label = 2000.0 + draw.lognormal(5, 1, size)
    naive = label + hard * draw.choice([-1.0, 1.0], size)
    prediction = label + better * hard * draw.uniform(0.5, 1.5, size)
    return Rows(label, prediction, naive, np.ones(size), champion=naive)


def errors(found: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.abs(found.prediction - found.label), np.abs(found.naive - found.label)


def test_the_upper_end_of_the_ratio_is_scipys() -> None:
    """Two draws of 2,000 resamples differ by a few hundredths of the interval's width."""
    found = rows(353)

    def ratio(model: NDArray[Any], naive: NDArray[Any], axis: int = -1) -> Any:
        return model.mean(axis=axis) / naive.mean(axis=axis)

    theirs = stats.bootstrap(
        errors(found), ratio, paired=True, vectorized=True, n_resamples=5000, method="percentile",
        random_state=np.random.default_rng(0), batch=500,
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert metrics.mae_relative_to_naive_upper(found) == pytest.approx(theirs.high, abs=0.06 * width)
    assert metrics.mae_relative_to_naive(found) < metrics.mae_relative_to_naive_upper(found)


def test_the_lower_end_of_the_increase_is_scipys() -> None:
    found = rows(353, better=1.1)
    model, champion = errors(found)
    theirs = stats.bootstrap(
        (model - champion,), np.mean, n_resamples=5000, method="percentile", random_state=np.random.default_rng(0),
        batch=500,
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert metrics.mae_increase_lower(found) == pytest.approx(theirs.low, abs=0.06 * width)


@pytest.mark.parametrize("size", [400, LARGE + 5_000])
def test_the_means_scatter_as_the_normal_law_says(size: int) -> None:
    """Also where rows are drawn in groups: the standard error of a mean is sd / sqrt(rows)."""
    column = np.random.default_rng(4).normal(10, 3, size)
    (means,) = resampled_means(column[np.newaxis])
    error = column.std() / math.sqrt(size)
    assert means.mean() == pytest.approx(column.mean(), abs=0.15 * error)
    assert means.std() == pytest.approx(error, rel=0.06)
    assert percentile(means, UPPER) - percentile(means, LOWER) == pytest.approx(2 * 1.96 * error, rel=0.08)


@pytest.mark.parametrize("size", [300, LARGE + 1])
def test_the_order_of_the_rows_does_not_change_a_bit(size: int) -> None:
    found = rows(size)
    order = np.random.default_rng(2).permutation(size)
    label, prediction, naive, weight = (column[order] for column in found[:4])
    shuffled = Rows(label, prediction, naive, weight, champion=naive)
    for metric in (metrics.mae_relative_to_naive_upper, metrics.mae_increase_lower):
        assert metric(shuffled) == metric(found) == metric(found)


def test_a_model_that_answers_as_rule_or_champion_does_ties_with_it() -> None:
    found = rows(100)
    same = found._replace(prediction=found.naive)
    assert metrics.mae_relative_to_naive_upper(same) == 1
    assert metrics.mae_increase_lower(same) == 0


def test_what_is_worse_by_chance_is_told_from_what_is_worse() -> None:
    """A few pence more on every row are certain; one customer who was missed by a lot is chance."""
    found = rows(200)
    champion = found.label + 10
    assert metrics.mae_increase_lower(found._replace(prediction=champion + 1, champion=champion)) == pytest.approx(1)
    unlucky = champion.copy()
    unlucky[0] += 5000
    assert metrics.mae(found._replace(prediction=unlucky)) > 30
    assert metrics.mae_increase_lower(found._replace(prediction=unlucky, champion=champion)) == 0


def test_nothing_to_compare_with_has_no_value() -> None:
    found = rows(50)
    assert math.isnan(metrics.mae_increase_lower(found._replace(champion=None)))
    assert math.isnan(metrics.mae_relative_to_naive_upper(found._replace(naive=found.label)))


def test_many_rows_take_no_longer_than_some() -> None:
    """600,000 rows: groups of them are drawn. About half a second of CPU; the bound is for slow machines."""
    found = rows(600_000)
    began = time.process_time()
    assert 0.69 < metrics.mae_relative_to_naive_upper(found) < 0.72
    assert time.process_time() - began < 6
