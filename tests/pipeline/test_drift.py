"""Drift and skew, from real statistics that TFDV computes of small frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from pipeline.contract import Distances, GateSettings, Limit, UserError
from pipeline.drift import distribution_checks
from pipeline.verdict import Check, sentence

SCHEMA = text_format.Parse(
    """
    feature { name: "price" type: FLOAT }
    feature { name: "country" type: BYTES string_domain { value: "France" value: "Spain" } }
    feature { name: "note" type: BYTES }
    feature { name: "label" type: FLOAT not_in_environment: "SERVING" }
    """,
    schema_pb2.Schema(),
)
ROWS = 1000


def statistics(rows: int = ROWS, **columns: Any) -> statistics_pb2.DatasetFeatureStatistics:
    """Of prices 0 .. 100, nine of ten rows from France, and of `columns` over these; None leaves a column out."""
    usual = {
        "price": np.linspace(0, 100, rows),
        "country": np.where(np.arange(rows) % 10, "France", "Spain"),
        "note": [f"note {row}" for row in range(rows)],
        "label": np.linspace(0, 1, rows),
    }
    frame = pd.DataFrame({name: column for name, column in {**usual, **columns}.items() if column is not None})
    return tfdv.generate_statistics_from_dataframe(frame).datasets[0]


def judged(now: Any, then: Any, gates: GateSettings | None = None, **splits: Any) -> dict[str, Check]:
    found = list(distribution_checks({"train": now, **splits}, then, SCHEMA, gates or GateSettings()))
    return {check.metric: check for check in found}


def refused(found: dict[str, Check]) -> list[str]:
    return [metric for metric, check in found.items() if not check.passed]


def test_every_distance_is_reported_where_nothing_moved() -> None:
    found = judged(statistics(), statistics())
    values = {metric: check.value for metric, check in found.items()}
    assert values == {"growth": 1, "lost values of country": 0, "drift of price": 0, "drift of country": 0}
    assert refused(found) == []


def test_prices_in_another_unit_are_refused_with_both_medians() -> None:
    check = judged(statistics(price=np.linspace(0, 1000, ROWS)), statistics())["drift of price"]
    # A tenth of the new prices lies where all the old ones do: (1 / 10, 9 / 10) against (1, 0).
    expected = (0.1 * np.log2(0.1 / 0.55) + 0.9 * np.log2(0.9 / 0.45) + np.log2(1 / 0.55)) / 2
    assert check.value == pytest.approx(expected, abs=0.01)
    assert sentence(check).startswith(
        f"data gate: drift of price on train is {check.value:.6g}, must be <= 0.2 (missed"
    )
    assert check.note.startswith("its median is 500.501, and 50.0501 in the last pushed run; ")


def test_one_large_order_is_no_drift() -> None:
    prices = np.append(np.linspace(0, 100, ROWS - 1), 100_000)
    found = judged(statistics(price=prices), statistics())
    assert refused(found) == []
    assert float(found["drift of price"].value) < 0.1


def test_a_share_that_moved_is_refused_by_its_greatest_difference() -> None:
    countries = np.where(np.arange(ROWS) % 10 < 6, "France", "Spain")
    check = judged(statistics(country=countries), statistics())["drift of country"]
    assert not check.passed
    assert check.value == pytest.approx(0.3)
    moved = check.note.partition(";")[0]
    assert moved in (
        "France is in 60.0% of the rows, and in 90.0% in the last pushed run",
        "Spain is in 40.0% of the rows, and in 10.0% in the last pushed run",
    )


def test_a_value_that_is_gone_is_refused_however_small_its_share() -> None:
    then = np.where(np.arange(ROWS) % 25, "France", "Spain")
    found = judged(statistics(country=["France"] * ROWS), statistics(country=then))
    assert refused(found) == ["lost values of country"]
    assert found["lost values of country"].note == "gone since the last pushed run: Spain (40 rows)"


@pytest.mark.parametrize(("rows", "value"), [(500, 0.5), (50, 0.05), (1800, 1.8)])
def test_half_of_the_rows_or_hardly_any_or_far_more_are_refused(rows: int, value: float) -> None:
    check = judged(statistics(rows), statistics())["growth"]
    assert (check.passed, check.value) == (False, value)
    assert f"{rows:,} instead of 1,000 examples" in check.note


def test_skew_is_judged_on_each_other_split_without_a_reference() -> None:
    cheap = statistics(price=np.linspace(0, 10, ROWS))
    found = list(
        distribution_checks({"train": cheap, "eval": statistics(), "test": cheap}, "why", SCHEMA, GateSettings())
    )
    assert [(check.metric, check.slice) for check in found if not check.passed] == [("skew of price", "eval")]
    assert (found[0].passed, found[0].note) == (True, "why: there is nothing to compare with")


def test_few_rows_are_reported_and_refuse_nothing() -> None:
    small = statistics(50, price=np.linspace(0, 1000, 50))
    check = judged(statistics(), statistics(), eval=small)["skew of price"]
    assert (check.passed, check.binding, check.note) == (True, False, "only 50 rows, bounds hold from 100")
    assert float(check.value) > 0.2


def test_an_allowed_feature_passes_with_its_reason() -> None:
    gates = GateSettings(allowed_anomalies={"price": "prices are in pence now"})
    check = judged(statistics(price=np.linspace(0, 1000, ROWS)), statistics(), gates)["drift of price"]
    assert (check.passed, check.shortfall, check.note) == (True, None, "allowed: prices are in pence now")


def test_a_feature_has_the_limit_that_names_it_be_it_an_input_or_not() -> None:
    wide, narrow = Limit(upper=1, reason="any price will do"), Limit(upper=0.01, reason="labels must not move")
    gates = GateSettings(drift=Distances(features={"price": wide, "label": narrow}))
    moved = statistics(price=np.linspace(0, 1000, ROWS), label=np.linspace(0, 2, ROWS))
    found = judged(moved, statistics(), gates)
    assert refused(found) == ["drift of label"]
    assert found["drift of price"].bound == "<= 1"


def test_a_new_feature_passes_and_a_lost_one_does_not() -> None:
    without = statistics(price=None)
    new = judged(statistics(), without)["drift of price"]
    assert (new.passed, new.value, new.note) == (True, "not comparable", "the last pushed run has no such feature")
    assert refused(judged(without, statistics())) == ["drift of price"]


def test_a_limit_for_a_feature_that_does_not_exist_is_a_mistake() -> None:
    gates = GateSettings(drift=Distances(features={"prize": Limit(upper=1, reason="a slip of the pen")}))
    with pytest.raises(UserError, match="prize") as error:
        judged(statistics(), statistics(), gates)
    assert "price, country" in error.value.expected
