"""Whether what the model says of its own certainty came true: a figure for the reports."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.clv import features, metrics
from models.clv.future import Future
from models.clv.ranking import deciles
from models.clv.wording import HALF_A_PENNY, Floats, percent
from pipeline.contract import Plot

SAID = (features.LOW, features.HIGH, features.BUYS_AGAIN)
"""What a record must have kept of each row."""


class Tenth(NamedTuple):
    """A tenth of the rows.

    Attributes:
      rows: how many.
      predicted: mean share that the model says.
      came: share that came.
      error: standard error of a share of so many rows, were the predicted one right.
    """

    rows: int
    predicted: float
    came: float
    error: float

    @property
    def within(self) -> bool:
        """Whether what came may be off by chance alone."""
        return abs(self.came - self.predicted) <= 2 * self.error


def covered(future: Future) -> list[Tenth]:
    """Returns how many customers are inside their interval, by tenth of the list, the greatest predictions first."""
    inside = _inside(future)
    return _tenths(-future.predicted, np.full(inside.size, features.INTERVAL), inside, future.weight)


def _inside(future: Future) -> NDArray[np.bool_]:
    return metrics.inside(future.actual, future.columns[features.LOW], future.columns[features.HIGH])


def repurchases(future: Future) -> list[Tenth]:
    """Returns how many customers bought again, by tenth of the predicted probability, the least first."""
    said = future.columns[features.BUYS_AGAIN]
    return _tenths(said, said, future.actual > 0, future.weight)


def _tenths(by: Floats, predicted: Floats, came: NDArray[np.bool_], weight: Floats) -> list[Tenth]:
    order = np.argsort(by, kind="stable")
    place = deciles(order.size)
    return [_tenth(predicted[rows], came[rows], weight[rows]) for rows in (order[place == k] for k in np.unique(place))]


def _tenth(predicted: Floats, came: NDArray[np.bool_], weight: Floats) -> Tenth:
    said = float(np.average(predicted, weights=weight))
    error = float(np.sqrt(said * (1 - said) / came.size))
    return Tenth(came.size, said, float(np.average(came, weights=weight)), error)


def certainty(future: Future) -> Plot:
    """Shows the coverage of the interval, and the calibration of the probability to buy again."""
    inside, again = covered(future), repurchases(future)

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        _draw_coverage(left, inside)
        _draw_probabilities(right, again)
        for axes in (left, right):
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(lambda share, _: percent(share))

    return Plot(
        f"Certainty: {percent(features.INTERVAL)} interval and probability to buy again, eval",
        "Left, by tenth of the list: how many customers are inside the interval that the model gave each of them. "
        f"{_told_of_intervals(future, inside)} Right, by tenth of the predicted probability to buy again: how many "
        f"did; on the line the probability came true. {_told_of_probabilities(again)} Bars are two standard errors "
        "of a share that is as predicted: a dot whose bar does not reach the line is off by more than chance.",
        draw,
        3.6,
    )


def _draw_coverage(axes: Any, tenths: list[Tenth]) -> None:
    places = np.arange(len(tenths))
    _draw_shares(axes, places, tenths)
    axes.axhline(features.INTERVAL, color="C1", label=f"promised: {percent(features.INTERVAL)}")
    axes.set_xticks(places, [str(place + 1) for place in places])
    axes.set(xlabel="decile of the list by prediction (1: the greatest)", ylabel="inside the interval")
    axes.legend(loc="lower right")


def _draw_probabilities(axes: Any, tenths: list[Tenth]) -> None:
    _draw_shares(axes, np.array([one.predicted for one in tenths]), tenths)
    axes.plot([0, 1], [0, 1], color="C1", label="as predicted")
    axes.xaxis.set_major_formatter(lambda share, _: percent(share))
    axes.set(xlabel="predicted probability to buy again", ylabel="bought again", xlim=(-0.03, 1.03))
    axes.legend(loc="lower right")


def _draw_shares(axes: Any, places: NDArray[Any], tenths: list[Tenth]) -> None:
    came, errors = (np.array([getattr(one, name) for one in tenths]) for name in ("came", "error"))
    axes.errorbar(places, came, 2 * errors, fmt="o", color="C0", capsize=3, label="came")


def _told_of_intervals(future: Future, tenths: list[Tenth]) -> str:
    share = float(np.average(_inside(future), weights=future.weight))
    worst = min(tenths, key=lambda one: one.came)
    nothing = float(np.average(future.columns[features.HIGH] < HALF_A_PENNY, weights=future.weight))
    told = (
        f"{percent(share)} are, where {percent(features.INTERVAL)} is promised; in the worst tenth, decile "
        f"{tenths.index(worst) + 1}, {percent(worst.came)}; {_within(tenths)}."
    )
    return told + _told_of_nothing(nothing) if nothing else told


def _told_of_nothing(share: float) -> str:
    return (
        f" {percent(share)} of the customers have an interval of 0 alone, since about {percent(features.INTERVAL)} of "
        "such customers or more buy nothing: there, more may be inside than promised."
    )


def _told_of_probabilities(tenths: list[Tenth]) -> str:
    off = max(tenths, key=lambda one: abs(one.came - one.predicted))
    return (
        f"Furthest off is the tenth at {percent(off.predicted)}, of whom {percent(off.came)} bought; {_within(tenths)}."
    )


def _within(tenths: list[Tenth]) -> str:
    return f"{sum(one.within for one in tenths)} of {len(tenths)} tenths are off by no more than chance"
