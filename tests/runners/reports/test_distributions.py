"""Bins that suit the values, and the small pictures of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from runners.reports.distributions import HEIGHT, WIDTH, Bins, bins, small


def binned(*columns: list[Any]) -> Bins:
    found = bins([pa.chunked_array([column]) for column in columns])
    assert found is not None
    return found


def test_a_few_whole_numbers_have_a_bin_each() -> None:
    found = binned([1, 1, 2, 4], [2, 2, 2, None])
    assert found.edges.tolist() == [1, 2, 3, 4, 5]
    assert found.shares.tolist() == [[0.5, 0.25, 0, 0.25], [0, 1, 0, 0]]


def test_a_long_tail_is_seen_on_a_logarithmic_scale_and_zeros_for_themselves() -> None:
    found = binned([0.0] * 5 + [1.5] * 5 + [70_000.0])
    assert found.log
    assert found.edges[[0, 1, -1]].tolist() == [0, 1.5, 70_000]
    assert found.shares[0, 0] == pytest.approx(5 / 11)
    assert found.shares.sum() == pytest.approx(1)
    assert small(found).right == "70,000"


def test_whole_numbers_with_a_long_tail_have_no_empty_bins_between_small_ones() -> None:
    found = binned([*range(1, 12)] * 9 + [5000])
    assert (found.shares[0, :6] > 0).all()


def test_negative_numbers_are_drawn_on_an_even_scale() -> None:
    found = binned(list(np.linspace(-50, 10_000, 100)))
    assert not found.log
    assert found.edges[0] == -50


def test_the_most_frequent_values_come_first_and_new_ones_are_counted() -> None:
    found = binned(["b", "a", "b", "b"] * 3, ["c", "a", "c", "c"] * 3)
    assert found.names == ("b", "a", "c")
    assert found.shares.tolist() == [[0.75, 0.25, 0], [0, 0.25, 0.75]]


def test_a_frequent_value_that_is_gone_is_drawn_however_many_others_there_are() -> None:
    others = [f"other {number:02}" for number in range(20)]
    found = binned(others * 3, [*others, "gone", "gone"] * 3)
    assert found.names[-1] == "gone"
    assert found.shares[:, -1].tolist() == [0, pytest.approx(2 / 22)]


@pytest.mark.parametrize(
    "columns",
    [
        [["one", "two", "three"]],
        [[1.0, 1.0]],
        [[None, None]],
        [[float("nan"), float("nan")]],
        [[b"\x89", b"\x90"]],
        [["a", "a"], [1, 1]],
        [],
    ],
    ids=["all different", "all alike", "none", "no numbers", "bytes", "of two types", "nowhere"],
)
def test_what_tells_nothing_is_not_drawn(columns: list[list[object]]) -> None:
    assert bins([pa.chunked_array([column]) for column in columns]) is None


def test_the_picture_stays_in_its_box_and_the_highest_bin_fills_it() -> None:
    drawn = small(binned([1, 1, 2], [3, 3, 1]))
    across = [float(value) for path in (drawn.area, *drawn.lines) for value in re.findall(r"H(\S+)", path)]
    up = [float(value) for path in (drawn.area, *drawn.lines) for value in re.findall(r"V(\S+)", path)]
    assert max(across) == WIDTH
    assert (min(up), max(up)) == (0, HEIGHT)
