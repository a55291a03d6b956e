"""The page of `pipelines history`: a plot a gate metric and a table, over the runs of each pipeline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from pipeline.contract import Model, Plot
from runners.history import Entry, Line, Trend
from runners.reports import exhibits
from runners.reports.pages import figure, render

TICKS = 6
"""Times that stand below a plot, at most."""
PLACE = (0.07, 0.12, 0.86, 0.82)
"""Left, bottom, width and height of the axes, of the figure's."""
SHOWN_MARKS = 60
"""Runs up to which marks have their full size."""
GOOD = {"lower": "Lower is better.", "higher": "Higher is better.", "zero": "Zero is best."}


class Mark(NamedTuple):
    """How an outcome looks: a shape, filled or not, besides the colour, for eyes and paper without colours."""

    sign: str
    shape: str
    colour: str
    filled: bool


MARKS: Mapping[str, Mark] = {
    "pushed": Mark("●", "o", "C2", True),
    "unchanged": Mark("○", "o", "C0", False),
    "refused": Mark("✕", "x", "C1", True),
    "failed": Mark("▼", "v", "C3", True),
    "interrupted": Mark("□", "s", "C4", False),
    "unfinished": Mark("◇", "D", "C5", False),
    "running": Mark("▷", ">", "C5", False),
}


def page(model: Model, lines: Sequence[Line], root: Path, out: Path) -> str:
    """Returns the page.

    Args:
      model: whose runs these are.
      lines: from `runners.history.history`.
      root: of the runs.
      out: file that it is for: links to reports lead from there.
    """
    shown = [(line, _plots(line), [_row(line, entry, out) for entry in reversed(line.entries)]) for line in lines]
    there = {entry.outcome for line in lines for entry in line.entries}
    marks = {state: mark for state, mark in MARKS.items() if state in there}
    met = any(value is not None for line in lines for trend in line.trends for value in trend.champions)
    return str(render("history.html", model=model, root=str(root.resolve()), lines=shown, marks=marks, met=met))


def _plots(line: Line) -> Markup:
    states = [entry.outcome for entry in line.entries]
    times = [entry.started.rstrip("Z") for entry in line.entries]
    plots = (
        Plot(trend.metric, _says(trend), partial(draw, trend=trend, states=states, times=times), height=2.6)
        for trend in line.trends
    )
    return exhibits.show(plots)


def _says(trend: Trend) -> str:
    """Says what to look for, and what was found."""
    why = f" ({trend.reason})" if trend.reason else ""
    look = f"On the eval split it must be {trend.bound}{why}. {GOOD.get(trend.better or '', '')}".rstrip()
    known = [value for value in trend.values if value is not None]
    if not known:
        return f"{look} No run got as far as to measure it."
    if len(known) == 1:
        return f"{look} One run measured it: {figure(known[0])}."
    best = trend.best()
    found = f"{len(known)} runs measured it: first {figure(known[0])}, last {figure(known[-1])}"
    return f"{look} {found}{'' if best is None else f', best {figure(best)}'}. {_missed(trend)}"


def _missed(trend: Trend) -> str:
    pairs = [pair for pair in zip(trend.values, trend.bounds, strict=True) if pair[0] is not None]
    missed = sum(not _passes(value, *bound) for value, bound in pairs if value is not None)
    return f"{missed or 'None'} of them missed the bound that held then."


def _passes(value: float, lower: float | None, upper: float | None) -> bool:
    return (lower is None or value >= lower) and (upper is None or value <= upper)


def _row(line: Line, entry: Entry, out: Path) -> dict[str, Any]:
    link = os.path.relpath(entry.report, out.resolve().parent) if entry.report else None
    known = [entry.metrics.get(trend.metric) for trend in line.trends]
    return {"entry": entry, "sign": MARKS[entry.outcome].sign, "link": link, "metrics": known}


# --- a plot ----------------------------------------------------------------------------------------


def draw(figure: Any, *, trend: Trend, states: Sequence[str], times: Sequence[str]) -> None:
    """Draws a metric over runs in time order: values, bound, champion, and on the axis the runs without a value.

    Args:
      figure: matplotlib's, empty.
      trend: of the metric.
      states: outcome of each run.
      times: when each run started.
    """
    figure.set_layout_engine("none")  # It would draw everything twice; what is around these axes is known.
    axes = figure.add_axes(PLACE)
    axes.margins(y=0.12)
    known = [index for index, value in enumerate(trend.values) if value is not None]
    axes.plot(known, [trend.values[index] for index in known], color="C5", linewidth=0.8, zorder=1)
    _draw_bounds(axes, trend)
    _draw_champions(axes, trend)
    for state in dict.fromkeys(states):
        _draw_runs(axes, trend, state, [index for index, each in enumerate(states) if each == state])
    _name_runs(axes, times)


def _draw_runs(axes: Any, trend: Trend, state: str, runs: list[int]) -> None:
    mark, size = MARKS[state], 6 if len(trend.values) <= SHOWN_MARKS else 3.5
    look = {
        "linestyle": "none",
        "marker": mark.shape,
        "color": mark.colour,
        "markersize": size,
        "markerfacecolor": mark.colour if mark.filled else "none",
        "markeredgewidth": 1.3,
    }
    measured = [index for index in runs if trend.values[index] is not None]
    axes.plot(measured, [trend.values[index] for index in measured], zorder=3, **look)
    absent = [index for index in runs if trend.values[index] is None]
    axes.plot(absent, [0] * len(absent), transform=axes.get_xaxis_transform(), clip_on=False, zorder=4, **look)


def _draw_bounds(axes: Any, trend: Trend) -> None:
    """Draws each bound as steps: it may have been set anew between two runs."""
    for side in (0, 1):
        found = [bound[side] for bound in trend.bounds]
        if any(value is not None for value in found):
            values = [float("nan") if value is None else value for value in (found[0], *found, found[-1])]
            places = [-0.5, *range(len(found)), len(found) - 0.5]
            axes.step(places, values, where="mid", color="C1", linestyle="--", linewidth=1.2)


def _draw_champions(axes: Any, trend: Trend) -> None:
    known = [index for index, value in enumerate(trend.champions) if value is not None]
    if known:
        values = [trend.champions[index] for index in known]
        axes.plot(known, values, color="C4", marker="_", markersize=16, linestyle="none")


def _name_runs(axes: Any, times: Sequence[str]) -> None:
    """Says of some runs when they started, of the last one too."""
    step = max(1, -(-len(times) // TICKS))
    chosen = list(range(len(times) - 1, -1, -step))
    axes.set_xticks(chosen, [times[index] for index in chosen])
    axes.set_xlim(-0.6, max(len(times), 2) - 0.4)
    axes.grid(visible=False, axis="x")
