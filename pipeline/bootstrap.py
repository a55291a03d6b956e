"""How far a mean over rows would scatter, had chance given other rows: the bootstrap (Efron & Tibshirani 1993, ch. 13).

Rows are drawn with replacement, as many as there are, `RESAMPLES` times; what is reckoned from the means of each
resample is cut off at 2.5 and 97.5 %: the percentile method. It is paired: a row is drawn with all its columns, so what
is hard about it is hard for model and rule alike, and does not blur their comparison.

The answer is the same whatever the order of the rows, and each time: rows are sorted first, and the seed is fixed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LOWER, UPPER = 0.025, 0.975
"""Ends of a 95 % interval."""
LARGE = 10_000
"""More rows than these are dealt at random into so many groups, and groups are drawn, each with all its rows: the mean
scatters as much by either, and a resample never costs more than `LARGE` draws."""
SEED = 20_110_901
_DRAWS = 500_000
"""Draws at once, which bounds the memory."""


def resampled_means(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the mean of each column in each resample.

    Args:
      columns: of shape [columns, rows].

    Returns:
      Shape [columns, `RESAMPLES`]; NaN without rows, or where a value is no finite number.
    """
    if not columns.size or not np.isfinite(columns).all():
        return np.full((len(columns), RESAMPLES), np.nan)
    generator = np.random.default_rng(SEED)
    ordered = columns[:, np.lexsort(columns)]
    counted = np.vstack([ordered, np.ones(ordered.shape[1])])
    units = _grouped(counted, generator) if counted.shape[1] > LARGE else counted
    means = np.empty((len(columns), RESAMPLES))
    size = units.shape[1]
    step = max(1, _DRAWS // size)
    for start in range(0, RESAMPLES, step):
        drawn = generator.integers(size, size=(min(step, RESAMPLES - start), size), dtype=np.int32)
        with np.errstate(all="ignore"):
            *sums, rows = (column[drawn].sum(axis=1) for column in units)
            means[:, start : start + step] = np.stack(sums) / rows
    return means


def _grouped(columns: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Deals rows into `LARGE` groups, and returns the sum of each."""
    group = generator.permutation(np.arange(columns.shape[1]) % LARGE)
    return np.stack([np.bincount(group, weights=column) for column in columns])


def percentile(values: NDArray[np.float64], share: float) -> float:
    """Returns the value below which a share of the values lies; NaN where one of them is no number."""
    with np.errstate(all="ignore"):
        return float(np.quantile(values, share))
