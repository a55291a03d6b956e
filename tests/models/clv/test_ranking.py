"""The ranked list of a feature table with answers: merging countries, order, deciles, segments."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.clv import MODEL, ranking
from models.clv.ranking import deciles, rank, segments
from pipeline.contract import load


def rows(*given: dict[str, Any]) -> pa.Table:
    """Rows of the feature table; what a test does not care about is the same in all."""
    plain = {
        "customer_id": "ann",
        "customer_country": "United Kingdom",
        "n_purchases": 2,
        "days_since_last_purchase": 10,
        "past_monetary_value": 100.0,
        "customer_weight": 1.0,
        "future_monetary_value": 50.0,
        "repurchase_probability": 0.5,
        "future_low": 0.0,
        "future_high": 80.0,
    }
    return pa.Table.from_pylist([{**plain, **row} for row in given])


def test_the_contract_names_the_function() -> None:
    assert MODEL.ranking is not None
    assert load(MODEL.ranking.function) is rank


def test_the_rows_of_a_customer_become_one() -> None:
    """All of them predict the revenue in all countries, so that their mean counts; a sum would count it twice."""
    table = rank(
        rows(
            {"customer_country": "EIRE", "n_purchases": 1, "customer_weight": 1 / 3, "future_monetary_value": 30.0},
            {
                "repurchase_probability": 0.81236,
                "future_low": 6.0,
                "future_high": 110.0,
                "customer_country": "Austria",
                "days_since_last_purchase": 40,
                "customer_weight": 1 / 3,
                "future_monetary_value": 60.0,
            },
            {
                "customer_country": "Malta",
                "n_purchases": 3,
                "days_since_last_purchase": 300,
                "customer_weight": 1 / 3,
                "future_monetary_value": 0.0,
            },
        )
    )
    assert table.to_pylist() == [
        {
            "customer": "ann",
            "countries": "Malta; Austria; EIRE",
            "past": 100.0,
            "future": 30.0,
            "low": 2.0,
            "high": 90.0,
            "buys_again": 0.6041,
            "total": 130.0,
            "decile": 1,
            "segment": "active",
            "days_since_last_purchase": 10,
            "purchases": 6,
        }
    ]


def test_a_version_that_answers_the_mean_alone_has_a_shorter_list() -> None:
    table = rank(rows({}).drop(["repurchase_probability", "future_low", "future_high"]))
    assert table.column_names[2:6] == ["past", "future", "total", "decile"]


def test_one_purchase_in_each_of_two_countries_is_not_one_purchase_only() -> None:
    both = [
        {"customer_country": name, "n_purchases": 1, "customer_weight": 0.5, "days_since_last_purchase": days}
        for name, days in (("EIRE", 100), ("Malta", 120))
    ]
    assert rank(rows(*both)).column("segment").to_pylist() == ["cooling"]


def test_the_order_is_that_of_the_future_then_of_the_total_then_of_the_name() -> None:
    given = [
        {"customer_id": "low", "future_monetary_value": 1.0, "past_monetary_value": 9000.0},
        {"customer_id": "b", "future_monetary_value": 7.0},
        {"customer_id": "a", "future_monetary_value": 7.004},
        {"customer_id": "rich", "future_monetary_value": 7.0, "past_monetary_value": 200.0},
        {"customer_id": "10", "future_monetary_value": 7.0},
        {"customer_id": "9", "future_monetary_value": 7.0},
    ]
    expected = ["rich", "10", "9", "a", "b", "low"]
    assert rank(rows(*given)).column("customer").to_pylist() == expected
    assert rank(rows(*reversed(given))).column("customer").to_pylist() == expected


def test_a_total_is_the_sum_of_what_is_shown() -> None:
    table = rank(rows({"past_monetary_value": 0.1, "future_monetary_value": np.float32(0.205)})).to_pylist()[0]
    assert (table["past"], table["future"], table["total"]) == (0.1, 0.2, 0.3)
    negative = rank(rows({"future_monetary_value": -0.001})).to_pylist()[0]
    assert str(negative["future"]) == "0.0"


@pytest.mark.parametrize("customers", [1, 7, 10, 25, 3324])
def test_deciles_are_tenths_of_the_list(customers: int) -> None:
    found = deciles(customers)
    counts = np.bincount(found, minlength=11)[1:]
    assert list(found) == sorted(found)
    assert found[0] == 1
    assert found[-1] <= 10
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("days", "purchases", "segment"),
    [
        (0, 2, "active"),
        (90, 2, "active"),
        (91, 2, "cooling"),
        (250, 2, "cooling"),
        (251, 2, "dormant"),
        (0, 1, "one purchase only"),
        (250, 1, "one purchase only"),
        (251, 1, "dormant"),
    ],
)
def test_segments_begin_and_end_where_the_docs_say(days: int, purchases: int, segment: str) -> None:
    assert list(segments(np.array([days]), np.array([purchases]))) == [segment]


def test_ranking_needs_no_tensorflow() -> None:
    code = f"import sys, {inspect.getmodule(ranking.rank).__name__}; sys.exit('tensorflow' in sys.modules)"  # type: ignore[union-attr]
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
