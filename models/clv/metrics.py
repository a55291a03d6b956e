"""How far the CLV model's intervals can be relied on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.clv import features
from models.clv.wording import HALF_A_PENNY, Floats
from pipeline.contract import Rows


def interval_coverage(rows: Rows) -> float:
    """Returns the share of customers whose future revenue lies in the predicted interval.

    The ends belong to it, and half a penny around them, since the label is a difference of two totals. Rows weigh what
    they weigh in totals, so that a customer counts once. The interval promises to hold `features.INTERVAL`; see
    `head.interval_levels`. NaN without rows, and where the model answers no interval.
    """
    low, high = (rows.outputs[name] for name in (features.LOW, features.HIGH))
    total = float(np.sum(rows.weight))
    if not total or not np.isfinite([low, high, rows.label]).all():
        return float("nan")
    return float(np.sum(rows.weight[inside(rows.label, low, high)])) / total


def inside(revenue: Floats, low: Floats, high: Floats) -> NDArray[np.bool_]:
    """Returns whether each revenue is in its interval; ends and half a penny around them belong to it, [rows]."""
    found: NDArray[np.bool_] = (revenue >= low - HALF_A_PENNY) & (revenue <= high + HALF_A_PENNY)
    return found
