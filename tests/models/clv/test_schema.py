"""The curated schema against the names of the model, and against real and spoilt statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from models.clv import features


@pytest.fixture(scope="module")
def schema() -> Any:
    return tfdv.load_schema_text(str(Path(__file__).parents[3] / "schema" / "clv" / "schema.pbtxt"))


@pytest.fixture
def examples(table: dict[str, Any]) -> pd.DataFrame:
    """Raw examples that are all right, with the bookkeeping."""
    frame = pd.DataFrame(table)
    bands = pd.cut(frame["n_purchases"], [0, 1, 3, 9, 999], labels=list(features.FREQUENCY_BANDS)).astype(str)
    return frame.assign(customer_weight=1.0, frequency_band=bands, days_before_cutoff=0)


def _anomalies(frame: pd.DataFrame, schema: Any, environment: str = "TRAINING") -> dict[str, str]:
    statistics = tfdv.generate_statistics_from_dataframe(frame)
    found = tfdv.validate_statistics(statistics, schema, environment=environment).anomaly_info
    return {name: info.description for name, info in found.items()}


def _names(schema: Any, environment: str) -> set[str]:
    return {feature.name for feature in schema.feature if environment not in feature.not_in_environment}


def test_names_and_types_are_those_of_the_model(schema: Any) -> None:
    everything = {*features.INPUTS, *features.LABELS, *features.BOOKKEEPING}
    assert _names(schema, "TRAINING") == everything
    assert _names(schema, "SERVING") == set(features.INPUTS)
    texts = {features.COUNTRY, features.CUSTOMER, features.FREQUENCY_BAND}
    integers = {*features.INTEGER_INPUTS, features.BEFORE_CUTOFF}
    wanted = {name: 1 if name in texts else 2 if name in integers else 3 for name in everything}
    assert {feature.name: feature.type for feature in schema.feature} == wanted


def test_good_examples_have_no_anomaly(examples: pd.DataFrame, schema: Any) -> None:
    assert _anomalies(examples, schema) == {}
    assert _anomalies(examples[list(features.INPUTS)], schema, "SERVING") == {}


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("n_purchases", 0),
        ("days_since_last_purchase", -1),
        ("past_monetary_value", -0.01),
        ("avg_purchase_revenue", 2e6),
        ("target_monetary_value_3M", float("nan")),
        ("frequency_band", "many"),
        ("customer_weight", 2.0),
        ("purchases_91d", 92),
        ("days_before_cutoff", 91),
    ],
)
def test_one_impossible_value_is_an_anomaly_of_its_feature(
    examples: pd.DataFrame, schema: Any, feature: str, value: object
) -> None:
    examples.loc[3, feature] = value
    assert list(_anomalies(examples, schema)) == [feature]


def test_a_missing_column_and_a_wrong_type_are_anomalies(examples: pd.DataFrame, schema: Any) -> None:
    spoilt = examples.drop(columns="tenure_days").assign(n_purchases=examples["n_purchases"].astype(str))
    assert set(_anomalies(spoilt, schema)) == {"tenure_days", "n_purchases"}


def test_a_few_unlisted_countries_pass_and_many_do_not(examples: pd.DataFrame, schema: Any) -> None:
    examples.loc[:20, "customer_country"] = "Atlantis"
    assert _anomalies(examples, schema) == {}
    examples.loc[:200, "customer_country"] = "Atlantis"
    assert list(_anomalies(examples, schema)) == ["customer_country"]
