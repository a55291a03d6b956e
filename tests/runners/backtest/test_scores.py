"""What a backtest's tables say of predictions that were made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.clv import MODEL
from runners.backtest.scores import Judged, judged, score, together

HAND = {
    "customer_id": ["ann", "ann", "bob", "cleo"],
    "customer_weight": [0.5, 0.5, 1.0, 1.0],
    "past_monetary_value": [100.0, 100.0, 10.0, 20.0],
    "actual": [150.0, 150.0, 10.0, 50.0],
    "predicted": [140.0, 150.0, 15.0, 60.0],
    "naive": [170.0, 130.0, 20.0, 20.0],
}
"""The future is 50, 50, 0 and 30; the model is 10, 0, 5 and 10 off, the rule 20, 20, 10 and 30."""


def rows(**changes: Any) -> Judged:
    return judged(MODEL, pa.table({**HAND, **changes}))


def many(seed: int, customers: int = 400, noise: float = 0.5, names: str = "c{}") -> Judged:
    draw = np.random.default_rng(seed)
    future = draw.gamma(1, 100, customers)
    columns = {
        "customer_id": [names.format(number) for number in range(customers)],
        "customer_weight": np.ones(customers),
        "past_monetary_value": np.full(customers, 7.0),
        "actual": 7 + future,
        "predicted": 7 + future + noise * draw.normal(0, 100, customers),
        "naive": 7 + future + draw.normal(0, 100, customers),
    }
    return judged(MODEL, pa.table(columns))


def test_errors_of_the_future_part_worked_out_by_hand() -> None:
    found = score(rows())
    assert (found.rows, found.subjects) == (4, 3)
    assert (found.mae, found.rule_mae, found.ratio) == (25 / 4, 20.0, 25 / 80)
    assert (found.bias, found.rule_bias) == ((45 + 5 + 40 - 80) / 80, (50 + 10 + 0 - 80) / 80)
    assert found.spearman == pytest.approx(np.corrcoef([3.5, 3.5, 1, 2], [2.5, 4, 1, 2.5])[0, 1])


def test_few_customers_have_no_interval_and_win_nothing() -> None:
    found = score(many(1, customers=29, noise=0.1))
    assert (found.low, found.high, found.beats) == (None, None, False)
    assert score(many(1, customers=30, noise=0.1)).beats


def test_the_interval_holds_the_ratio_and_is_the_one_that_draws_by_hand_give() -> None:
    found, drawn = many(2), []
    errors = [np.abs(answer - found.rows.label) for answer in (found.rows.prediction, found.rows.naive)]
    draw = np.random.default_rng(5)
    for _ in range(4000):
        chosen = draw.integers(0, 400, 400)
        drawn.append(errors[0][chosen].sum() / errors[1][chosen].sum())
    low, high = np.percentile(drawn, [2.5, 97.5])
    result = score(found)
    assert result.low is not None
    assert result.high is not None
    assert (result.low, result.high) == pytest.approx((low, high), abs=0.01)
    assert result.ratio is not None
    assert result.low < result.ratio < result.high
    assert score(found) == result


def test_a_customer_of_several_cutoffs_is_one_and_so_the_interval_is_no_narrower() -> None:
    same, others = score(together([many(3)] * 4)), score(together([many(3, names=f"{n} {{}}") for n in range(4)]))
    assert (same.rows, same.subjects, others.subjects) == (1600, 400, 1600)
    assert (same.ratio, same.bias) == pytest.approx((others.ratio, others.bias))
    alone = score(many(3))
    assert (same.low, same.high) == pytest.approx((alone.low, alone.high))

    def width(found: Any) -> float:
        return float(found.high - found.low)

    assert width(others) == pytest.approx(width(alone) / 2, rel=0.1)


def test_a_model_that_is_worse_than_the_rule_does_not_beat_it() -> None:
    found = score(many(4, noise=2))
    assert found.low is not None
    assert found.low > 1
    assert not found.beats


def test_the_coverage_is_of_the_rows_that_have_an_interval() -> None:
    ends = {"future_low": [0.0, 51.0, 0.0, 10.0], "future_high": [50.0, 60.0, 5.0, 29.0]}
    assert score(rows()).coverage is None
    assert score(rows(**ends)).coverage == 0.5
    assert score(together([rows(**ends), rows()])).coverage == 0.5


def test_what_has_no_value_is_none_and_not_nan() -> None:
    zeros = {name: HAND["past_monetary_value"] for name in ("actual", "predicted", "naive")}
    found = score(rows(**zeros))
    assert (found.mae, found.ratio, found.bias, found.spearman, found.gini) == (0, None, None, None, None)
    empty = score(judged(MODEL, pa.table({**HAND}).slice(0, 0)))
    assert (empty.rows, empty.mae, empty.low) == (0, None, None)
