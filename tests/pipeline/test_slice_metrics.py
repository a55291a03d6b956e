"""Metrics of a slice, and the companions that thresholds are set on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.contract import Bound, Metric, Range
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
    assert values["mae/shortfall"] == values["mae/sliced_shortfall"] == pytest.approx(2 / 3)
    assert values["mae/loss"] == values["mae"]


def test_a_small_slice_misses_only_the_bound_for_all_rows() -> None:
    bounds = {"mae": Bound(upper=1, slices=Range(upper=1), reason=WHY)}
    values = evaluate(config(bounds=bounds, min_slice_rows=4), table())
    assert values["mae/sliced_shortfall"] == 0
    assert values["mae/shortfall"] == pytest.approx(2 / 3)


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
