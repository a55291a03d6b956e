"""Drift and skew of a run as bars against their limits, and a look at the features that moved too far."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.contract import Plot
from pipeline.verdict import Check
from runners.reports.distributions import Bins, bins

SHOWN = 3
"""Features that are looked at more closely."""
TRAIN = "train"

_DISTANCE = re.compile(r"(?P<what>drift|skew) of (?P<feature>.+)")
_ABOUT = re.compile(r"(?:drift of|skew of|lost values of|schema:|unknown) (?P<feature>.+)")


class Bar(NamedTuple):
    """A distance, its limit, and how much of the limit it takes in percent (None where it has none)."""

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
        named, bar = _DISTANCE.fullmatch(check.metric), _bar(check)
        if named and bar:
            found.setdefault(named["feature"], {})[_column(named["what"], check.slice)] = bar
    columns = tuple(dict.fromkeys(column for bars in found.values() for column in bars))
    rows = {feature: tuple(bars.get(column) for column in columns) for feature, bars in found.items()}
    return Distances(columns, rows) if rows else None


def is_distance(check: Check) -> bool:
    """Whether a check is one of those that `distances` shows."""
    return bool(_DISTANCE.fullmatch(check.metric) and _bar(check))


def closest(checks: Iterable[Check]) -> tuple[Check, Bar] | None:
    """Returns the judged distance that takes most of its limit."""
    bars = [(check, bar) for check in checks if is_distance(check) and check.binding and (bar := _bar(check))]
    return max(bars, key=lambda found: found[1].percent, default=None)


def look(
    checks: Sequence[Check], examples: Mapping[str, pa.Table], reference: pa.Table | None, *, wide: bool
) -> Plot | None:
    """Returns a figure of the features that the gate refused, beside what they were compared with.

    Args:
      checks: of the data gate.
      examples: of this run, by split.
      reference: of the last pushed run's training split, if there is one.
      wide: whether to show those that drifted most where no check that was missed names a feature.
    """
    about = _refused(checks) or (_most_drifted(checks) if wide else [])
    shown = [panel for check in about if (panel := _panel(check, examples, reference))][:SHOWN]
    if not shown:
        return None
    says = "Filled: what this run read. Line: what it was compared with. The further apart they are, the more the feature "
    said = "; ".join(f"{check.metric} on {check.slice}: {check.note or check.value}" for check, *_ in shown)
    return Plot("Where the data differ", f"{says}changed. Found: {said}.", partial(_draw, shown), height=3.0)


def _bar(check: Check) -> Bar | None:
    limit = re.fullmatch(r"<= (\S+)", check.bound)
    if not limit or isinstance(check.value, str):
        return None
    percent = 100 * check.value / float(limit[1]) if float(limit[1]) else 100.0 * bool(check.value)
    state = "refused" if not check.passed else "few" if not check.binding else "allowed" if percent > 100 else "passed"
    return Bar(check.value, float(limit[1]), percent, state)


def _column(what: str, split: str) -> str:
    return "drift: train against the last pushed run" if what == "drift" else f"skew: {split} against train"


def _refused(checks: Sequence[Check]) -> list[Check]:
    """The first missed check of each feature."""
    found: dict[str, Check] = {}
    for check in checks:
        if not check.passed and (named := _ABOUT.fullmatch(check.metric)):
            found.setdefault(named["feature"], check)
    return list(found.values())


def _most_drifted(checks: Sequence[Check]) -> list[Check]:
    drifts = [(bar.percent, check) for check in checks if check.metric.startswith("drift of ") and (bar := _bar(check))]
    return [check for percent, check in sorted(drifts, key=lambda found: -found[0]) if percent > 0]


def _panel(check: Check, examples: Mapping[str, pa.Table], reference: pa.Table | None) -> tuple[Check, str, Bins] | None:
    named = _ABOUT.fullmatch(check.metric)
    assert named
    feature = named["feature"]
    other, origin = reference, "last pushed run"
    if check.metric.startswith("skew") or (other is None and check.slice != TRAIN):
        other, origin = examples.get(TRAIN), TRAIN
    tables = [table for table in (examples.get(check.slice), other) if table and feature in table.column_names]
    found = bins([table[feature] for table in tables])
    return (check, origin, found) if found else None


def _draw(panels: Sequence[tuple[Check, str, Bins]], figure: Any) -> None:
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (check, origin, found) in zip(axes, panels, strict=True):
        edges = range(len(found.names) + 1) if found.names else found.edges
        axis.stairs(100 * found.shares[0], edges, fill=True, color="C0", alpha=0.4, label=f"this run, {check.slice}")
        for shares in found.shares[1:]:
            axis.stairs(100 * shares, edges, color="C1", label=origin)
        axis.set_title(check.metric)
        axis.set_ylabel("percent of the rows")
        _scale(axis, found)
        axis.legend()


def _scale(axis: Any, found: Bins) -> None:
    if found.names:
        axis.set_xticks([place + 0.5 for place in range(len(found.names))], found.names, rotation=60, ha="right")
    elif found.log:
        axis.set_xscale("symlog", linthresh=max(found.edges[found.edges > 0].min(), 1e-9))
        axis.xaxis.set_major_formatter("{x:,g}")
