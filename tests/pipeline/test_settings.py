"""Layers of settings, and what a wrong key or value is told."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from models.clv import MODEL
from models.clv.settings import ClvSettings, Features
from pipeline.contract import Range, Settings, UserError, find_model
from pipeline.settings import make_settings, pipeline_name, read_assignments, read_environment


def clv(*assignments: str, under: dict[str, Any] | None = None) -> ClvSettings:
    settings: Settings = make_settings(MODEL, under or {}, read_assignments(MODEL, assignments))
    assert isinstance(settings, ClvSettings)
    return settings


def test_defaults_live_with_the_model() -> None:
    assert clv() == ClvSettings()


def test_a_key_may_leave_out_its_part() -> None:
    assert clv("cutoff=2011-09-01").features == Features(cutoff=date(2011, 9, 1))
    assert clv("features.cutoff=2011-09-01") == clv("cutoff=2011-09-01")


def test_a_key_below_a_field_changes_that_alone() -> None:
    changed = clv("bounds.future_gini.lower=0.6").gates.bounds
    assert changed["future_gini"].lower == 0.6
    assert changed["future_gini"].reason == ClvSettings().gates.bounds["future_gini"].reason
    assert changed["future_bias"] == ClvSettings().gates.bounds["future_bias"]


def test_the_last_layer_wins() -> None:
    settings = clv("seed=3", under={"training": {"seed": 1, "epochs": 5}})
    assert (settings.training.seed, settings.training.epochs) == (3, 5)


def test_values_are_yaml() -> None:
    settings = clv("hidden_units=[8, 4]", "early_stopping=false", "destination=gs://bucket/models")
    assert settings.training.hidden_units == (8, 4)
    assert settings.training.early_stopping is False
    assert settings.gates.destination == "gs://bucket/models"


@pytest.mark.parametrize(
    ("assignment", "expected", "received", "todo"),
    [
        ("cutof=auto", "features.cutoff", "'cutof'", "did you mean cutoff?"),
        ("training.cutoff=auto", "a setting of clv", "'training.cutoff'", "did you mean"),
        ("epochs=many", "training.epochs: Input should be a valid integer", "'many'", "correct training.epochs"),
        ("cutoff=soon", "or: Input should be 'auto'", "'soon'", "correct features.cutoff"),
        ("horizon_days=-3", "greater than or equal to 2", "-3", "correct features.horizon_days"),
        ("bounds.mea={upper: 1, reason: no such metric}", "bounds of the metrics mae", "mea", "correct gates.bounds"),
        ("bounds.mae.uper=1", "a setting of clv", "gates.bounds.mae.uper", "did you mean gates.bounds?"),
        ("seed", "--set key=value", "'seed'", "add the value"),
        ("cutoff=2011-02-30", "features.cutoff", "'2011-02-30'", "correct features.cutoff"),
        ("bounds.future_gini.lower=.nan", "finite number", "nan", "correct gates.bounds"),
        ("bounds.future_bias.lower=0.5", "a lower bound at most the upper one", "0.5", "correct gates.bounds"),
        ("horizon_days=3000000", "less than or equal to 3660", "3000000", "correct features.horizon_days"),
        ("seed=99999999999", "less than or equal to 4294967295", "99999999999", "correct training.seed"),
        ("serving_tolerance=.inf", "less than or equal to 0.01", "inf", "correct gates.serving_tolerance"),
        ("destination=gs://", "gates.destination", "'gs://'", "correct gates.destination"),
        ("allowed_anomalies={x: ''}", "at least 10 characters", "''", "correct gates.allowed_anomalies"),
        ("line=My Shop", "data.line: String should match pattern", "'My Shop'", "correct data.line"),
    ],
)
def test_a_mistake_is_told_in_three_parts(assignment: str, expected: str, received: str, todo: str) -> None:
    with pytest.raises(UserError) as caught:
        clv(assignment)
    assert expected in caught.value.expected
    assert received in caught.value.received
    assert todo in caught.value.todo


# --- bounds of slices ------------------------------------------------------------------------------------


def test_a_slice_gets_a_bound_of_its_own_and_keeps_what_was_not_set() -> None:
    before = MODEL.settings().gates.bounds["future_bias"]
    for assignment in (
        "bounds.future_bias.at.frequency_band=1.upper=0.75",
        "gates.bounds.future_bias.at={frequency_band=1: {upper: 0.75}}",
    ):
        bound = clv(assignment).gates.bounds["future_bias"]
        assert bound.at["frequency_band=1"] == before.at["frequency_band=1"].model_copy(update={"upper": 0.75})
        assert (bound.lower, bound.slices) == (before.lower, before.slices)
    other = clv("bounds.future_gini.at.frequency_band=10+.lower=0.3").gates.bounds["future_gini"]
    assert other.on("frequency_band=10+") == Range(lower=0.3)
    assert other.on("frequency_band=4-9") == other.slices


@pytest.mark.parametrize(
    ("assignment", "expected", "received"),
    [
        ("bounds.future_bias.at.country=France.upper=1", "future_bias.at, such as frequency_band=", "'country=France'"),
        ("bounds.future_bias.at={overall: {upper: 1}}", "future_bias.at, such as frequency_band=", "'overall'"),
        ("bounds.future_bias.at.frequency_band=1.upper=high", "valid number", "'high'"),
        ("bounds.future_mae_increase.worsening=1", "compares with the champion by itself", "1"),
    ],
)
def test_a_mistake_in_a_bound_is_told(assignment: str, expected: str, received: str) -> None:
    with pytest.raises(UserError) as caught:
        clv(assignment)
    assert expected in caught.value.expected
    assert caught.value.received == received


def test_an_environment_holds_a_section_a_model(tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    file.write_text("clv: {training: {seed: 9}}\nother: {training: {seed: 1}}\n")
    assert read_environment(MODEL, file) == {"training": {"seed": 9}}
    file.write_text("other: {training: {seed: 1}}\n")
    assert read_environment(MODEL, file) == {}


@pytest.mark.parametrize("text", ["clv: 3\n", "- clv\n", "clv: {seed: [}\n"])
def test_an_environment_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(UserError, match=r"broken\.yaml"):
        read_environment(MODEL, tmp_path / "broken.yaml")


def test_a_missing_environment_names_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").touch()
    with pytest.raises(UserError, match="environments there: nightly"):
        read_environment(MODEL, tmp_path / "moon.yaml")


@pytest.mark.parametrize("tuning", ["search", "reuse"])
def test_a_model_that_cannot_be_searched_for_is_told_so(tuning: str) -> None:
    with pytest.raises(UserError) as caught:
        make_settings(find_model("colorizer"), {"training": {"tuning": tuning}})
    assert caught.value.expected.startswith("training.tuning=off")
    assert make_settings(MODEL, {"training": {"tuning": tuning}}).training.tuning == tuning


def test_line_and_horizon_name_a_pipeline_and_the_cutoff_does_not() -> None:
    assert pipeline_name(MODEL, clv("line=shop", "cutoff=2011-09-01")) == "clv-shop-horizon_days-91"
    assert pipeline_name(MODEL, clv("horizon_days=30")) == "clv-main-horizon_days-30"


# --- names of columns ------------------------------------------------------------------------------------


def test_a_column_gets_another_name_and_the_others_keep_theirs() -> None:
    settings = clv("columns.country=null", "columns.date=When")
    assert settings.data.model_dump()["columns"] == {
        "invoice": "InvoiceNo",
        "date": "When",
        "quantity": "Quantity",
        "unit_price": "UnitPrice",
        "customer_id": "CustomerID",
        "country": None,
    }


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("columns.customer=Kunde", r"one of the columns invoice, date, .*; received 'customer'; did you mean"),
        ("columns.date=null", "a column of the file for date, which cannot be done without"),
        ("columns.date=No", r"data.columns: .*valid string; received False"),
        ("separator=;", r"data.separator: .*'comma', 'semicolon', 'tab' or 'pipe'"),
        ("date_format=DD.MM.YYYY", r"data.date_format: .*day, month and year"),
    ],
)
def test_how_a_table_is_written_is_checked_in_plain_words(assignment: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        clv(assignment)
