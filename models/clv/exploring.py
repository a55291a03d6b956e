"""Recency, frequency and monetary value, as the reference lab explores them: figures and tables for the reports.

A row is a customer in a country. Counts are of rows; sums of money weigh the rows of a customer, 1 together, so that
they count each customer's revenue once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.clv import features
from models.clv.ranking import COOLING_DAYS, DORMANT_DAYS, SEGMENTS, segments
from models.clv.wording import (
    HALF_A_PENNY,
    Columns,
    Floats,
    Groups,
    by_recency,
    by_value,
    columns_of,
    horizon_of,
    money,
    percent,
    unit_of,
)
from pipeline.contract import Listing, Plot, Shown

SIGMAS = 3
"""Standard deviations from the mean beyond which the lab calls a value an outlier."""
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
TICKS = (0.01, 1, 100, 10_000, 1_000_000)
BINS = 24
COUNTED = 9
"""Frequencies up to this one have a bar of their own."""


class Rows(NamedTuple):
    """The examples of all splits: columns, days of the horizon, and what money is counted in."""

    columns: Columns
    horizon: int
    unit: str

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.columns[features.PAST])

    @property
    def again(self) -> NDArray[np.bool_]:
        """Whether the customer buys within the horizon."""
        found: NDArray[np.bool_] = self.columns[features.FUTURE_LABEL] >= HALF_A_PENNY
        return found

    def share(self, column: str, member: NDArray[np.bool_]) -> float:
        """Returns the share that some rows have of the revenue in a column; 0 of nothing."""
        revenue = self.columns[features.WEIGHT] * self.columns[column]
        total = float(revenue.sum())
        return float(revenue[member].sum()) / total if total else 0.0

    def measures(self) -> dict[str, Floats]:
        """Returns what is explored, by what people call it."""
        named = {
            "Recency: days since the last purchase": features.RECENCY,
            "Frequency: days with a purchase": features.FREQUENCY,
            f"Monetary value: past revenue ({self.unit})": features.PAST,
            f"Mean revenue of a day with a purchase ({self.unit})": features.AVERAGE,
            f"Revenue of the {self.horizon} days after the cut-off ({self.unit})": features.FUTURE_LABEL,
        }
        return {words: self.columns[name].astype(np.float64) for words, name in named.items()}


def rows_of(shown: Shown) -> Rows | None:
    """Returns the examples of all splits; None where there are none."""
    parts = [columns_of(table) for table in shown.tables.values() if table.num_rows]
    if not parts:
        return None
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Rows(joined, horizon_of(shown.settings), unit_of(shown.settings))


# --- distributions -----------------------------------------------------------------------------------------


def distributions(rows: Rows) -> Plot:
    """Shows how recency, frequency and monetary value are distributed."""
    recency, frequency, past = (rows.columns[name] for name in (features.RECENCY, features.FREQUENCY, features.PAST))
    positive = past[past > 0]

    def draw(figure: Any) -> None:
        left, middle, right = figure.subplots(1, 3)
        left.hist(recency, bins=BINS, color="C0")
        for day in (COOLING_DAYS, DORMANT_DAYS):
            left.axvline(day, color="C1", linestyle="--")
        left.set(title="Recency", xlabel="days since the last purchase", ylabel="rows (customers by country)")
        counts = np.bincount(np.minimum(frequency.astype(np.int64), COUNTED + 1), minlength=COUNTED + 2)[1:]
        middle.bar([*map(str, range(1, COUNTED + 1)), f"{COUNTED + 1}+"], counts, color="C0")
        middle.set(title="Frequency", xlabel="days with a purchase")
        _log_histogram(right, positive)
        right.set(title="Monetary value", xlabel=f"past revenue ({rows.unit}), log axis")

    missing = past.size - positive.size
    left_out = f" Not drawn, since without revenue: {missing:,}." if missing else ""
    return Plot(
        "Recency, frequency and monetary value",
        f"Look for a long tail: a few customers far from the rest. Of {rows.size:,} rows (a customer in a country), "
        f"half bought within the last {np.median(recency):.0f} days; {percent(np.mean(frequency == 1))} bought on one "
        f"day only; half brought up to {money(float(np.median(past)))} so far, the top 1 % more than "
        f"{money(float(np.quantile(past, 0.99)))}. Dashed: where the groups below begin.{left_out}",
        draw,
        3.4,
    )


def _log_histogram(axes: Any, values: Floats) -> None:
    if values.size:
        low, high = float(values.min()), float(values.max())
        axes.hist(values, bins=np.geomspace(low * 0.99, high * 1.01, BINS + 1), color="C0")
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")


def quantiles(rows: Rows) -> Listing:
    """Lists quantiles and means."""
    measures = rows.measures()
    past = measures[f"Monetary value: past revenue ({rows.unit})"]
    middle, mean = float(np.median(past)), float(np.mean(past))
    names = ("least", *(f"{100 * quantile:.0f} %" for quantile in QUANTILES[1:-1]), "greatest", "mean")
    return Listing(
        "Quantiles",
        "A column such as 5 % says below which value 5 % of the rows are. A mean far above the 50 % column means that "
        f"few customers bring much: the mean past revenue is {money(mean)}, and half of the rows are below "
        f"{money(middle)}.",
        ("measure", *names),
        tuple(
            (name, *map(_round, (*np.quantile(found, QUANTILES), np.mean(found)))) for name, found in measures.items()
        ),
    )


def outliers(rows: Rows) -> Listing:
    """Lists what is beyond three standard deviations, and what share of the revenue that is."""
    measures = rows.measures()
    beyond = {name: outlying(found) for name, found in measures.items()}
    (past,) = (member for name, member in beyond.items() if name.startswith("Monetary"))
    return Listing(
        f"Outliers: more than {SIGMAS} standard deviations from the mean",
        f"Few rows with a large share of the revenue decide every mean and every squared error. "
        f"{past.sum():,} of {rows.size:,} rows are outliers in past revenue; "
        f"they hold {percent(rows.share(features.PAST, past))} of all past revenue and bring "
        f"{percent(rows.share(features.FUTURE_LABEL, past))} of that after the cut-off.",
        ("measure", "mean", "standard deviation", "outliers: rows", "of rows", "of past revenue", "of revenue after"),
        tuple(
            (
                name,
                _round(np.mean(found)),
                _round(np.std(found)),
                float(beyond[name].sum()),
                percent(float(beyond[name].mean())),
                percent(rows.share(features.PAST, beyond[name])),
                percent(rows.share(features.FUTURE_LABEL, beyond[name])),
            )
            for name, found in measures.items()
        ),
    )


def outlying(values: Floats) -> NDArray[np.bool_]:
    """Returns which values are more than `SIGMAS` standard deviations (of the population) from their mean."""
    found: NDArray[np.bool_] = np.abs(values - np.mean(values)) > SIGMAS * np.std(values)
    return found


# --- who buys again -----------------------------------------------------------------------------------------


def again(rows: Rows) -> Plot:
    """Shows the share of customers that buy within the horizon, by frequency and by recency."""
    frequency = by_value(rows.columns[features.FREQUENCY_BAND], features.FREQUENCY_BANDS)
    recency = by_recency(rows.columns[features.RECENCY], rows.horizon)
    overall = float(rows.again.mean())

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        _bars(left, frequency, rows.again, overall)
        left.set(xlabel="days with a purchase so far", ylabel="share that buys again")
        _bars(right, recency, rows.again, overall)
        right.set(xlabel="days since the last purchase")

    return Plot(
        f"Who buys again within {rows.horizon} days",
        f"{percent(overall)} of all rows have revenue after the cut-off (dashed line). Bars of different heights mean "
        f"that the past tells who comes back: {_extremes('by frequency', frequency, rows.again)}; "
        f"{_extremes('by recency', recency, rows.again)}. n is the number of rows.",
        draw,
        3.4,
    )


def _bars(axes: Any, groups: Groups, bought: NDArray[np.bool_], overall: float) -> None:
    names = [f"{name}\nn={member.sum():,}" for name, member in groups]
    axes.bar(names, [bought[member].mean() for _, member in groups], color="C0", width=0.7)
    axes.axhline(overall, color="C1", linestyle="--")
    axes.yaxis.set_major_formatter(lambda share, _: percent(share))
    axes.set_ylim(0, 1)


def _extremes(how: str, groups: Groups, bought: NDArray[np.bool_]) -> str:
    shares = sorted((float(bought[member].mean()), name) for name, member in groups)
    (least, seldom), (most, often) = shares[0], shares[-1]
    if len(shares) == 1:
        return f"{how} all are alike ({often})"
    return f"{how} from {percent(least)} ({seldom}) to {percent(most)} ({often})"


def activity(rows: Rows) -> Listing:
    """Lists active and dormant customers, in the segments of the ranked list."""
    named = segments(rows.columns[features.RECENCY], rows.columns[features.FREQUENCY])
    found = by_value(named, SEGMENTS)
    share = {name: percent(float(member.mean())) for name, member in found}
    return Listing(
        "Active and dormant customers",
        f"Dormant: no purchase for more than {DORMANT_DAYS} days. Of the others, who bought on one day only is a group "
        f"of its own; the rest is cooling after {COOLING_DAYS} days, and active up to then. The same groups stand in "
        f"the ranked list. {share.get('active', '0 %')} of the rows are active, {share.get('dormant', '0 %')} dormant.",
        ("group", "rows", "of rows", "of past revenue", "of revenue after the cut-off", "buy again"),
        tuple(
            (
                name,
                float(member.sum()),
                share[name],
                percent(rows.share(features.PAST, member)),
                percent(rows.share(features.FUTURE_LABEL, member)),
                percent(float(rows.again[member].mean())),
            )
            for name, member in found
        ),
    )


def _round(value: Any) -> float:
    return round(float(value), 2)
