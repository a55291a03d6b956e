"""A closer look at the features that the data gate refused: their values beside those that they were compared with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract import Plot
from pipeline.verdict import Check
from runners.reports.distances import bar_of
from runners.reports.distributions import Bins, bins
from runners.reports.pages import figure

SHOWN = 3
"""Features that are looked at."""
TRAIN = "train"

_ABOUT = re.compile(r"(drift of|skew of|lost values of|schema:|unknown) (?P<feature>.+)")
_DOMAIN = re.compile(r"(?:INT|FLOAT), (?P<least>\S+) \.\. (?P<greatest>[^\s,]+)")


class Panel(NamedTuple):
    """A feature that is looked at.

    Attributes:
      split: of this run.
      origin: what it was compared with; None where there is nothing.
      domain: least and greatest value that the schema allows, if values outside of it were refused.
      says: what was found, for people.
    """

    feature: str
    split: str
    origin: str | None
    found: Bins
    domain: tuple[float, float] | None
    says: str


def look(checks: Sequence[Check], examples: Mapping[str, pa.Table], reference: pa.Table | None) -> Plot | None:
    """Returns a figure of the features that the gate refused; if it refused something else, of those that drifted most.

    Args:
      checks: of the data gate.
      examples: of this run, by split, or a sample of them.
      reference: of the last pushed run's training split, if there is one.
    """
    about = _refused(checks) or _most_drifted(checks)
    panels = [panel for check in about if (panel := _panel(check, examples, reference))][:SHOWN]
    if not panels:
        return None
    says = "Filled: this run. Line: what it is compared with. Where they part, the data changed; gray is not allowed."
    found = "; ".join(panel.says for panel in panels)
    return Plot("Where the trouble is", f"{says} Found: {found}.", partial(_draw, panels), height=3.0)


def _refused(checks: Sequence[Check]) -> list[Check]:
    """The first missed check of each feature."""
    found: dict[str, Check] = {}
    for check in checks:
        if not check.passed and (named := _ABOUT.fullmatch(check.metric)):
            found.setdefault(named["feature"], check)
    return list(found.values())


def _most_drifted(checks: Sequence[Check]) -> list[Check]:
    drifts = [
        (bar.percent, check) for check in checks if check.metric.startswith("drift of ") and (bar := bar_of(check))
    ]
    return [check for percent, check in sorted(drifts, key=lambda found: -found[0]) if percent > 0]


def _panel(check: Check, examples: Mapping[str, pa.Table], reference: pa.Table | None) -> Panel | None:
    named = _ABOUT.fullmatch(check.metric)
    assert named
    feature = named["feature"]
    here, (there, origin) = _column(examples.get(check.slice), feature), _other(check, examples, reference)
    other = _column(there, feature)
    if here is None:
        return None
    found = bins([here, other]) if other is not None else None
    alone = found is None
    found = found or bins([here])
    domain = _DOMAIN.match(check.bound) if check.metric.startswith("schema:") else None
    limits = (float(domain["least"]), float(domain["greatest"])) if domain and found and not found.names else None
    says = _says(feature, check, here, limits)
    return Panel(feature, check.slice, None if alone else origin, found, limits, says) if found else None


def _column(table: pa.Table | None, feature: str) -> Any:
    return table[feature] if table is not None and feature in table.column_names else None


def _other(check: Check, examples: Mapping[str, pa.Table], reference: pa.Table | None) -> tuple[pa.Table | None, str]:
    """What the gate compared with: skew is between splits, everything else against the last pushed run."""
    if check.slice != TRAIN and (reference is None or check.metric.startswith("skew")):
        return examples.get(TRAIN), TRAIN
    return reference, "last pushed run"


def _says(feature: str, check: Check, values: Any, domain: tuple[float, float] | None) -> str:
    if domain is None:
        return f"{feature} in {check.slice}: {(check.note or str(check.value)).partition(';')[0]}"
    outside = pc.sum(pc.or_(pc.less(values, domain[0]), pc.greater(values, domain[1]))).as_py() or 0
    allowed = f"{figure(domain[0])} .. {figure(domain[1])}"
    return f"{feature} in {check.slice} is outside of {allowed} in {outside:,} of {len(values):,} rows"


def _draw(panels: Sequence[Panel], canvas: Any) -> None:
    axes = canvas.subplots(1, len(panels), squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        found = panel.found
        edges = np.arange(len(found.names) + 1) if found.names else found.edges
        axis.stairs(100 * found.shares[0], edges, fill=True, color="C0", alpha=0.4, label=f"this run, {panel.split}")
        for shares in found.shares[1:]:
            axis.stairs(100 * shares, edges, color="C1", label=panel.origin)
        room = 135 * found.shares.max()  # Above the highest bin, for the legend.
        axis.set(title=panel.feature, ylabel="percent of the rows", ylim=(0, room))
        _scale(axis, found)
        _shade(axis, edges, panel.domain)
        axis.legend()


def _scale(axis: Any, found: Bins) -> None:
    if found.names:
        axis.set_xticks(
            [place + 0.5 for place in range(len(found.names))], found.names, rotation=60, ha="right", parse_math=False
        )
    elif found.log:
        axis.set_xscale("symlog", linthresh=found.edges[found.edges > 0].min())
        axis.xaxis.set_major_formatter("{x:,g}")


def _shade(axis: Any, edges: Any, domain: tuple[float, float] | None) -> None:
    """What the schema does not allow, as far as there are values."""
    if domain is None:
        return
    for low, high in ((edges[0], min(domain[0], edges[-1])), (max(domain[1], edges[0]), edges[-1])):
        if low < high:
            axis.axvspan(low, high, color="C5", alpha=0.35, linewidth=0, label="not allowed")
