"""The bounds of the model gate as bars: how close each metric was on each slice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.contract import Range
from pipeline.verdict import CANDIDATE, CHAMPION, OVERALL, Check
from runners.history import bounds
from runners.reports.facts import Facts
from runners.reports.pages import figure
from runners.reports.rivals import naive_on
from runners.reports.words import meaning

WIDTH = 300.0
"""Of a bar's scale, in units of its drawing."""
MARGIN = 0.05
"""Share of the scale that is left free at either end."""


class Bullet(NamedTuple):
    """A check as a bar; places are in units of `WIDTH`, None where there is nothing to draw.

    Attributes:
      where: the slice; `against`: whether it is the comparison with the champion.
      rows: of the slice, if known.
      verdict: `met`, `missed` or `not judged`.
      told: how close it was, or why it is not judged.
      champion, naive: values of the same metric on the same slice.
      allowed: start and width of what passes.
      bar: start and width of the line from 0 to the value.
      marks: what else is marked -> its place.
    """

    where: str
    against: bool
    rows: float | None
    check: Check
    verdict: str
    told: str
    champion: float | None
    naive: float | None
    zero: float | None = None
    allowed: tuple[float, float] | None = None
    bar: tuple[float, float] | None = None
    limits: tuple[float, ...] = ()
    marks: Mapping[str, float] = {}


class Judged(NamedTuple):
    """A bounded metric: what it is, why it is bounded so, and a bar a check."""

    metric: str
    meaning: str
    reason: str
    bullets: tuple[Bullet, ...]


def judged(facts: Facts) -> list[Judged]:
    """Returns what the model gate looked at, metric by metric."""
    checks = [check for check in facts.result.checks if check.gate == "model"]
    naive = {where: naive_on(facts, where) for where in {check.slice for check in checks}}
    bullets = [_plain(facts, check, naive[check.slice].get(check.metric)) for check in checks]
    names = dict.fromkeys(check.metric for check in checks)
    return [_judged(facts, name, [bullet for bullet in bullets if bullet.check.metric == name]) for name in names]


def _judged(facts: Facts, name: str, plain: Sequence[Bullet]) -> Judged:
    bound = bounds(facts.result).get(name)
    reason = bound.get("reason", "") if bound else ""
    if not bound:
        return Judged(name, "", reason, tuple(plain))
    ranges = [_range(bound, bullet, facts) for bullet in plain]
    scale = _Scale.of(plain, ranges)
    drawn = tuple(_drawn(bullet, limits, scale) for bullet, limits in zip(plain, ranges, strict=True))
    return Judged(name, meaning(facts.model, name), reason, drawn)


def _plain(facts: Facts, check: Check, naive: float | None) -> Bullet:
    """A check without its drawing."""
    slices = facts.result.slices
    verdict = "missed" if not check.passed else "met" if check.binding else "not judged"
    return Bullet(
        where=check.slice,
        against="champion" in check.bound,
        rows=slices.get(CANDIDATE, {}).get(check.slice, {}).get("rows"),
        check=check,
        verdict=verdict,
        told="" if check.binding else check.note,
        champion=slices.get(CHAMPION, {}).get(check.slice, {}).get(check.metric),
        naive=naive,
    )


def _range(bound: Mapping[str, Any], bullet: Bullet, facts: Facts) -> Range:
    """What passes, as data: on all rows, on a slice, or so much worse than the champion."""
    if not bullet.against:
        sliced = bound.get("at", {}).get(bullet.where) or bound.get("slices")
        found = bound if bullet.where == OVERALL or not sliced else sliced
        return Range(lower=found.get("lower"), upper=found.get("upper"))
    metric = next((metric for metric in facts.model.metrics if metric.name == bullet.check.metric), None)
    if metric is None or bullet.champion is None or bound.get("worsening") is None:
        return Range()
    if metric.better == "zero":
        far = abs(bullet.champion) + bound["worsening"]
        return Range(lower=-far, upper=far)
    if metric.better == "higher":
        return Range(lower=bullet.champion - bound["worsening"])
    return Range(upper=bullet.champion + bound["worsening"])


class _Scale(NamedTuple):
    low: float
    high: float

    @classmethod
    def of(cls, bullets: Sequence[Bullet], ranges: Sequence[Range]) -> _Scale:
        """One scale for all slices of a metric; a slice that is not judged does not stretch it."""
        found = [limit for limits in ranges for limit in (limits.lower, limits.upper)]
        found += [bullet.check.value for bullet in bullets if bullet.check.binding]  # type: ignore[misc]
        found += [value for bullet in bullets if bullet.where == OVERALL for value in (bullet.champion, bullet.naive)]
        numbers = [float(value) for value in (0.0, *found) if isinstance(value, int | float)]
        room = MARGIN * (max(numbers) - min(numbers)) or 1.0
        return cls(min(numbers) - room, max(numbers) + room)

    def place(self, value: float) -> float:
        """Returns where a value stands; one beyond the scale stands at its edge."""
        share = (value - self.low) / (self.high - self.low)
        return round(WIDTH * min(1.0, max(0.0, share)), 1)

    def stretch(self, one: float, other: float) -> tuple[float, float]:
        """Returns start and width of what is between two values."""
        places = sorted((self.place(one), self.place(other)))
        return places[0], round(places[1] - places[0], 1)


def _drawn(bullet: Bullet, limits: Range, scale: _Scale) -> Bullet:
    low = -math.inf if limits.lower is None else limits.lower
    high = math.inf if limits.upper is None else limits.upper
    value = bullet.check.value
    marks = {"champion": bullet.champion, "naive rule": bullet.naive}
    return bullet._replace(
        told=bullet.told or _closeness(bullet.check, low, high),
        zero=scale.place(0),
        allowed=scale.stretch(low, high),
        bar=None if isinstance(value, str) else scale.stretch(0, value),
        limits=tuple(scale.place(limit) for limit in _finite(low, high)),
        marks={name: scale.place(found) for name, found in marks.items() if found is not None},
    )


def _closeness(check: Check, low: float, high: float) -> str:
    if check.shortfall is not None:
        return f"by {figure(check.shortfall)}"
    if isinstance(check.value, str):
        return "" if check.passed else "a metric without a value is refused"
    room = min(check.value - low, high - check.value)
    return f"{figure(room)} to spare" if math.isfinite(room) and check.passed else ""


def _finite(*values: float) -> Iterator[float]:
    return (value for value in values if math.isfinite(value))
