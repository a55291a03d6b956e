"""Defaults that come with a reference network, as people type settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import pipelines

from models.clv import MODEL as CLV
from models.colorizer import MODEL as COLORIZER
from pipeline.contract import Model, UserError
from pipeline.settings import make_settings, read_assignments

LAB = {"batch_size": 32, "learning_rate": 0.001, "hidden_units": [256], "dropout": 0.2, "epochs": 20}
LITERATURE = {"batch_size": 128, "learning_rate": 2e-4, "decay": False, "beta_1": 0.5, "augmentation": False}


def training(model: Model, *assignments: str, env: dict[str, Any] | None = None) -> dict[str, Any]:
    settings = make_settings(model, env or {}, read_assignments(model, assignments))
    return settings.training.model_dump(mode="json")


@pytest.mark.parametrize(("model", "preset"), [(CLV, LAB), (COLORIZER, LITERATURE)], ids=["clv", "colorizer"])
def test_the_reference_brings_its_own_defaults(model: Model, preset: dict[str, Any]) -> None:
    chosen = training(model, "network=reference")
    assert preset.items() <= chosen.items()
    assert not preset.items() <= training(model).items()
    assert training(model, "training.network=reference") == chosen


@pytest.mark.parametrize("model", [CLV, COLORIZER], ids=["clv", "colorizer"])
def test_what_people_set_goes_over_them(model: Model) -> None:
    default = training(model)["batch_size"]
    chosen = training(model, "network=reference")
    assert training(model, "network=reference", f"batch_size={default}") == {**chosen, "batch_size": default}
    assert training(model, f"batch_size={default}", "network=reference")["batch_size"] == default
    assert training(model, "network=reference", env={"training": {"batch_size": 8}})["batch_size"] == 8
    under = {"training": {"network": "reference", "batch_size": 8}}
    assert training(model, f"network={training(model)['network']}", env=under) == {**training(model), "batch_size": 8}


@pytest.mark.parametrize(
    ("model", "setting"),
    [(CLV, "members=3"), (CLV, "tweedie_power=1.2"), (CLV, "mae_weight=0"), (COLORIZER, "filters=[8, 8]")],
)
def test_what_a_reference_has_no_use_for_cannot_be_set_with_it(model: Model, setting: str) -> None:
    name = setting.partition("=")[0]
    with pytest.raises(UserError, match=f"network=reference without {name}"):
        training(model, "network=reference", setting)
    assert training(model, setting)["network"] != "reference"


def test_settings_of_a_record_are_read_again_as_they_were() -> None:
    for model in (CLV, COLORIZER):
        made = make_settings(model, read_assignments(model, ["network=reference", "batch_size=8", "seed=3"]))
        assert make_settings(model, made.model_dump(mode="json")) == made


def test_the_command_line_shows_them(tmp_path: Path) -> None:
    shown = pipelines("settings", "clv", "--set", "network=reference", "--set", "batch_size=64", cwd=tmp_path)
    assert {**LAB, "batch_size": 64}.items() <= yaml.safe_load(shown.stdout)["training"].items()
    wrong = pipelines("settings", "clv", "--set", "network=reference", "--set", "members=3", cwd=tmp_path)
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
