"""The revenue after the cut-off, as it came and as it was predicted: what the figures of the reports are made of.

What is judged is the future part, total - past. A row is a customer in a country; means and sums weigh the rows of a
customer, 1 together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.clv import features
from models.clv.wording import (
    HALF_A_PENNY,
    Columns,
    Floats,
    columns_of,
    horizon_of,
    unit_of,
)
from pipeline.contract import Shown

JUDGED = "eval"
"""The split that the gates judge."""
SPLITS = {"train": "train (fitted to)", "eval": "eval (judged)", "test": "test (reported)"}
TICKS = (-1000, -100, 0, 10, 100, 1000, 10_000, 100_000, 1_000_000)
FEW_TICKS = (-1000, 0, 100, 10_000, 1_000_000)
"""For an axis that is short."""
LINEAR = 10
"""Amounts up to this one, either sign, stand on the linear part of an axis: logarithms know no 0."""


class Future(NamedTuple):
    """Revenue after the cut-off on the rows of a split: what came, what was predicted, what the naive rule said.

    Attributes:
      weight: of a row; the rows of a customer weigh 1 together.
      columns: what else is kept of the rows.
      horizon: days.
      unit: what money is counted in.
    """

    actual: Floats
    predicted: Floats
    naive: Floats
    weight: Floats
    columns: Columns
    horizon: int
    unit: str


def futures(shown: Shown) -> dict[str, Future]:
    """Returns the future part of each split that has rows, train first."""
    found = {name: columns_of(shown.tables[name]) for name in SPLITS if name in shown.tables}
    return {name: _future(rows, shown.settings) for name, rows in found.items() if len(rows["actual"])}


def _future(rows: Columns, settings: Mapping[str, Any]) -> Future:
    actual, predicted, naive = (rows[name] - rows[features.PAST] for name in ("actual", "predicted", "naive"))
    actual = np.where(np.abs(actual) < HALF_A_PENNY, 0.0, actual)
    return Future(actual, predicted, naive, rows[features.WEIGHT], rows, horizon_of(settings), unit_of(settings))


def log_axis(axes: Any, which: str, ticks: Sequence[int] = TICKS) -> None:
    """Makes the x or y axis, whose limits are set, logarithmic on both sides of 0, with plain numbers."""
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    low, high = axis.get_view_interval()
    getattr(axes, f"set_{which}scale")("symlog", linthresh=LINEAR, linscale=0.6)
    axes.minorticks_off()
    axis.set_ticks([tick for tick in ticks if low <= tick <= high])
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
