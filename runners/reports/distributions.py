"""How values are distributed: counts in bins that suit them, and small pictures of these, drawn without a library.

A figure of a few axes takes matplotlib a third of a second; a page has such a picture for every feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BINS = 30
"""Of numbers."""
BARS = 12
"""Of a category's most frequent values."""
LONG_TAIL = 30
"""The scale is logarithmic where the greatest value is so many times the median of those above 0."""
WIDTH, HEIGHT = 180, 36
"""Of a small picture, in pixels."""


class Bins(NamedTuple):
    """Values in bins.

    Attributes:
      shares: of each column, the share of its values in each bin, [columns, bins].
      edges: of the bins, [bins + 1]; none of a category.
      names: of a category's bins; empty of numbers.
      log: whether the bins are equally wide on a logarithmic scale; those at 0 have the first bin for themselves then.
    """

    shares: NDArray[np.float64]
    edges: NDArray[np.float64]
    names: tuple[str, ...]
    log: bool


class Small(NamedTuple):
    """A small picture: the paths of its area (first column) and of its lines (the others), and what is below it."""

    area: str
    lines: tuple[str, ...]
    left: str
    right: str
    scale: str


def bins(columns: Sequence[Any]) -> Bins | None:
    """Returns the values of pyarrow columns of one feature in the same bins; None where that tells nothing."""
    columns = [column.drop_null() for column in columns]
    if not columns or not all(len(column) for column in columns):
        return None
    kind = columns[0].type
    if any(column.type != kind for column in columns):
        return None
    if pa.types.is_string(kind):
        return _of_texts(columns)
    numeric = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    return _of_numbers([column.to_numpy().astype(np.float64) for column in columns]) if numeric else None


def small(found: Bins) -> Small:
    """Returns the paths of a small picture, in a box of `WIDTH` x `HEIGHT`."""
    heights = found.shares / found.shares.max()
    first, *others = [_steps(row) for row in heights]
    if found.names:
        return Small(f"{first} Z", tuple(others), found.names[0], found.names[-1], "")
    low, high = (_short(edge) for edge in found.edges[[0, -1]])
    return Small(f"{first} Z", tuple(others), low, high, "log scale" if found.log else "")


def _of_numbers(columns: list[NDArray[np.float64]]) -> Bins | None:
    columns = [column[np.isfinite(column)] for column in columns]
    values = np.concatenate(columns)
    if not all(map(len, columns)) or values.min() == values.max():
        return None
    edges, log = _edges(values)
    shares = np.array([np.histogram(column, edges)[0] / len(column) for column in columns])
    return Bins(shares, edges, (), log)


def _edges(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    low, high = values.min(), values.max()
    above = values[values > 0]
    whole = np.array_equal(values, np.round(values))
    if low >= 0 and high > LONG_TAIL * np.median(above):
        edges = np.geomspace(above.min(), high, BINS + 1)
        edges = np.unique(np.ceil(edges)) if whole else edges
        edges[-1] = high
        return (np.concatenate([[0.0], edges]) if low == 0 else edges), True
    if high - low < BINS and whole:
        return np.arange(low, high + 2), False
    return np.linspace(low, high, BINS + 1), False


def _of_texts(columns: list[Any]) -> Bins | None:
    counts = [dict(entry.values() for entry in pc.value_counts(column).to_pylist()) for column in columns]
    if len(counts[0]) > len(columns[0]) / 2:  # Names and ids: each is there once.
        return None
    shares = [
        {name: rows / len(column) for name, rows in count.items()}
        for count, column in zip(counts, columns, strict=True)
    ]
    everything = sorted(set().union(*shares), key=lambda name: (-max(share.get(name, 0) for share in shares), name))
    # A value that is gone from the first column is shown as well, at the end.
    names = sorted(everything[:BARS], key=lambda name: -shares[0].get(name, 0))
    found = np.array([[share.get(name, 0.0) for name in names] for share in shares])
    return Bins(found, np.array([]), tuple(map(str, names)), log=False)


def _steps(heights: NDArray[np.float64]) -> str:
    width = WIDTH / len(heights)
    tops = (f"V{HEIGHT * (1 - height):.1f} H{width * (place + 1):.1f}" for place, height in enumerate(heights))
    return f"M0 {HEIGHT} {' '.join(tops)} V{HEIGHT}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.3g}"
