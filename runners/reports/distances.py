"""Drift and skew of a run as bars against their limits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.verdict import Check

_DISTANCE = re.compile(r"(?P<what>drift|skew) of (?P<feature>.+)")


class Bar(NamedTuple):
    """A distance, its limit, and how much of the limit it takes, in percent."""

    value: float
    limit: float
    percent: float
    state: str


class Distances(NamedTuple):
    """Distances of all features: `columns` in words, and feature -> a bar a column; None where nothing was compared."""

    columns: tuple[str, ...]
    rows: dict[str, tuple[Bar | None, ...]]


def distances(checks: Iterable[Check]) -> Distances | None:
    """Returns the distances that the data gate judged; None if it compared nothing."""
    found: dict[str, dict[str, Bar]] = {}
    for check in checks:
        named, bar = _DISTANCE.fullmatch(check.metric), bar_of(check)
        if named and bar:
            found.setdefault(named["feature"], {})[_column(named["what"], check.slice)] = bar
    columns = tuple(dict.fromkeys(column for bars in found.values() for column in bars))
    rows = {feature: tuple(bars.get(column) for column in columns) for feature, bars in found.items()}
    return Distances(columns, rows) if rows else None


def is_distance(check: Check) -> bool:
    """Whether a check is one of those that `distances` shows."""
    return bool(_DISTANCE.fullmatch(check.metric) and bar_of(check))


def closest(checks: Iterable[Check]) -> tuple[Check, Bar] | None:
    """Returns the judged distance that takes most of its limit."""
    bars = [(check, bar) for check in checks if is_distance(check) and check.binding and (bar := bar_of(check))]
    return max(bars, key=lambda found: found[1].percent, default=None)


def bar_of(check: Check) -> Bar | None:
    """Returns the bar of a check whose bound is a greatest value; None of any other."""
    limit = re.fullmatch(r"<= (\S+)", check.bound)
    if not limit or isinstance(check.value, str):
        return None
    percent = 100 * check.value / float(limit[1]) if float(limit[1]) else 100.0 * bool(check.value)
    state = "refused" if not check.passed else "few" if not check.binding else "allowed" if percent > 100 else "passed"
    return Bar(check.value, float(limit[1]), percent, state)


def _column(what: str, split: str) -> str:
    return "drift: train against the last pushed run" if what == "drift" else f"skew: {split} against train"
