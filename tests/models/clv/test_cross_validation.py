"""Cross-validation of the CLV model's benchmark: folds by customer, and its intervals against figures by hand."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cross_validation import (
    Interval,
    corrected_t,
    cross_validated,
    customer_errors,
    folds,
    judge,
    paired_bootstrap,
    share_of,
)
from numpy.typing import NDArray
from scipy import stats

Table = dict[str, NDArray[Any]]


@pytest.fixture
def shop() -> Table:
    """60 customers, every third in a second country, where his label is the same."""
    draw = np.random.default_rng(3)
    place = np.concatenate([np.arange(60), np.arange(0, 60, 3)])
    past, future = draw.gamma(1.0, 100.0, 60), draw.gamma(0.5, 100.0, 60)
    return {
        "customer_id": np.array([f"{100 + customer}" for customer in place], object),
        "customer_weight": 1 / np.bincount(place)[place],
        "past_monetary_value": past[place],
        "tenure_days": np.full(80, 182),
        "future_monetary_value_3M": future[place],
    }


def test_no_customer_is_on_both_sides_and_each_is_held_out_once_a_repetition(shop: Table) -> None:
    drawn = list(folds(shop["customer_id"], 5, 2))
    assert [fold.repetition for fold in drawn] == [0] * 5 + [1] * 5
    for fold in drawn:
        fitted, held_out = (set(shop["customer_id"][rows]) for rows in (fold.fitted, fold.held_out))
        assert not fitted & held_out
        assert len(held_out) == 12
    for repetition in (drawn[:5], drawn[5:]):
        assert sorted(np.concatenate([fold.held_out for fold in repetition])) == list(range(80))
    assert set(drawn[0].held_out) != set(drawn[5].held_out)


def test_a_greater_share_has_the_customers_of_a_smaller_one(shop: Table) -> None:
    quarter, half = (set(share_of(shop, share, seed=1)["customer_id"]) for share in (0.25, 0.5))
    assert (len(quarter), len(half)) == (15, 30)
    assert quarter < half


def test_a_candidate_is_asked_for_rows_that_it_did_not_see(shop: Table) -> None:
    def own_mean(fitted: Any, held_out: Any, seed: int) -> dict[str, NDArray[Any]]:
        assert not set(fitted["customer_id"]) & set(held_out["customer_id"])
        return {"mean": np.full(len(held_out["customer_id"]), fitted["future_monetary_value_3M"].mean())}

    outcome = cross_validated(own_mean, shop, list(folds(shop["customer_id"], 5, 2)), horizon=91, seed=0)
    assert outcome.predicted.shape == (2, 80)
    assert np.isfinite(outcome.predicted).all()
    assert len(outcome.metrics) == 10
    assert outcome.metrics[0]["gini"] == pytest.approx(0)  # A constant ranks nothing.


def test_the_future_is_judged_against_the_rule(shop: Table) -> None:
    label = shop["future_monetary_value_3M"]
    rule = shop["past_monetary_value"] / 2  # Half of the tenure once more.
    found = judge(shop, {"mean": rule, "low": label - 1, "high": label + np.where(label > np.median(label), 1, -2)}, 91)
    assert found["mae"] == pytest.approx(np.abs(label - rule).mean())
    assert found["mae_vs_rule"] == pytest.approx(1)
    assert found["coverage"] == pytest.approx(np.average(label > np.median(label), weights=shop["customer_weight"]))
    assert np.isnan(judge(shop, {"mean": rule}, 91)["coverage"])


def test_a_customer_counts_once(shop: Table) -> None:
    label = shop["future_monetary_value_3M"]
    errors = customer_errors(shop, np.stack([label + 10, label - 20]))
    np.testing.assert_allclose(errors, np.full(60, 15))


def test_the_paired_bootstrap_is_scipys_of_two_samples_that_are_drawn_together() -> None:
    draw = np.random.default_rng(0)
    one, two = draw.gamma(1.0, 100.0, (2, 300))
    found = paired_bootstrap(one, two)
    expected = stats.bootstrap(
        (one, two), lambda a, b, axis: np.mean(a - b, axis=axis), paired=True, vectorized=True, random_state=1
    ).confidence_interval
    assert found.mean == pytest.approx(one.mean() - two.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.6)
    normal = 1.96 * (one - two).std(ddof=1) / np.sqrt(300)
    assert found.high - found.low == pytest.approx(2 * normal, rel=0.05)


def test_equal_models_do_not_differ() -> None:
    assert paired_bootstrap(np.arange(5.0), np.arange(5.0)) == Interval(0, 0, 0)


def test_the_corrected_t_interval_of_four_folds_worked_out_by_hand() -> None:
    # Differences -2, -1, -3, -2: mean -2, variance 2/3. 1/4 + 1/3 of it is 7/18; t(3) at .975 is 3.18245.
    found = corrected_t([10.0, 11.0, 9.0, 10.0], [12.0, 12.0, 12.0, 12.0], splits=4)
    assert found == pytest.approx((-2, -2 - 3.18245 * (7 / 18) ** 0.5, -2 + 3.18245 * (7 / 18) ** 0.5), abs=1e-4)


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts beside the tests can be imported, and silence the logs of their own process only."""
    before, level = set(sys.modules), logging.getLogger().level
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    yield
    logging.getLogger().setLevel(level)
    for name in {name for name in sys.modules if name.startswith("clv_")} - before:
        sys.modules.pop(name)


def test_the_products_model_is_a_candidate(
    benchmarks: None, transformed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import clv_product  # type: ignore[import-not-found] # A script.

    monkeypatch.setattr(clv_product, "transformed", lambda *_: Path(transformed.graph).parent)
    candidate = clv_product.candidate(tmp_path, {"epochs": 1, "members": 2}, transformed.table)
    mean = candidate(transformed.table, transformed.table, 1)["mean"]
    assert mean.shape == (600,)
    assert 0 < mean.mean() < 10 * transformed.table["future_monetary_value_3M"].mean()


def test_the_command_prints_the_tables_of_rules_on_the_sample(
    benchmarks: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import clv_quality  # type: ignore[import-not-found] # A script.

    clv_quality.main(["--models", "rule,last-horizon", "--json", str(tmp_path / "told.json")])
    said = capsys.readouterr().out
    assert "10 folds (5x2)" in said
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in said.splitlines() if line.startswith("|")}
    assert rows["rule"][2] == "1.000 ± 0.000"
    assert rows["last-horizon"][1] == "rule"
    clv_quality.main(["--models", "past", "--beside", str(tmp_path / "told.json")])
    again = capsys.readouterr().out
    assert next(line for line in said.splitlines() if line.startswith("| rule |")) in again
    assert "| past | rule |" in again
    told = json.loads((tmp_path / "told.json").read_text())
    assert f"{np.mean([fold['mae'] for fold in told['folds']['rule']]):.0f} ± " in rows["rule"][1]
    assert told["folds"]["rule"][0]["coverage"] is None
    assert told["paired"]["rule"]["last-horizon"]["bootstrap"][0] == pytest.approx(
        float(rows["last-horizon"][2]), abs=0.1
    )
    with pytest.raises(SystemExit):
        clv_quality.main(["--models", "magic"])
    assert "received magic" in capsys.readouterr().err
