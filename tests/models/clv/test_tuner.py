"""How a search scores training settings: by cross-validation inside of the training split."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow_transform as tft

from models.clv import features, preprocessing, search_space, trainer, tuner
from models.clv.naive import naive
from models.clv.search_space import SPACE, space_of
from models.clv.training_settings import Training
from pipeline.contract import Tuned

HORIZON = {"horizon_days": 91}
SHORT = Training(epochs=2, members=1, hidden_units=(), early_stopping=False).model_dump(mode="json")


def test_every_value_of_the_space_is_one_that_people_may_set() -> None:
    defaults = Training().model_dump(mode="json")
    for name, values in SPACE.items():
        assert len(set(values)) == len(values) > 1
        for value in values:
            assert getattr(Training.model_validate({name: value}), name) == value
        assert defaults[name] in [json.loads(json.dumps(value)) for value in values], f"the default {name} is tried"
    reference = space_of(Training(network="reference").model_dump())
    assert reference.keys() == SPACE.keys() - set(Training.without_reference)


def test_the_score_is_the_error_beside_the_rules_and_what_is_off_by_above_a_tenth() -> None:
    label, by_rule = np.array([0.0, 100, 300]), np.array([100.0, 100, 200])
    score = tuner.score_of
    assert score(label, np.array([0.0, 100, 300]), by_rule) == 0
    assert score(label, by_rule, by_rule) == 1
    assert score(label, np.array([20.0, 100, 300]), by_rule) == pytest.approx(0.1), "5 % too much is no matter"
    assert score(label, np.array([0.0, 100, 200]), by_rule) == pytest.approx(0.5 + 0.15), "25 % too little is"
    half_zeros = np.array([0.0, 0, 0, 400])
    median, mean = np.zeros(4), np.full(4, 100.0)
    assert np.abs(half_zeros - median).sum() < np.abs(half_zeros - mean).sum()
    assert score(half_zeros, mean, mean) < score(half_zeros, median, mean), "the median has less error, and no revenue"


@pytest.fixture(scope="module")
def parts(transformed: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    graph = tft.TFTransformOutput(transformed.graph)
    return tuner.split_by_customer([transformed.examples], graph, tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def predicted(transformed: Any, parts: list[str]) -> Any:
    """Label, prediction and the rule's answer of each row."""
    return tuner.cross_validated(parts, tft.TFTransformOutput(transformed.graph), SHORT, HORIZON)


def test_each_row_is_predicted_by_a_network_without_its_customer(transformed: Any, parts: list[str]) -> None:
    folds = []
    for file in parts:
        (rows,) = [rows for _, rows in tuner._blocks([file], tft.TFTransformOutput(transformed.graph))]
        folds.append(set(rows[preprocessing.FOLD].tolist()))
        assert min(folds[-1]) < trainer.HELD_OUT_FOLDS, "early stopping finds customers to hold out"
    assert sum(map(len, folds)) == len(set.union(*folds)), "no customer is in two parts"


def test_labels_and_the_rule_are_those_of_the_tables_rows_as_of_the_cutoff(predicted: Any, table: Any) -> None:
    label, _, by_rule = predicted
    table = {name: values[table[features.BEFORE_CUTOFF] == 0] for name, values in table.items()}
    assert sorted(label) == pytest.approx(sorted(table[features.FUTURE_LABEL].tolist()), rel=1e-6)
    known = {features.PAST: table[features.PAST]}
    known[features.TENURE] = table["customer_age"] + table[features.RECENCY]
    assert sorted(by_rule) == pytest.approx(sorted(naive(known, HORIZON) - table[features.PAST]), rel=1e-5)


def test_a_search_repeats_and_its_trainer_trains_with_what_was_found(
    transformed: Any, predicted: Any, tmp_path: Path
) -> None:
    config = {"training": SHORT, "trials": 1, "features": HORIZON}
    places = {"train_files": [transformed.examples], "transform_graph_path": transformed.graph}
    found = tuner.tuner_fn(SimpleNamespace(custom_config=config, **places))
    found.tuner.search(**found.fit_kwargs)
    best = found.tuner.get_best_hyperparameters()[0].get_config()
    tuned = Tuned.of(best)
    assert tuned.settings.keys() == search_space.SPACE.keys()
    assert (tuned.trials, tuned.score) == (1, tuner.score_of(*predicted))
    trainer.run_fn(
        SimpleNamespace(
            **places,
            serving_model_dir=str(tmp_path / "model"),
            model_run_dir=str(tmp_path / "run"),
            custom_config={"training": {**SHORT, "epochs": 1}, "checkpoints": None, "tuned": True},
            hyperparameters=best,
        )
    )
    told = json.loads((tmp_path / "run" / "training.json").read_text())
    assert told["epochs"] == tuned.settings["epochs"].found == SHORT["epochs"]
    assert Tuned.model_validate(told["tuned"]) == tuned
