"""How far single predictions of the revenue after the cut-off are off: figures for the reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from models.clv import features
from models.clv.future import FEW_TICKS, LINEAR, SPLITS, Future, log_axis
from models.clv.wording import Floats, Groups, by_recency, by_value, money, percent
from pipeline.contract import Plot

POINTS = 700
"""Most points that are drawn of a split."""


def scatter(splits: Mapping[str, Future]) -> Plot:
    """Shows predicted against actual revenue on log axes, the splits side by side."""
    first = next(iter(splits.values()))

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, len(splits), sharex=True, sharey=True, squeeze=False)[0]
        low, high = _limits(splits.values())
        for axes, (name, future) in zip(panels, splits.items(), strict=True):
            _cloud(axes, future)
            axes.plot([low, high], [low, high], color="C1")
            axes.set(title=SPLITS[name], xlabel=f"actual ({first.unit})", xlim=(low, high), ylim=(low, high))
            log_axis(axes, "x", FEW_TICKS)
        log_axis(panels[0], "y")
        panels[0].set_ylabel(f"predicted ({first.unit})")

    told = ". ".join(f"On {name}, {_told(future)}" for name, future in splits.items())
    return Plot(
        f"Predicted against actual revenue of the {first.horizon} days after the cut-off",
        "A point is a customer in a country; on the line the prediction is what came, above it too much was promised. "
        f"The strip at the left, at 0, is of those who bought nothing. {told}. A model that is much better on "
        f"train than on the others has learnt it by heart. Axes are logarithmic, up to {LINEAR} linear; at most "
        f"{POINTS} points, evenly chosen, are drawn of a split.",
        draw,
        3.8,
    )


def _told(future: Future) -> str:
    none = future.actual == 0
    below = int((future.predicted < 0).sum())
    negative = f", predictions below 0: {below:,}" if below else ""
    return f"{_bias(future)}, {none.sum():,} of {none.size:,} rows bought nothing{negative}"


def _bias(future: Future) -> str:
    actual, predicted = (float(np.sum(future.weight * part)) for part in (future.actual, future.predicted))
    if actual <= 0:
        return f"{money(predicted)} predicted in all where nothing came"
    side = "below" if predicted < actual else "above"
    return f"the predicted sum is {percent(abs(predicted / actual - 1))} {side} the actual one"


def _cloud(axes: Any, future: Future) -> None:
    """Points of one split; those that bought nothing are spread across the strip, so that they can be told apart."""
    step = -(-future.actual.size // POINTS)
    actual, predicted = future.actual[::step], future.predicted[::step]
    spread = np.linspace(-0.4, 0.4, actual.size) * LINEAR
    axes.plot(np.where(actual == 0, spread, actual), predicted, "o", markersize=2.4, alpha=0.45, color="C0")


def _limits(splits: Iterable[Future]) -> tuple[float, float]:
    values = np.concatenate([part for future in splits for part in (future.actual, future.predicted)])
    return min(-float(LINEAR) / 2, 1.3 * float(values.min())), max(10.0 * LINEAR, 1.5 * float(values.max()))


def residuals(future: Future) -> Plot:
    """Shows predicted - actual by frequency and, where it is kept, by recency."""
    panels: dict[str, Groups] = {
        "days with a purchase so far": by_value(future.columns[features.FREQUENCY_BAND], features.FREQUENCY_BANDS)
    }
    if features.RECENCY in future.columns:
        panels["days since the last purchase"] = by_recency(future.columns[features.RECENCY], future.horizon)
    error = future.predicted - future.actual

    def draw(figure: Any) -> None:
        drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (what, groups) in zip(drawn, panels.items(), strict=True):
            _spreads(axes, groups, error)
            axes.set_xlabel(what)
        drawn[0].set_ylabel(f"predicted - actual ({future.unit})")

    told = "; ".join(f"by {what}: {_furthest(groups, error)}" for what, groups in panels.items())
    return Plot(
        "Residuals by frequency and recency, eval",
        "Above 0 too much was predicted. The dot is the median, the thick line holds the middle half of the rows, the "
        "thin line the middle 80 %. A group whose thick line does not touch 0 is predicted wrong as a whole. "
        f"The medians furthest from 0: {told}.",
        draw,
        3.6,
    )


def _spreads(axes: Any, groups: Groups, error: Floats) -> None:
    for place, (_, member) in enumerate(groups):
        lowest, low, middle, high, highest = np.quantile(error[member], [0.1, 0.25, 0.5, 0.75, 0.9])
        axes.vlines(place, lowest, highest, color="C0", linewidth=1)
        axes.vlines(place, low, high, color="C0", linewidth=6)
        axes.plot(place, middle, "o", color="C1", markersize=6)
    axes.axhline(0, color="C5", linewidth=0.8)
    axes.set_xticks(range(len(groups)), [f"{name}\nn={member.sum():,}" for name, member in groups])
    axes.margins(x=0.15)


def _furthest(groups: Groups, error: Floats) -> str:
    medians = {name: float(np.median(error[member])) for name, member in groups}
    name = max(medians, key=lambda one: abs(medians[one]))
    return f"{name}, {money(abs(medians[name]))} too {'high' if medians[name] > 0 else 'low'}"
