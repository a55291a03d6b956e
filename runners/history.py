"""What became of a root's runs, from their records alone: a line a run, and the trend of each gate metric."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.contract import LOSSES, Model, Range, UserError
from pipeline.settings import on_line
from pipeline.verdict import CANDIDATE, JUDGED_SPLIT, OVERALL, Check, bound_text, number
from runners.local import is_held
from runners.records import records
from runners.run import REPORT, RunResult

RUNNING = "running"
WHY_LENGTH = 90
"""Characters of an error that a line shows; the record has it in full."""
BARS = "▁▂▃▄▅▆▇█"
TREND_WIDTH = 40
"""Characters of a sparkline; each stands for the mean of several runs where there are more."""


class Entry(NamedTuple):
    """A run, in a line.

    Attributes:
      started: UTC and a Z; of records of before they had the time, local time as in the id.
      outcome: as in the record; `running` instead of `unfinished` while the root is held.
      gate: that refused it, or empty.
      why: in a few words: the first bound that was missed, or the node that failed; the version that was pushed.
      metrics: those with bounds, of the eval split; None where undefined. Empty where nothing was measured.
      seconds: wall-clock; None if the record has no end.
      report: path of its report, if that was made.
    """

    run_id: str
    pipeline: str
    model: str
    started: str
    outcome: str
    gate: str
    why: str
    metrics: dict[str, float | None]
    seconds: float | None
    report: str | None


class Trend(NamedTuple):
    """A gate metric over the runs of a pipeline: an entry a run in each tuple, in time order.

    Attributes:
      better: `lower`, `higher`, `zero`; None for a metric that the model does not have any more.
      bound: the newest one, as text that follows "must be".
      reason: why that one.
      bounds: least and greatest value that passed, as it was set for the run.
      champions: what the champion came to on the same rows as the run's model.
    """

    metric: str
    better: str | None
    bound: str
    reason: str
    values: tuple[float | None, ...]
    bounds: tuple[tuple[float | None, float | None], ...]
    champions: tuple[float | None, ...]

    def best(self) -> float | None:
        """Returns the best of the values; None where there is none, or nobody knows what is good."""
        return best(self.values, self.better)


class Line(NamedTuple):
    """The runs of one pipeline: only these compete, so only these make a trend."""

    pipeline: str
    entries: tuple[Entry, ...]
    trends: tuple[Trend, ...]


def entries(root: Path, model: str | None = None) -> list[Entry]:
    """Returns a line for every run, or for a model's, the oldest first."""
    known = records(root)
    held = running(root, known)
    return [_entry(root, result, held) for result in known if model in (None, result.model)]


def running(root: Path, known: Sequence[RunResult]) -> str | None:
    """Returns the id of the run that is going on: the newest without an end, while somebody holds the root's lock."""
    unfinished = [result.run_id for result in known if result.outcome == "unfinished"]
    return unfinished[-1] if unfinished and is_held(root) else None


def history(root: Path, model: Model, line: str | None = None) -> list[Line]:
    """Returns the runs of a model by pipeline, with the trend of each metric that has a bound.

    Args:
      root: of the runs.
      model: whose.
      line: name of a pipeline, or how it goes on after the model's name: `main`. None for all.

    Raises:
      UserError: there is no such line.
    """
    known = records(root)
    held = running(root, known)
    lines: dict[str, list[RunResult]] = {}
    for result in known:
        if result.model == model.name:
            lines.setdefault(result.pipeline, []).append(result)
    chosen = [name for name in lines if on_line(name, model.name, line)]
    if line is not None and not chosen:
        raise UserError(
            expected=f"a data line, or pipeline, of {model.name} with runs below {root}",
            received=f"{line!r} (there: {', '.join(lines) or 'none'})",
            todo="correct or leave out --line",
        )
    return [_line(root, model, name, lines[name], held) for name in chosen]


def best(values: Iterable[float | None], better: str | None) -> float | None:
    """Returns the best of some values of a metric; None where there is none, or nobody knows what is good."""
    known = [value for value in values if value is not None]
    return min(known, key=LOSSES[better], default=None) if better in LOSSES else None


