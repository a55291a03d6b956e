"""Metrics of a slice, and the companions that thresholds are set on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.contract import Bound, Metric, Range, Rows
from pipeline.slice_metrics import (
    RowMetricsConfig,
    Table,
    evaluate,
    evaluate_slices,
    loss,
    shortfall,
    tabulate,
    tabulate_naive,
)

WHY = "an example in a test"


def naive(features: dict[str, NDArray[Any]], settings: dict[str, Any]) -> NDArray[Any]:
    """The past, times a factor."""
    return np.asarray(features["past"] * settings["factor"])


def naive_column(features: dict[str, NDArray[Any]], _: dict[str, Any]) -> NDArray[Any]:
    """A mistake that numpy would broadcast silently."""
    return features["past"][:, np.newaxis]


def config(**changes: Any) -> RowMetricsConfig:
    """MAE of the total, and of what is not yet past; a bias that counts customers."""
    default: dict[str, Any] = {
        "metrics": (
            Metric(name="mae", function="pipeline.metrics.mae"),
            Metric(name="future_mae", function="pipeline.metrics.mae", minus="past"),
            Metric(name="bias", function="pipeline.metrics.total_bias", better="zero"),
            Metric(name="ratio", function="pipeline.metrics.mae_relative_to_naive", minus="past"),
        ),
        "bounds": {},
        "naive": f"{__name__}.naive",
        "naive_features": ("past",),
        "feature_settings": {"factor": 2.0},
        "weight": "weight",
        "slices": ("band",),
        "min_slice_rows": 3,
        "code": "",
    }
    return RowMetricsConfig(**(default | changes))


def table(**changes: Any) -> Table:
    """Two rows of one customer and one of another; future labels are 1, 3, 5, predicted 2, 2, 2."""
    past = np.array([10.0, 10.0, 1.0])
    features = {"past": past, "weight": np.array([0.5, 0.5, 1.0])}
    return tabulate(config(**changes), past + np.array([1, 3, 5]), past + 2, features)


def test_metrics_see_the_part_that_they_ask_for() -> None:
    values = evaluate(config(), table())
    assert values["rows"] == 3
    assert values["mae"] == values["future_mae"] == pytest.approx(5 / 3)
    assert values["bias"] == pytest.approx((15 - 18) / 18)
    # The naive rule says past * 2, so a future of 10, 10 and 1: errors 9, 7 and 4.
    assert values["ratio"] == pytest.approx(5 / 20)


def test_slices_are_called_as_tfma_calls_them_and_have_their_own_rows() -> None:
    found = evaluate_slices(config(), table(), {"band": ["b", "a", "b"], "count": [1, 1, 2]})
    assert list(found) == ["overall", "band=a", "band=b", "count=1", "count=2"]
    assert found["overall"] == evaluate(config(), table())
    assert {where: values["rows"] for where, values in found.items()} == {
        "overall": 3,
        "band=a": 1,
        "band=b": 2,
        "count=1": 2,
        "count=2": 1,
    }
    assert found["band=a"]["mae"] == 1  # 3 was predicted as 2.


def test_the_naive_rule_is_measured_as_if_it_were_the_model() -> None:
    whole = table()
    values = evaluate(config(), tabulate_naive(config(), whole.label, whole.features, whole))
    assert values["ratio"] == pytest.approx(1)
    assert values["mae"] == pytest.approx(20 / 3)


def test_the_naive_rule_gets_the_feature_settings() -> None:
    values = evaluate(config(), table(feature_settings={"factor": 1.0}))
    assert values["ratio"] == pytest.approx(5 / 9)


def test_companions_of_a_bound_that_is_missed() -> None:
    bounds = {"mae": Bound(upper=1, worsening=0, slices=Range(upper=1), reason=WHY)}
    values = evaluate(config(bounds=bounds), table())
    assert values["mae/shortfall"] == values["mae/sliced_shortfall/band"] == pytest.approx(2 / 3)
    assert values["mae/loss"] == values["mae"]


def test_a_small_slice_misses_only_the_bound_for_all_rows() -> None:
    bounds = {"mae": Bound(upper=1, slices=Range(upper=1), reason=WHY)}
    values = evaluate(config(bounds=bounds, min_slice_rows=4), table())
    assert values["mae/sliced_shortfall/band"] == 0
    assert values["mae/shortfall"] == pytest.approx(2 / 3)


# --- slices with a bound of their own -----------------------------------------------------------------


AT = Bound(upper=9, slices=Range(upper=1), at={"band=1": Range(upper=5)}, reason=WHY)


def banded(bands: list[Any], **changes: Any) -> dict[str, float]:
    """The MAE of three rows is 5/3; their band is text as TFMA hands it over, or a number."""
    changes = {"bounds": {"mae": AT}, **changes}
    features = {**table().features, "band": np.array(bands, dtype=object if isinstance(bands[0], bytes) else float)}
    whole = tabulate(config(**changes), table().label, table().prediction, features)
    return evaluate(config(**changes), whole)


@pytest.mark.parametrize(("bands", "missed"), [([b"1"] * 3, 0), ([1] * 3, 0), ([b"2-3"] * 3, 2 / 3), ([2] * 3, 2 / 3)])
def test_a_slice_may_have_a_bound_of_its_own(bands: list[Any], missed: float) -> None:
    values = banded(bands)
    assert values["mae/shortfall"] == 0
    assert values["mae/sliced_shortfall/band"] == pytest.approx(missed)


def test_a_bound_of_one_slice_leaves_the_others_alone_and_holds_from_as_many_rows() -> None:
    alone = {"mae": Bound(at={"band=1": Range(upper=1)}, reason=WHY)}
    assert banded([b"1"] * 3, bounds=alone)["mae/sliced_shortfall/band"] == pytest.approx(2 / 3)
    assert banded([b"2-3"] * 3, bounds=alone)["mae/sliced_shortfall/band"] == 0
    assert banded([b"1"] * 3, bounds=alone, min_slice_rows=4)["mae/sliced_shortfall/band"] == 0


def test_rows_of_one_band_may_be_a_slice_by_another_feature() -> None:
    """All customers of a country are of band 1: that is no reason to judge the country as the band."""
    values = banded([b"1"] * 3, slices=("band", "country"))
    assert values["mae/sliced_shortfall/country"] == pytest.approx(2 / 3)


# --- further outputs, and a champion ------------------------------------------------------------------


def share_below(rows: Rows) -> float:
    """Share of the labels below an output."""
    return float(np.mean(rows.label < rows.outputs["high"])) if np.isfinite(rows.outputs["high"]).all() else math.nan


FURTHER: dict[str, Any] = {
    "outputs": ("high",),
    "metrics": (
        Metric(name="below", function=f"{__name__}.share_below", minus="past", better=None),
        Metric(name="worse", function="pipeline.metrics.mae_increase_lower", minus="past", against_champion=True),
    ),
    "bounds": {"worse": Bound(upper=0, slices=Range(upper=0), reason=WHY), "below": Bound(lower=0.5, reason=WHY)},
}


def further(outputs: dict[str, Any] | None = None, champion: NDArray[Any] | None = None) -> Table:
    """Future labels are 1, 3 and 5, predicted 2, 2 and 2."""
    plain = table()
    return tabulate(config(**FURTHER), plain.label, plain.prediction, plain.features, outputs, champion)


def test_metrics_see_further_outputs_and_the_champion() -> None:
    """The past is subtracted from the champion's answers too, and not from further outputs."""
    past = table().features["past"]
    values = evaluate(config(**FURTHER), further({"high": np.array([4.0, 4.0, 4.0])}, past + np.array([1, 3, 5])))
    assert values["below"] == pytest.approx(2 / 3)
    assert values["worse"] > 0
    assert values["worse/shortfall"] == values["worse/sliced_shortfall/band"] == values["worse"]
    sliced = evaluate_slices(config(**FURTHER), further({"high": np.array([4.0, 2.0, 9.0])}), {"band": ["a", "a", "b"]})
    assert {where: values["below"] for where, values in sliced.items()} == {
        "overall": pytest.approx(2 / 3), "band=a": 0.5, "band=b": 1,
    }  # fmt: skip


