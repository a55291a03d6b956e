"""What predictions are worth against the rule: the arithmetic of a backtest's tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline import metrics
from pipeline.bootstrap import LOWER, UPPER, percentile, resampled_means
from pipeline.contract import Model, Rows
from pipeline.predictions import ACTUAL, NAIVE, PREDICTED

LEAST = 30
"""Intervals are drawn from so many subjects: of fewer, a bootstrap's are too narrow to be believed."""


class Score(BaseModel):
    """What predictions are worth. None stands for what has no value on these rows.

    Attributes:
      rows, subjects: how many rows, and how many different subjects (customers, say) they are about.
      mae, rule_mae: mean absolute error over the rows, of the model and of the naive rule, in the label's unit.
      ratio: the one / the other; below 1, the model is worth having.
      low, high: 95 % interval of the ratio, by a paired percentile bootstrap over subjects; none of fewer than `LEAST`.
      bias, rule_bias: (predicted - actual) / actual, of the totals, each subject counted once.
      spearman, rule_spearman: rank correlation with what happened.
      gini, rule_gini: Gini ordered by prediction / Gini ordered by what happened.
      coverage: share of the rows whose 80 % interval holds what happened; None for a model that answers no interval.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    subjects: int
    mae: float | None
    rule_mae: float | None
    ratio: float | None
    low: float | None
    high: float | None
    bias: float | None
    rule_bias: float | None
    spearman: float | None
    rule_spearman: float | None
    gini: float | None
    rule_gini: float | None
    coverage: float | None

    @property
    def beats(self) -> bool:
        """Whether the model is better than the rule, by more than chance would explain."""
        return self.high is not None and self.high < 1


class Judged(NamedTuple):
    """Rows that can be judged: arrays, one entry a row.

    Attributes:
      subject: whom it is about.
      rows: label, prediction and naive prediction of the unknown part, and weight.
      interval: its predicted ends, [rows, 2]; NaN where the model answers none.
    """

    subject: NDArray[Any]
    rows: Rows
    interval: NDArray[Any]


def judged(model: Model, table: pa.Table) -> Judged:
    """Returns the rows of a file of predictions, as `pipeline.predictions` writes it, less what was known.

    Args:
      model: the contract, which has a `backtest`.
      table: its columns are the subject, the known part, the weight, `actual`, `predicted`, `naive`, and the ends of
        the interval if the model answers them.
    """
    assert model.backtest
    how, rows = model.backtest, table.num_rows
    known = _floats(table, how.known) if how.known else np.zeros(rows)
    weight = _floats(table, model.weight) if model.weight else np.ones(rows)
    subject = np.array(table.column(how.subject).to_pylist(), object) if how.subject else np.arange(rows)
    label, prediction, naive = (_floats(table, name) - known for name in (ACTUAL, PREDICTED, NAIVE))
    ends = [_floats(table, name) for name in how.interval or () if name in table.column_names]
    interval = np.stack(ends, axis=1) if len(ends) == 2 else np.full((rows, 2), np.nan)
    return Judged(subject, Rows(label, prediction, naive, weight), interval)


def together(parts: Sequence[Judged]) -> Judged:
    """Returns the rows of several as one: a subject that is in several of them stays one subject."""
    label, prediction, naive, weight = (np.concatenate([part.rows[field] for part in parts]) for field in range(4))
    rows = Rows(label, prediction, naive, weight)
    subject = np.concatenate([part.subject for part in parts])
    return Judged(subject, rows, np.concatenate([part.interval for part in parts]))


def score(found: Judged) -> Score:
    """Returns what the predictions are worth."""
    rows = found.rows
    rule = rows._replace(prediction=rows.naive)
    low, high = ratio_interval(found)
    values = {
        "mae": metrics.mae(rows),
        "rule_mae": metrics.mae(rule),
        "ratio": metrics.mae_relative_to_naive(rows),
        "low": low,
        "high": high,
        "bias": metrics.total_bias(rows),
        "rule_bias": metrics.total_bias(rule),
        "spearman": metrics.spearman(rows),
        "rule_spearman": metrics.spearman(rule),
        "gini": metrics.normalized_gini(rows),
        "rule_gini": metrics.normalized_gini(rule),
        "coverage": _coverage(found),
    }
    known = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return Score(rows=len(rows.label), subjects=len(np.unique(found.subject)), **known)


def ratio_interval(found: Judged) -> tuple[float, float]:
    """Returns the 95 % interval of the model's mean absolute error / the rule's; NaN where there is none.

    Both errors of a subject are resampled together, with all its rows and in all cut-offs: the subjects, and not the
    rows, are what another shop or another year would draw anew. See `pipeline.bootstrap`.
    """
    subjects, owner = np.unique(found.subject, return_inverse=True)
    if len(subjects) < LEAST:
        return math.nan, math.nan
    rows = found.rows
    errors = [np.bincount(owner, np.abs(answer - rows.label)) for answer in (rows.prediction, rows.naive)]
    model, rule = resampled_means(np.stack(errors))
    with np.errstate(all="ignore"):
        ratios = model / rule
    return percentile(ratios, LOWER), percentile(ratios, UPPER)


def _coverage(found: Judged) -> float:
    """Of the rows with an interval: cut-offs are scored together only if they are of one model's code."""
    known = ~np.isnan(found.interval).any(axis=1)
    if not known.any():
        return math.nan
    low, high, label = found.interval[known, 0], found.interval[known, 1], found.rows.label[known]
    return float(np.mean((low <= label) & (label <= high)))


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = table.column(name).to_numpy().astype(np.float64)
    return values