def bounded(result: RunResult) -> dict[str, float | None]:
    """Returns the metrics of the eval split that have bounds; none where nothing was measured."""
    # The Evaluator alone knows the metrics against a champion.
    judged = result.slices.get(CANDIDATE, {}).get(OVERALL, {})
    measured = {**judged, **result.metrics.get(JUDGED_SPLIT, {})}
    return {name: measured[name] for name in bounds(result) if name in measured}


def bounds(result: RunResult) -> dict[str, dict[str, Any]]:
    """Returns the bounds that were set for a run, by metric."""
    found: dict[str, dict[str, Any]] = result.settings.get("gates", {}).get("bounds", {})
    return found


def sparkline(values: Sequence[float | None], width: int = TREND_WIDTH) -> str:
    """Draws values as bars of eight heights, from the least to the greatest; a gap where there is none.

    >>> sparkline([1, 2, None, 8])
    '▁▂ █'
    """
    if len(values) > width:
        edges = [round(step * len(values) / width) for step in range(width + 1)]
        values = [_mean(values[start:end]) for start, end in pairwise(edges)]
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, span = min(known), max(known) - min(known)
    top = len(BARS) - 1
    return "".join(" " if value is None else BARS[round((value - low) / span * top) if span else 3] for value in values)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _line(root: Path, model: Model, name: str, results: list[RunResult], held: str | None) -> Line:
    better = {metric.name: metric.better for metric in model.metrics}
    # The newest run's order; what only older runs bounded comes after it.
    metrics = dict.fromkeys(metric for result in reversed(results) for metric in bounds(result))
    trends = tuple(_trend(metric, better.get(metric), results) for metric in metrics)
    return Line(name, tuple(_entry(root, result, held) for result in results), trends)


def _trend(metric: str, better: str | None, results: list[RunResult]) -> Trend:
    ranges = [Range(lower=bound.get("lower"), upper=bound.get("upper")) for bound in _set(metric, results)]
    newest = next(bounds(result)[metric] for result in reversed(results) if metric in bounds(result))
    return Trend(
        metric,
        better,
        bound=bound_text(Range(lower=newest.get("lower"), upper=newest.get("upper"))),
        reason=newest.get("reason", ""),
        values=tuple(bounded(result).get(metric) for result in results),
        bounds=tuple((found.lower, found.upper) for found in ranges),
        champions=tuple(result.slices.get("champion", {}).get(OVERALL, {}).get(metric) for result in results),
    )


def _set(metric: str, results: Iterable[RunResult]) -> list[dict[str, Any]]:
    return [bounds(result).get(metric, {}) for result in results]


def _entry(root: Path, result: RunResult, held: str | None) -> Entry:
    missed = next((check for check in result.checks if not check.passed), None)
    report = root.resolve() / "records" / result.pipeline / result.run_id / REPORT
    return Entry(
        result.run_id,
        result.pipeline,
        result.model,
        started=started(result),
        outcome=RUNNING if result.run_id == held else result.outcome,
        gate=missed.gate if missed and result.outcome == "refused" else "",
        why=_why(result, missed),
        metrics=bounded(result),
        seconds=result.seconds or None,
        report=str(report) if report.is_file() else None,
    )


def started(result: RunResult) -> str:
    """Returns when a run started, for people: UTC, or, of older records, as its id says."""
    if result.started_at:
        return f"{result.started_at[:16].replace('T', ' ')}Z"
    try:
        return datetime.datetime.strptime(result.run_id, "%Y%m%dT%H%M%S.%f").strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return ""


def _why(result: RunResult, missed: Check | None) -> str:
    if result.outcome == "refused":
        return _missed(missed) if missed else ""
    if result.outcome == "failed":
        text = " ".join((result.error or "").split())
        return text if len(text) <= WHY_LENGTH else f"{text[: WHY_LENGTH - 2]} …"
    if result.outcome == "interrupted":
        return f"in {result.nodes[-1].name}" if result.nodes else "before the first node"
    return f"version {Path(result.pushed).name}" if result.pushed else ""


def _missed(check: Check) -> str:
    return f"{check.gate} gate: {check.metric} on {check.slice} {number(check.value)}, must be {check.bound}"
