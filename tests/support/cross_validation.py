"""Repeated cross-validation by customer, and what it says of a model: metrics a fold, and differences with intervals.

A candidate learns from rows of the feature table and answers for others. What is judged is the revenue after the
cut-off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.model_selection import RepeatedKFold

from models.clv import features
from models.clv.metrics import interval_coverage
from models.clv.naive import naive
from pipeline import metrics
from pipeline.contract import Rows

Floats = NDArray[np.float64]
Table = Mapping[str, NDArray[Any]]
Answer = Mapping[str, NDArray[Any]]
"""`mean`: predicted future revenue of each row; `low` and `high`, if given: ends of an 80 % interval of it."""
Candidate = Callable[[Table, Table, int], Answer]
"""`(training rows, held-out rows, seed) -> answer for the held-out rows`."""

MEAN, LOW, HIGH = "mean", "low", "high"
LEVEL = 0.95
RESAMPLES = 10_000


class Fold(NamedTuple):
    """Indices of the rows to fit on and of those held out; `repetition` counts from 0."""

    repetition: int
    fitted: NDArray[Any]
    held_out: NDArray[Any]


class Interval(NamedTuple):
    """A mean difference and the ends of its 95 % interval; below 0, the first model's error is the smaller."""

    mean: float
    low: float
    high: float


class Outcome(NamedTuple):
    """What cross-validation tells of a candidate.

    Attributes:
      metrics: of each fold, by name.
      predicted: future revenue, [repetitions, rows]: each row by a model that did not see its customer.
      seconds: of fitting and asking, of each fold.
    """

    metrics: list[dict[str, float]]
    predicted: Floats
    seconds: list[float]


def folds(customers: NDArray[Any], splits: int, repetitions: int, seed: int = 0) -> Iterator[Fold]:
    """Yields `splits` folds of the customers' rows, `repetitions` times, each time drawn anew.

    A customer's rows are on one side, and in each repetition every customer is held out once.
    """
    unique, place = np.unique(customers.astype(str), return_inverse=True)
    drawn = RepeatedKFold(n_splits=splits, n_repeats=repetitions, random_state=seed).split(unique)
    for number, (_, held_out) in enumerate(drawn):
        out = np.isin(place, held_out)
        yield Fold(number // splits, np.flatnonzero(~out), np.flatnonzero(out))


def rows_of(table: Table, index: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Returns the table's rows at an index."""
    return {name: values[index] for name, values in table.items()}


def share_of(table: Table, share: float, seed: int) -> dict[str, NDArray[Any]]:
    """Returns the rows of a share of the customers; a greater share has all customers of a smaller one."""
    unique, place = np.unique(table[features.CUSTOMER].astype(str), return_inverse=True)
    rank = np.random.default_rng(seed).permutation(unique.size)
    return rows_of(table, np.flatnonzero(rank[place] < round(share * unique.size)))


def cross_validated(
    candidate: Candidate, table: Table, chosen: Sequence[Fold], *, horizon: int, seed: int, share: float = 1.0
) -> Outcome:
    """Fits and asks a candidate on each fold.

    Args:
      candidate: the model.
      table: rows of the feature table.
      chosen: from `folds`, whole repetitions.
      horizon: days that the label spans.
      seed: of the candidate.
      share: of each fold's training customers that it may learn from.
    """
    predicted = np.full((1 + max(fold.repetition for fold in chosen), len(table[features.PAST])), np.nan)
    judged, seconds = [], []
    for fold in chosen:
        fitted, held_out = rows_of(table, fold.fitted), rows_of(table, fold.held_out)
        started = time.perf_counter()
        answer = candidate(share_of(fitted, share, seed) if share < 1 else fitted, held_out, seed)
        seconds.append(time.perf_counter() - started)
        judged.append(judge(held_out, answer, horizon))
        predicted[fold.repetition, fold.held_out] = answer[MEAN]
    return Outcome(judged, predicted, seconds)


def judge(table: Table, answer: Answer, horizon: int) -> dict[str, float]:
    """Returns metrics of the future part, as the product's gates compute them; NaN for the coverage of no interval."""
    label = table[features.FUTURE_LABEL].astype("float64")
    mean = np.asarray(answer[MEAN], "float64")
    rule = naive(table, {"horizon_days": horizon}) - table[features.PAST]
    nobody = np.full(len(label), np.nan)
    ends = {features.LOW: answer.get(LOW, nobody), features.HIGH: answer.get(HIGH, nobody)}
    rows = Rows(label, mean, rule, table[features.WEIGHT].astype("float64"), outputs=ends)
    return {
        "mae": metrics.mae(rows),
        "mae_vs_rule": metrics.mae_relative_to_naive(rows),
        "bias": metrics.total_bias(rows),
        "rmse": metrics.rmse(rows),
        "spearman": metrics.spearman(rows),
        "gini": metrics.normalized_gini(rows),
        "decile_error": metrics.decile_calibration_error(rows),
        "coverage": interval_coverage(rows),
    }


def customer_errors(table: Table, predicted: Floats) -> Floats:
    """Returns each customer's absolute error of the future part, averaged over the repetitions.

    The rows of a customer of several countries have one label; their errors are averaged.

    Args:
      table: rows of the feature table.
      predicted: [repetitions, rows].
    """
    error = np.abs(predicted - table[features.FUTURE_LABEL]).mean(axis=0)
    _, place, rows = np.unique(table[features.CUSTOMER].astype(str), return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(place, error) / rows, np.float64)


def paired_bootstrap(errors: Floats, others: Floats, seed: int = 0) -> Interval:
    """Returns mean(errors - others) with a bootstrap interval over customers, paired.

    Bias-corrected and accelerated (Efron 1987, "Better bootstrap confidence intervals", JASA 82(397), 171-185): a few
    customers make up most of the revenue, and of the error. What other training rows would change is not in it.
    """
    difference = errors - others
    if not difference.any():
        return Interval(0.0, 0.0, 0.0)
    found = stats.bootstrap(
        (difference,), np.mean, n_resamples=RESAMPLES, batch=500, confidence_level=LEVEL, random_state=seed
    ).confidence_interval
    return Interval(float(difference.mean()), float(found.low), float(found.high))


def corrected_t(values: Sequence[float], others: Sequence[float], splits: int) -> Interval:
    """Returns the mean difference over folds with the corrected resampled t interval.

        mean +- t(J - 1) * sqrt((1 / J + 1 / (splits - 1)) * variance of the J differences)

    Folds share training rows, so their differences are not independent: 1 / (splits - 1), held-out rows / training
    rows, makes up for it (Nadeau & Bengio 2003, "Inference for the generalization error", Machine Learning 52,
    239-281).
    """
    difference = np.subtract(values, others)
    count = difference.size
    width = np.sqrt((1 / count + 1 / (splits - 1)) * difference.var(ddof=1))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1) * width)
    mean = float(difference.mean())
    return Interval(mean, mean - reach, mean + reach)
