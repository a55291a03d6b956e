"""How the coverage of an interval is counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from models.clv import features
from models.clv.metrics import interval_coverage
from pipeline.contract import Rows


def covered(label: list[float], low: Any, high: Any, weight: list[float] | None = None) -> float:
    arrays = [np.asarray(column, np.float64) for column in (label, low, high)]
    nothing = np.zeros(len(label))
    ones = np.ones(len(label)) if weight is None else np.asarray(weight)
    outputs = {features.LOW: arrays[1], features.HIGH: arrays[2]}
    return interval_coverage(Rows(arrays[0], nothing, nothing, ones, outputs=outputs))


def test_both_ends_belong_to_the_interval_and_half_a_penny_around_them() -> None:
    assert covered([10.0, 20.0, 9.996, 20.004, 9.99, 20.01], [10.0] * 6, [20.0] * 6) == pytest.approx(4 / 6)


def test_a_customer_in_two_countries_counts_once() -> None:
    assert covered([1.0, 1.0, 50.0], [0.0] * 3, [10.0] * 3, weight=[0.5, 0.5, 1.0]) == pytest.approx(1 / 2)


def test_where_the_lower_end_is_zero_those_who_buy_nothing_are_covered() -> None:
    """The label of one who buys nothing is a difference of two totals, and need not be 0 to the last bit."""
    assert covered([0.0, -1e-4, 1e-4], [0.0] * 3, [100.0] * 3) == 1
    assert covered([0.0], [0.01], [100.0]) == 0


def test_a_sound_interval_of_a_label_that_is_often_zero_covers_ninety_of_a_hundred() -> None:
    """Its lower end is 0, and below it nobody can be; that of a label without zeros covers eighty."""
    draw = np.random.default_rng(1)
    spent = draw.lognormal(6, 1, 20_000)
    ends = np.quantile(spent, [0.1, 0.9])
    assert covered(spent.tolist(), np.full(20_000, ends[0]), np.full(20_000, ends[1])) == pytest.approx(0.8, abs=1e-3)
    often = np.where(draw.random(20_000) < 0.4, 0, spent)
    ends = np.quantile(often, [0.1, 0.9])
    assert covered(often.tolist(), np.full(20_000, ends[0]), np.full(20_000, ends[1])) == pytest.approx(0.9, abs=1e-3)


def test_no_interval_has_no_coverage() -> None:
    """As of a champion that answers none; and of a slice without rows."""
    assert math.isnan(covered([1.0, 2.0], [0.0, math.nan], [3.0, 3.0]))
    assert math.isnan(covered([], [], []))
