"""Which rows are shown as pictures: none twice, the same ones each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.illustrations import choose, write


def rows(values: list[float], each: int = 2) -> dict[str, list[int]]:
    """Indices by kind."""
    chosen = choose(np.array(values), each)
    return {kind: [row for of, row in chosen if of == kind] for kind in dict(chosen)}


def test_best_median_and_worst_the_least_first() -> None:
    found = rows([0.8, 0.1, 0.5, 0.9, 0.3, 0.2, 0.7, 0.6, 0.4])
    assert found == {"best": [1, 5], "median": [8, 2], "worst": [0, 3]}


def test_of_an_even_number_the_two_in_the_middle() -> None:
    assert rows([7, 6, 5, 4, 3, 2, 1, 0]) == {"best": [7, 6], "median": [4, 3], "worst": [1, 0]}


def test_of_equal_rows_the_first_are_the_best() -> None:
    assert rows([1.0] * 9) == {"best": [0, 1], "median": [3, 4], "worst": [7, 8]}


@pytest.mark.parametrize("count", range(20))
def test_no_row_is_shown_twice_and_few_are_all_shown(count: int) -> None:
    chosen = [row for _, row in choose(np.arange(float(count)))]
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, 18)


@pytest.mark.parametrize(
    ("count", "kinds"),
    [
        (1, ["median"]),
        (2, ["best", "worst"]),
        (3, ["best", "median", "worst"]),
        (4, ["best", *["median"] * 2, "worst"]),
    ],
)
def test_kinds_of_few_rows(count: int, kinds: list[str]) -> None:
    assert [kind for kind, _ in choose(np.arange(float(count)))] == kinds


def test_rows_without_a_value_are_not_shown() -> None:
    assert rows([np.nan, 2, np.inf, 1, 3]) == {"best": [3], "median": [1], "worst": [4]}


def test_a_picture_may_not_hide_a_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"received \['error', 'kind'\]"):
        write(pa.table({"error": [1.0]}), ["best"], {"kind": [b""], "error": [b""]}, tmp_path / "eval.parquet")
    assert not list(tmp_path.iterdir())
