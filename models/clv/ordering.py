"""What the list of customers by prediction is worth: figures for the reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from models.clv.future import LINEAR, Future, log_axis
from models.clv.ranking import deciles
from models.clv.wording import Floats, money, percent
from pipeline.contract import Plot

TOPS = (0.1, 0.2)
"""Shares of the list of which the caught revenue is told."""
DRAWN = 401
"""Points of a curve that are drawn."""


class Decile(NamedTuple):
    """A tenth of the list by prediction: rows, mean predicted and mean actual revenue, standard error of the latter."""

    decile: int
    rows: int
    predicted: float
    actual: float
    error: float


def by_decile(future: Future) -> list[Decile]:
    """Returns the tenths of the list, the greatest predictions first; fewer where there are fewer rows."""
    order = np.argsort(-future.predicted, kind="stable")
    place = deciles(order.size)
    return [_decile(future, int(decile), order[place == decile]) for decile in np.unique(place)]


def _decile(future: Future, decile: int, rows: Any) -> Decile:
    weight, actual = future.weight[rows], future.actual[rows]
    error = float(np.std(actual, ddof=1) / np.sqrt(rows.size)) if rows.size > 1 else 0.0
    predicted = float(np.average(future.predicted[rows], weights=weight))
    return Decile(decile, rows.size, predicted, float(np.average(actual, weights=weight)), error)


def calibration(future: Future) -> Plot:
    """Shows mean predicted and mean actual revenue by decile of the prediction."""
    found = by_decile(future)
    off = max(found, key=lambda one: abs(one.predicted - one.actual))
    within = sum(abs(one.predicted - one.actual) <= 2 * one.error for one in found)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        places = np.arange(len(found))
        actual, errors = np.array([one.actual for one in found]), np.array([2 * one.error for one in found])
        axes.errorbar(places, actual, errors, fmt="o", color="C0", capsize=3, label="actual mean, ± 2 standard errors")
        axes.plot(places, [one.predicted for one in found], "D", color="C1", label="predicted mean")
        ends = [*(actual - errors), *(actual + errors), *(one.predicted for one in found)]
        axes.set_ylim(min(-2.0, 1.3 * min(ends)), max(10.0 * LINEAR, 1.6 * max(ends)))
        log_axis(axes, "y")
        axes.set_xticks(places, [f"{one.decile}\nn={one.rows}" for one in found])
        axes.set(xlabel="decile of the list by prediction (1: the greatest)", ylabel=f"revenue a row ({future.unit})")
        axes.legend()

    return Plot(
        "Calibration by decile, eval",
        "A diamond within the lines of its dot may be off by chance alone; one outside them is wrong for that tenth of "
        f"the list. {within} of {len(found)} are within. Furthest off is decile {off.decile}: {money(off.predicted)} "
        f"predicted, {money(off.actual)} came, a mean of {off.rows:,} rows. The axis is logarithmic, up to {LINEAR} "
        "linear.",
        draw,
        3.6,
    )


class Curve(NamedTuple):
    """Share of the revenue against share of the list, both from 0 to 1."""

    listed: Floats
    caught: Floats

    def at(self, share: Any) -> Any:
        """Returns the share of the revenue that the first part of the list brings, or of each of several parts."""
        return np.interp(share, self.listed, self.caught)


def gain_curve(revenue: Floats, by: Floats, weight: Floats) -> Curve:
    """Returns what the top of a list catches of the revenue.

    Rows that are equal in `by` share their revenue evenly, so that a rule that knows nothing has the diagonal.

    Args:
      revenue: of the rows, not all 0.
      by: what the list is ordered by, the greatest first.
      weight: of the rows.
    """
    _, place = np.unique(-by, return_inverse=True)
    sums = (np.cumsum(np.bincount(place, values)) for values in (weight, weight * revenue))
    listed, caught = (np.concatenate([[0.0], found / found[-1]]) for found in sums)
    return Curve(listed, caught)


def gain(future: Future) -> Plot:
    """Shows the share of the revenue, of which there is some, that the top of the list brings, by who orders it."""
    orders = {"model": future.predicted, "naive rule": future.naive, "ideal order": future.actual}
    curves = {name: gain_curve(future.actual, by, future.weight) for name, by in orders.items()}

    def draw(figure: Any) -> None:
        axes, shares = figure.subplots(), np.linspace(0, 1, DRAWN)
        for (name, curve), style in zip(curves.items(), ("-", "--", ":"), strict=True):
            axes.plot(shares, curve.at(shares), style, label=name)
        axes.plot([0, 1], [0, 1], color="C5", linewidth=0.8, label="chance")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda share, _: percent(share))
        axes.set(xlabel="top of the list", ylabel="share of the revenue", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="lower right")

    told = ". ".join(_caught(top, curves) for top in TOPS)
    return Plot(
        "Gain: revenue caught by the top of the list, eval",
        "How much of the revenue after the cut-off comes from the customers at the top: the higher a curve the better, "
        f"at most the ideal order's, and the diagonal is chance. {told}.",
        draw,
        4.2,
    )


def _caught(top: float, curves: Mapping[str, Curve]) -> str:
    found = {name: percent(curve.at(top)) for name, curve in curves.items()}
    return (
        f"The first {percent(top)} of the model's list bring {found['model']} of the revenue "
        f"(naive rule {found['naive rule']}, ideal {found['ideal order']}, chance {percent(top)})"
    )
