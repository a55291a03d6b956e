"""Rules of thumb: the one that the model must beat, customers go on as before; and another to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.clv import features


def naive(inputs: Mapping[str, NDArray[Any]], feature_settings: Mapping[str, Any]) -> NDArray[np.float64]:
    """Predicts the total as past + past x horizon / max(tenure, horizon).

    The customer's revenue a day so far goes on over the horizon. A tenure shorter than the horizon is taken as
    the horizon: one purchase last week is no rate of one purchase a week.

    Args:
      inputs: arrays of shape [rows] by feature name: `features.PAST` (money) and `features.TENURE` (days).
      feature_settings: the feature settings; `horizon_days` is read.

    Returns:
      Predicted totals, float64 of shape [rows], in the unit of `features.PAST`.
    """
    past = np.asarray(inputs[features.PAST], np.float64)
    tenure = np.asarray(inputs[features.TENURE], np.float64)
    horizon = float(feature_settings["horizon_days"])
    total: NDArray[np.float64] = past + past * horizon / np.maximum(tenure, horizon)
    return total


def lab_baseline(inputs: Mapping[str, NDArray[Any]], feature_settings: Mapping[str, Any]) -> NDArray[np.float64]:
    """Predicts the total as twice the mean revenue of a day with a purchase: the SQL baseline of the reference lab.

    The lab compares its network with it, but it is a slip: neither how often a customer buys nor what was spent so far
    is in it. On UCI Online Retail at 2011-09-01 its mean absolute error of the total is 1371 on the 353 rows of the
    eval split; that of past revenue alone is 572. It is shown because people know it, and gates nothing.

    Args:
      inputs: arrays of shape [rows] by feature name: `features.AVERAGE` (money).
      feature_settings: the feature settings; none is read.

    Returns:
      Predicted totals, float64 of shape [rows], in the unit of the input.
    """
    total: NDArray[np.float64] = 2 * np.asarray(inputs[features.AVERAGE], np.float64)
    return total