@pytest.mark.parametrize("champion", [None, np.array([1.0, math.nan, 2.0])])
def test_without_a_champion_there_is_nothing_to_miss(champion: NDArray[Any] | None) -> None:
    values = evaluate(config(**FURTHER), further({}, champion))
    assert "worse" not in values
    assert values["worse/shortfall"] == values["worse/sliced_shortfall/band"] == 0
    assert (math.isnan(values["below"]), values["below/shortfall"]) == (True, math.inf)


def test_the_naive_rule_has_no_further_outputs() -> None:
    whole = further({"high": np.array([4.0, 4.0, 4.0])})
    values = evaluate(config(**FURTHER), tabulate_naive(config(**FURTHER), whole.label, whole.features, whole))
    assert math.isnan(values["below"])


def test_a_further_output_of_another_shape_is_an_error_that_names_it() -> None:
    with pytest.raises(
        ValueError, match=r"expected an output 'high' of one number a row, shape \(3,\); received \(3, 1\)"
    ):
        further({"high": np.zeros((3, 1))})


@pytest.mark.parametrize(
    ("lower", "upper", "value", "expected"),
    [
        (0.5, None, 0.4, 0.1),
        (0.5, None, 0.5, 0),
        (None, 0.99, 1.0, 0.01),
        (-0.25, 0.25, -0.3, 0.05),
        (-0.25, 0.25, 0.25, 0),
        (None, None, 7.0, 0),
        (0.5, None, math.nan, math.inf),
        (0.5, None, math.inf, math.inf),
        (None, None, math.nan, math.inf),
    ],
)
def test_shortfall(lower: float | None, upper: float | None, value: float, expected: float) -> None:
    assert shortfall(Bound(lower=lower, upper=upper, reason=WHY), value) == pytest.approx(expected)


@pytest.mark.parametrize(("better", "expected"), [("lower", -3.0), ("higher", 3.0), ("zero", 3.0)])
def test_loss_falls_when_the_metric_improves(better: Any, expected: float) -> None:
    metric = Metric(name="m", function="pipeline.metrics.mae", better=better)
    assert loss(metric, -3.0) == expected
    assert loss(metric, math.nan) == math.inf


def test_a_naive_rule_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"expected a naive prediction of the label's shape \(3,\); received \(3, 1\)"):
        table(naive=f"{__name__}.naive_column")


def test_a_prediction_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"expected a prediction of the label's shape \(3,\); received \(3, 2\)"):
        tabulate(config(), np.zeros(3), np.zeros((3, 2)), table().features)
