"""What the data gate says, from real statistics that TFDV computes and anomalies that it finds."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from pipeline.data_gate import anomaly_checks, raw_checks, unknown_value_checks
from pipeline.ingestion.raw import ForbiddenRows, RawReport
from pipeline.verdict import Check, sentence

SCHEMA = text_format.Parse(
    """
    feature { name: "age" type: INT presence { min_fraction: 1 min_count: 1 } int_domain { min: 0 max: 120 } }
    feature {
      name: "country" type: BYTES presence { min_fraction: 1 min_count: 1 }
      string_domain { value: "France" value: "Spain" } distribution_constraints { min_domain_mass: 0.75 }
    }
    """,
    schema_pb2.Schema(),
)
SCHEMA.dataset_constraints.min_examples_count = 3


def checks(allowed: dict[str, str] | None = None, **columns: list[Any]) -> list[Check]:
    frame = pd.DataFrame({"age": [30, 40, 50, 60], "country": ["France", "Spain", "Spain", "France"]} | columns)
    frame = frame.dropna(axis=1, how="all")
    statistics = tfdv.generate_statistics_from_dataframe(frame)
    anomalies = tfdv.validate_statistics(statistics, SCHEMA)
    split = statistics.datasets[0]
    found = anomaly_checks("eval", anomalies, SCHEMA, split, allowed or {})
    return [*found, *unknown_value_checks("eval", SCHEMA, split, allowed or {})]


def refused(found: list[Check]) -> dict[str, Check]:
    return {check.metric: check for check in found if not check.passed}


def test_examples_as_curated_pass_and_the_share_of_unknown_values_is_reported() -> None:
    found = checks()
    assert refused(found) == {}
    assert [(check.metric, check.value) for check in found] == [("schema anomalies", "none"), ("unknown country", 0)]


def test_a_value_out_of_range() -> None:
    check = refused(checks(age=[30, 40, 50, 460]))["schema: age"]
    assert (check.slice, check.bound, check.value) == ("eval", "INT, 0 .. 120, in 100% of rows", "INT, 30 .. 460")
    assert "460" in check.note


def test_a_type_that_changed() -> None:
    check = refused(checks(age=["thirty", "forty", "fifty", "sixty"]))["schema: age"]
    assert (check.bound, check.value) == ("INT, 0 .. 120, in 100% of rows", "STRING, 4 values")


def test_a_feature_that_is_gone() -> None:
    check = refused(checks(age=[None, None, None, None]))["schema: age"]
    assert check.value == "4 rows without it"


def test_a_feature_that_nobody_curated() -> None:
    check = refused(checks(shoe=[1, 2, 3, 4]))["schema: shoe"]
    assert (check.bound, check.value) == ("no such feature", "INT, 1 .. 4")


def test_a_split_that_is_too_small_to_judge_by() -> None:
    check = refused(checks(age=[30, 40], country=["France", "Spain"]))["schema: the whole split"]
    assert (check.bound, check.value) == ("at least 3 examples", "2 examples")


def test_few_unknown_values_are_named_and_pass() -> None:
    found = checks(country=["France", "Spain", "Spain", "Malta"])
    assert refused(found) == {}
    (check,) = [check for check in found if check.metric == "unknown country"]
    assert (check.value, check.bound, check.note) == (0.25, "<= 0.25", "Malta (1 rows)")


def test_many_unknown_values_are_refused() -> None:
    check = refused(checks(country=["Malta", "Malta", "Spain", "Norway"]))["unknown country"]
    assert (check.value, check.shortfall, check.note) == (0.75, 0.5, "Malta (2 rows), Norway (1 rows)")


def test_an_allowed_anomaly_passes_with_its_reason() -> None:
    found = checks(allowed={"age": "the oldest tortoise"}, age=[30, 40, 50, 190])
    assert refused(found) == {}
    assert "allowed: the oldest tortoise" in [check.note for check in found]


def test_an_allowed_feature_may_have_any_unknown_values() -> None:
    assert refused(checks(allowed={"country": "the shop moved to Malta"}, country=["Malta"] * 4)) == {}


def report(**changes: Any) -> RawReport:
    fields: dict[str, Any] = {
        "source": "shop.csv",
        "source_sha256": "",
        "rows_read": 1000,
        "rows_usable": 1000 - changes.get("quarantined", 0),
        "quarantined": 0,
        "quarantined_by_reason": {},
        "left_out": {},
        "forbidden": {},
    }
    return RawReport(**(fields | changes))


@pytest.mark.parametrize(("quarantined", "passed"), [(0, True), (10, True), (11, False)])
def test_unusable_rows_are_bounded_by_share(quarantined: int, passed: bool) -> None:
    reasons = {"date: expected timestamp": quarantined} if quarantined else {}
    (check,) = raw_checks(report(quarantined=quarantined, quarantined_by_reason=reasons), 0.01)
    assert check.passed is passed
    if quarantined:
        expected = f"{quarantined} of 1,000 rows are unusable: {quarantined} x date: expected timestamp"
        assert check.note == expected


def test_one_forbidden_row_is_too_many_and_is_shown() -> None:
    forbidden = {"negative price": ForbiddenRows(rows=1, examples=["row 17: {price: -2}"])}
    check = [*raw_checks(report(forbidden=forbidden), 0.01)][-1]
    assert not check.passed
    assert sentence(check) == (
        "data gate: rows with negative price on raw rows is 1, must be <= 0 (missed by 1): "
        "for instance row 17: {price: -2}"
    )
