"""What the CLV model's bounds refuse, on tables made by hand: customers, and models of every kind of fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.clv import MODEL, features
from models.clv.bounds import BOUNDS, ONCE
from pipeline.slice_metrics import RowMetricsConfig, Table, evaluate, sliced_shortfall, tabulate

CONFIG = RowMetricsConfig(
    metrics=MODEL.metrics,
    bounds=BOUNDS,
    naive=MODEL.naive,
    naive_features=MODEL.naive_features,
    outputs=MODEL.outputs,
    feature_settings={"horizon_days": 91},
    weight=MODEL.weight,
    slices=MODEL.slices,
    min_slice_rows=30,
    code="",
)
ROWS = 353
Floats = NDArray[np.float64]


class Shop:
    """Customers as those of a gift shop: nearly half never come again, the others spend with a long tail.

    `wide`: upper end of the predicted intervals / the true one.
    """

    def __init__(self, band: str = "2-3", wide: float = 1.0) -> None:
        draw = np.random.default_rng(11)
        self.mean = draw.lognormal(6, 1.1, ROWS)
        """What a customer spends on average in the horizon; a perfect model predicts it."""
        spent = self.mean / 0.6 * draw.gamma(2, 0.5, ROWS)
        self.future = np.where(draw.random(ROWS) < 0.4, 0.0, spent)
        self.future *= self.mean.sum() / self.future.sum()
        self.high = wide * np.quantile(self.future / self.mean, 0.9) * self.mean
        self.past = 1.5 * self.mean * draw.lognormal(0, 0.5, ROWS)
        self.band = np.full(ROWS, band.encode(), dtype=object)

    def table(self, predicted: Floats, champion: Floats | None = None) -> Table:
        """The rows of the shop, with the future that a model predicts of each."""
        known: dict[str, NDArray[Any]] = {
            features.PAST: self.past,
            features.TENURE: np.full(ROWS, 91.0),
            features.WEIGHT: np.ones(ROWS),
            features.FREQUENCY_BAND: self.band,
        }
        rival = None if champion is None else self.past + champion
        outputs = {features.LOW: np.zeros(ROWS), features.HIGH: self.high}
        return tabulate(CONFIG, self.past + self.future, self.past + predicted, known, outputs, rival)

    def missed(self, predicted: Floats, champion: Floats | None = None) -> set[str]:
        """The bounds on all rows that a model misses."""
        values = evaluate(CONFIG, self.table(predicted, champion))
        return {metric for metric in BOUNDS if values[f"{metric}/shortfall"] > 0}

    def missed_on_the_band(self, predicted: Floats) -> set[str]:
        """The bounds that it misses on the only slice that the shop has."""
        values = evaluate(CONFIG, self.table(predicted))
        names = (sliced_shortfall(metric, features.FREQUENCY_BAND) for metric in BOUNDS)
        return {name.partition("/")[0] for name in names if values.get(name, 0) > 0}


def test_a_sound_model_passes() -> None:
    shop = Shop()
    assert shop.missed(shop.mean) == set()
    assert shop.missed(shop.mean, champion=shop.mean) == set()
    assert shop.missed_on_the_band(shop.mean) == set()


def test_a_model_that_predicts_medians_has_the_better_error_and_is_refused_for_its_bias() -> None:
    """As fitted to the absolute error: the median of 40 % zeros and a long tail is far below the mean."""
    shop = Shop()
    medians = 0.7 * shop.mean
    sound, biased = (evaluate(CONFIG, shop.table(predicted)) for predicted in (shop.mean, medians))
    assert biased["future_mae_vs_naive"] < sound["future_mae_vs_naive"]
    assert shop.missed(medians, champion=shop.mean) == {"future_bias"}


def test_a_model_that_beats_the_rule_by_chance_is_refused() -> None:
    """Its error is a little below the rule's, which 353 customers cannot tell from a little above it."""
    shop = Shop()
    draw = np.random.default_rng(2)
    rule = shop.past.copy()
    towards = np.where(draw.random(ROWS) < 0.52, 0.6, -0.6)
    predicted = rule + towards * (shop.mean - rule)
    values = evaluate(CONFIG, shop.table(predicted))
    assert values["future_mae_vs_naive"] < 0.99
    assert values["future_mae_vs_naive_upper"] > 1
    assert "future_mae_vs_naive" not in shop.missed(predicted)
    assert "future_mae_vs_naive_upper" in shop.missed(predicted)


