"""Metrics of a regression, as plain functions of the rows of a slice; their intervals are in `pipeline.bootstrap`.

All of them ignore the order of the rows, and never warn. NaN means that the metric has no value on these rows
(no rows, a constant, a total of zero); the model gate refuses it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.bootstrap import LOWER, UPPER, percentile, resampled_means
from pipeline.contract import Rows


def mae(rows: Rows) -> float:
    """Returns the mean absolute error, in the label's unit; NaN without rows."""
    with np.errstate(all="ignore"):
        return _mean(np.abs(rows.prediction - rows.label))


def mse(rows: Rows) -> float:
    """Returns the mean squared error, in the square of the label's unit; NaN without rows."""
    with np.errstate(all="ignore"):
        return _mean(np.square(rows.prediction - rows.label))


def rmse(rows: Rows) -> float:
    """Returns the root of the mean squared error, in the label's unit; NaN without rows."""
    return float(np.sqrt(mse(rows)))


def mae_relative_to_naive(rows: Rows) -> float:
    """Returns the model's mean absolute error / the naive rule's: below 1, the model is worth having.

    NaN without rows, and where the naive rule makes no error.
    """
    return _ratio(mae(rows), mae(rows._replace(prediction=rows.naive)))


def total_bias(rows: Rows) -> float:
    """Returns sum(weight * (prediction - label)) / sum(weight * label): 0.1 is a total 10 % too high.

    Weights make an entity that has several rows count once. NaN where the labels' total is 0.
    """
    with np.errstate(all="ignore"):
        error = np.sum(rows.weight * (rows.prediction - rows.label))
        return _ratio(float(error), float(np.sum(rows.weight * rows.label)))


def mae_relative_to_naive_upper(rows: Rows) -> float:
    """Returns the upper end of the 95 % interval of the mean absolute error / the naive rule's, by paired bootstrap.

    Below 1, the model beats the rule on other rows of the same kind too, and not only on these. See
    `pipeline.bootstrap`. A model that answers as the rule does has 1. NaN without rows, and where the naive rule makes
    no error, also in resamples.
    """
    errors = np.stack([_absolute(rows.prediction, rows), _absolute(rows.naive, rows)])
    model, naive = resampled_means(errors)
    with np.errstate(all="ignore"):
        return percentile(model / naive, UPPER)


def mae_increase_lower(rows: Rows) -> float:
    """Returns the lower end of the 95 % interval of the mean absolute error - the champion's, by paired bootstrap.

    In the label's unit. Above 0, the model is worse than the champion beyond what chance does to so many rows; see
    `pipeline.bootstrap`. 0 if both answer alike. NaN without rows, and without a champion.
    """
    if rows.champion is None:
        return float("nan")
    with np.errstate(all="ignore"):
        increase = _absolute(rows.prediction, rows) - _absolute(rows.champion, rows)
    (means,) = resampled_means(increase[np.newaxis])
    return percentile(means, LOWER)


def decile_calibration_error(rows: Rows) -> float:
    """Returns the sum over tenths of the rows, by prediction, of |predicted - actual total| / the actual total.

    At least |bias|; more where high predictions are too high and low ones too low, or the other way round, which
    leaves the bias alone. Totals are weighted. Rows of equal prediction are in one tenth, that of their mean rank, so
    that their order does not matter. The binning is that of Hosmer and Lemeshow 1980. NaN where the total is 0.
    """
    if not np.isfinite(rows.prediction).all():
        return float("nan")
    rank = stats.rankdata(rows.prediction)
    tenth = np.floor((rank - 0.5) / max(rank.size, 1) * 10).astype(np.int64)
    with np.errstate(all="ignore"):
        gaps = np.bincount(tenth, weights=rows.weight * (rows.prediction - rows.label))
        return _ratio(float(np.sum(np.abs(gaps))), abs(float(np.sum(rows.weight * rows.label))))


def spearman(rows: Rows) -> float:
    """Returns Spearman's rank correlation of label and prediction, -1 to 1; ties have their mean rank.

    NaN where labels or predictions are constant: a constant model ranks nothing.
    """
    label, prediction = rows.label.ravel(), rows.prediction.ravel()
    if _constant(label) or _constant(prediction):
        return float("nan")
    return float(stats.spearmanr(label, prediction).statistic)


def normalized_gini(rows: Rows) -> float:
    """Returns Gini of the labels ordered by prediction / Gini ordered by themselves: 1 best, 0 random.

    The Gini that Kaggle made popular and google/lifetime_value reports (arXiv:1912.07753, section 5.1), here in
    its covariance form (Lerman and Yitzhaki 1984): cov(label, rank(prediction)) / cov(label, rank(label)). Rows
    of equal prediction share their mean rank, which equals the mean over all their orders, so a constant model
    has 0. NaN where labels are constant.
    """
    label, prediction = rows.label.ravel(), rows.prediction.ravel()
    if _constant(label):
        return float("nan")
    return _ratio(_covariance_with_rank(label, prediction), _covariance_with_rank(label, label))


def _covariance_with_rank(label: NDArray[np.float64], by: NDArray[np.float64]) -> float:
    rank = stats.rankdata(by) - (by.size + 1) / 2
    with np.errstate(all="ignore"):
        return float(np.sum((label - np.mean(label)) * rank))


def _absolute(prediction: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        errors: NDArray[np.float64] = np.abs(prediction - rows.label)
    return errors


def _constant(values: NDArray[np.float64]) -> bool:
    return values.size == 0 or bool(np.all(values == values.flat[0]))


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
