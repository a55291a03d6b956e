"""A search with KerasTuner: what is tried, what is kept, and what a trial may raise."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from models import tuning
from pipeline.contract import Sought, Tuned, UserError, tuned_config
from runners.events import Epoch, training_told_to

GIVEN = {"seed": 0, "rate": 0.1, "units": [32, 16], "kept": "as it is"}
SPACE: tuning.Space = {"rate": (0.01, 0.1, 1.0), "units": ((), (8,))}


def searched(score: Callable[[dict[str, Any]], float], trials: int = 99) -> dict[str, Any]:
    """The best HyperParameters of nine sets of values, as TFX's Tuner writes them and its Trainer reads them."""
    found = tuning.search(score, GIVEN, SPACE, trials=trials, objective="a distance")
    found.tuner.search(**found.fit_kwargs)
    read: dict[str, Any] = json.loads(json.dumps(found.tuner.get_best_hyperparameters()[0].get_config()))
    return read


def test_a_search_finds_the_best_that_it_tried_and_tries_what_was_given_first() -> None:
    tried: list[dict[str, Any]] = []
    told: list[Epoch] = []

    def distance(settings: dict[str, Any]) -> float:
        return abs(math.log(settings["rate"])) + len(settings["units"])

    def score(settings: dict[str, Any]) -> float:
        tried.append(settings)
        return distance(settings)

    with training_told_to(told.append):
        found = Tuned.of(searched(score))
    best = min(tried, key=distance)
    assert tried[0] == GIVEN
    assert all(each["kept"] == "as it is" for each in tried)
    assert 6 <= len({json.dumps(each) for each in tried}) == len(tried) == found.trials <= 9, "no set is tried twice"
    assert found.settings["rate"] == Sought(given=0.1, tried=(0.01, 0.1, 1.0), found=best["rate"])
    assert found.settings["units"] == Sought(given=[32, 16], tried=([], [8], [32, 16]), found=best["units"])
    assert (found.score, found.given, found.objective) == (distance(best), distance(GIVEN), "a distance")
    assert found.over(GIVEN) == best != GIVEN
    assert [each.epoch for each in told] == [*range(1, found.trials + 1)]
    assert told[-1].values["best"] == found.score


def test_the_same_seed_tries_the_same_and_what_was_given_wins_a_tie() -> None:
    def values(settings: dict[str, Any]) -> float:
        tried.append(json.dumps(settings))
        return math.nan

    tried: list[str] = []
    found = Tuned.of(searched(values, trials=4))
    first, tried = tried, []
    assert Tuned.of(searched(values, trials=4)) == found
    assert tried == first
    assert (found.trials, found.score, found.over(GIVEN)) == (4, None, GIVEN)


def test_what_a_trial_raises_ends_the_search_as_it_is() -> None:
    mistake = UserError(expected="more rows", received="few", todo="bring more")

    def score(settings: dict[str, Any]) -> float:
        raise mistake

    with pytest.raises(UserError) as caught:
        searched(score)
    assert caught.value is mistake


def test_a_trainer_that_must_reuse_a_search_is_told_of_none() -> None:
    """As on Vertex AI, where nobody can look before the run."""
    told = SimpleNamespace(custom_config={"training": GIVEN, "tuned": True}, hyperparameters=None)
    with pytest.raises(UserError, match="search first"):
        tuned_config(told)
    told.custom_config.pop("tuned")
    assert tuned_config(told) == ({"training": GIVEN}, None)
    told.hyperparameters = searched(lambda settings: settings["rate"], trials=9)
    config, tuned = tuned_config(told)
    assert config == {"training": {**GIVEN, "rate": 0.01, "units": tuned and tuned.settings["units"].found}}