def test_the_rule_itself_is_refused() -> None:
    shop = Shop()
    assert {"future_mae_vs_naive", "future_mae_vs_naive_upper"} <= shop.missed(shop.past)


def test_a_model_that_is_worse_than_the_champion_beyond_chance_is_refused() -> None:
    """No other bound is missed; and what differs from the champion by chance alone passes."""
    shop = Shop()
    champion = 0.5 * shop.mean + 0.5 * shop.future
    assert shop.missed(shop.mean, champion) == {"future_mae_increase"}
    assert shop.missed(champion, champion=shop.mean) == set()
    noise = np.random.default_rng(5).normal(1, 0.02, ROWS)
    assert shop.missed(shop.mean * noise, champion=shop.mean) == set()


def test_a_model_whose_total_is_right_in_the_wrong_places_is_refused() -> None:
    """The top is far too high, everybody else too low: order and total are right."""
    shop = Shop()
    predicted = shop.mean**2.2
    predicted *= shop.mean.sum() / predicted.sum()
    assert "future_calibration_error" in shop.missed(predicted)
    assert not {"future_bias", "future_spearman", "future_gini"} & shop.missed(predicted)


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        ("future_mae_vs_naive", lambda shop: shop.past + 2 * (shop.past - shop.future)),
        ("future_mae_vs_naive_upper", lambda shop: shop.past + 2 * (shop.past - shop.future)),
        ("future_bias", lambda shop: 0.05 * shop.mean),
        ("future_spearman", lambda shop: -shop.mean),
        ("future_gini", lambda shop: -shop.mean),
        ("future_calibration_error", lambda shop: 2.6 * shop.mean),
    ],
)
@pytest.mark.parametrize("band", ["1", "2-3"])
def test_each_bound_refuses_on_a_slice_and_on_customers_with_one_purchase(metric: str, fault: Any, band: str) -> None:
    shop = Shop(band)
    assert metric in shop.missed_on_the_band(fault(shop))


@pytest.mark.parametrize(("wide", "missed"), [(0.5, {"future_coverage"}), (1.0, set()), (4.0, {"future_coverage"})])
def test_intervals_that_hold_too_few_or_nearly_all_are_refused(wide: float, missed: set[str]) -> None:
    shop = Shop(wide=wide)
    assert shop.missed(shop.mean) == missed


@pytest.mark.parametrize("band", ["1", "2-3"])
def test_intervals_that_hold_too_few_are_refused_on_slices_too(band: str) -> None:
    shop = Shop(band, wide=0.3)
    assert shop.missed_on_the_band(shop.mean) == {"future_coverage"}


def test_a_model_without_intervals_is_refused() -> None:
    shop = Shop(wide=float("nan"))
    assert shop.missed(shop.mean) == {"future_coverage"}


def test_of_customers_with_one_purchase_less_is_asked() -> None:
    """Slightly more than twice too high: refused in any other band."""
    shops = {band: Shop(band) for band in features.FREQUENCY_BANDS}
    refused = {band for band, shop in shops.items() if "future_bias" in shop.missed_on_the_band(2.05 * shop.mean)}
    assert refused == set(features.FREQUENCY_BANDS[1:])
    assert f"{features.FREQUENCY_BAND}=1" == ONCE


def test_every_bound_says_why() -> None:
    for metric, bound in BOUNDS.items():
        assert len(bound.reason.split()) > 10, metric
