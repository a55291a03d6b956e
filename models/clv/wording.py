"""How the CLV model's reports group customers, and write shares and money."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]
Groups = list[tuple[str, NDArray[np.bool_]]]
HALF_A_PENNY = 0.005
"""Less is no revenue: a future that is a difference of two totals is 0 up to rounding."""


def columns_of(table: pa.Table) -> Columns:
    """Returns a table's columns as arrays by name."""
    return {name: table.column(name).to_numpy() for name in table.column_names}


def percent(share: float) -> str:
    """Writes a share: `44 %`, and `0.4 %` below one percent."""
    return f"{100 * share:.1f} %" if 0 < abs(share) < 0.01 else f"{100 * share:.0f} %"


def money(value: float) -> str:
    """Writes an amount without pence: `1,371`."""
    return f"{round(float(value)):,}"


def unit_of(settings: Mapping[str, Any]) -> str:
    """Returns what money is counted in: the shop's currency where the settings name it."""
    return str(settings.get("data", {}).get("currency") or "shop's currency")


def horizon_of(settings: Mapping[str, Any]) -> int:
    """Returns the days of the label."""
    return int(settings["features"]["horizon_days"])


def by_recency(days: NDArray[Any], horizon: int) -> Groups:
    """Returns the groups of days since the last purchase: up to a third of the horizon, one, two, and more."""
    edges = [-1, horizon // 3, horizon, 2 * horizon]
    groups = [(f"{low + 1}-{high} days", (days > low) & (days <= high)) for low, high in pairwise(edges) if high > low]
    return _with_rows([*groups, (f"over {2 * horizon} days", days > 2 * horizon)])


def by_value(values: NDArray[Any], order: tuple[str, ...]) -> Groups:
    """Returns a group for each of the values, in that order."""
    return _with_rows([(value, values == value) for value in order])


def _with_rows(groups: Groups) -> Groups:
    return [(name, member) for name, member in groups if member.any()]
