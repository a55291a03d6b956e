"""What a CLV model must meet on the eval split; `future` is the revenue after the cut-off.

On all customers a bound says what a shop needs. On slices, where few rows scatter more, it stands where chance ends:
docs/gates.md has the figures. Customers with one purchase have bounds of their own: nearly nothing is known of them,
and they are nearly half of all.
"""

from __future__ import annotations

from models.clv import features
from pipeline.contract import Bound, Range

ONCE = f"{features.FREQUENCY_BAND}={features.FREQUENCY_BANDS[0]}"
"""The slice of the customers with one purchase."""

BOUNDS = {
    "future_mae_vs_naive": Bound(
        upper=0.99,
        slices=Range(upper=1.25),
        at={ONCE: Range(upper=1.15)},
        reason="a model that does not beat a line of arithmetic is not worth its upkeep; where there are few rows, "
        "chance alone can add a quarter to its error",
    ),
    # Bounds are inclusive, and a model that answers as the rule does has exactly 1: it must not pass.
    "future_mae_vs_naive_upper": Bound(
        upper=0.999,
        slices=Range(upper=1.6),
        at={ONCE: Range(upper=1.25)},
        reason="it must beat the rule beyond chance, so the whole 95 % interval is below 1; where customers are few, "
        "no interval is that narrow",
    ),
    # Slices are left alone: each of them would refuse one in 40 models that are as good as the champion.
    "future_mae_increase": Bound(
        upper=0.005,
        reason="a model that is worse than the champion beyond chance must not replace it; a difference that is within "
        "chance does not refuse, and half a penny is rounding",
    ),
    "future_bias": Bound(
        lower=-0.25,
        upper=0.25,
        slices=Range(lower=-0.5, upper=1.0),
        at={ONCE: Range(lower=-0.65, upper=1.3)},
        reason="a shop plans with the sum of the predictions: a total that is off by a quarter misleads it; the "
        "smallest absolute error is had a third too low",
    ),
    "future_spearman": Bound(
        lower=0.35,
        slices=Range(lower=-0.1),
        reason="the list is used from the top down: its order must tell good customers from bad; within a band of "
        "frequency it must at least not be upside down",
    ),
    "future_gini": Bound(
        lower=0.5,
        slices=Range(lower=0.1),
        at={ONCE: Range(lower=0)},
        reason="the customers at the top of the list must bring well over their share of the revenue; within a band of "
        "frequency there is less to tell them apart by",
    ),
    "future_calibration_error": Bound(
        upper=0.45,
        slices=Range(upper=1.3),
        at={ONCE: Range(upper=1.5)},
        reason="a total that is right may hide top customers too high and all others too low: summed over tenths of "
        "the list, less than half of the revenue may be in the wrong place",
    ),
    "future_coverage": Bound(
        lower=0.7,
        upper=0.92,
        slices=Range(lower=0.6, upper=0.97),
        at={ONCE: Range(lower=0.65, upper=0.97)},
        reason="people rely on the interval: it promises 80 %; one that holds fewer surprises them, and one that holds "
        "nearly all says nothing",
    ),
}
"""Metric -> bound. All numbers are settings: `--set bounds.future_bias.upper=0.3`."""
