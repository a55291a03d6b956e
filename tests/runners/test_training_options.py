"""Flags, AIP_* variables and sources of a training job: what is understood, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.clv import MODEL
from pipeline.contract import UserError
from runners.events import Epoch
from runners.training_options import (
    Places,
    Records,
    Transformed,
    check_source,
    check_untuned,
    find_places,
    find_records,
    find_source,
    mounted,
    read_flags,
)
from runners.trial import KEPT, Trial

URIS = {
    "AIP_TRAINING_DATA_URI": "gs://bucket/examples/train-*",
    "AIP_VALIDATION_DATA_URI": "gs://bucket/examples/validation-*",
    "AIP_TEST_DATA_URI": "gs://bucket/more/test-*",
}


# --- flags ---------------------------------------------------------------------------------------------


def test_every_spelling_of_a_flag_is_understood() -> None:
    words = ["--learning-rate", "0.01", "--batch_size=16", "--training.seed", "3", "--hidden-units=[8, 4]"]
    expected = ["learning_rate=0.01", "batch_size=16", "seed=3", "hidden_units=[8, 4]"]
    assert read_flags(MODEL, words) == [f"training.{pair}" for pair in expected]


@pytest.mark.parametrize("tuning", ["search", "reuse"])
def test_a_training_job_searches_for_nothing(tuning: str) -> None:
    with pytest.raises(UserError) as caught:
        check_untuned(MODEL, ({"training": {"tuning": tuning}},))
    assert (caught.value.received, "--set tuning=search" in caught.value.todo) == (f"training.tuning={tuning}", True)
    check_untuned(MODEL, ({"training": {"seed": 8}},))


def test_a_negative_number_is_a_value() -> None:
    assert read_flags(MODEL, ["--learning-rate", "-1e-3"]) == ["training.learning_rate=-1e-3"]


@pytest.mark.parametrize(
    ("words", "received", "todo"),
    [
        (["--learnin-rate", "1"], "--learnin-rate", "did you mean --learning-rate"),
        (["--cutoff", "2011-09-01"], "--cutoff", "--set"),
        (["epochs", "3"], "epochs", "--epochs"),
        (["--epochs"], "none", "--epochs VALUE"),
        (["--epochs", "--seed", "3"], "none", "--epochs VALUE"),
    ],
)
def test_a_wrong_flag_is_refused(words: list[str], received: str, todo: str) -> None:
    with pytest.raises(UserError) as refusal:
        read_flags(MODEL, words)
    assert refusal.value.received == received
    assert todo in refusal.value.todo


# --- where to write ------------------------------------------------------------------------------------


def test_vertex_says_where_to_write_and_the_own_folder_does_otherwise(tmp_path: Path) -> None:
    environment = {"AIP_MODEL_DIR": "gs://bucket/model/", "AIP_TENSORBOARD_LOG_DIR": "gs://bucket/logs/"}
    assert find_places(tmp_path, environment) == Places(
        model="gs://bucket/model", logs="gs://bucket/logs", checkpoints=str(tmp_path / "checkpoints")
    )


# --- what to read --------------------------------------------------------------------------------------


def test_vertex_says_what_to_read() -> None:
    source = find_source(None, None, None, URIS)
    assert isinstance(source, Records)
    folder, patterns = source.below()
    assert folder == "gs://bucket"
    assert patterns == {"train": "examples/train-*", "eval": "examples/validation-*", "test": "more/test-*"}


def test_what_is_typed_goes_before_what_vertex_says() -> None:
    assert find_source(None, "a/", "b", URIS) == Transformed("a", "b")
    assert find_source("shop.csv", None, None, URIS) == Path("shop.csv")
    assert find_source(None, None, None, {}) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AIP_TRAINING_DATA_URI": "gs://bucket/train-*"}, "all of AIP_TRAINING_DATA_URI"),
        ({**URIS, "AIP_DATA_FORMAT": "jsonl"}, "AIP_DATA_FORMAT=tfrecord"),
        ({**URIS, "AIP_DATA_FORMAT": "bigquery"}, "AIP_DATA_FORMAT=tfrecord"),
    ],
)
def test_examples_that_cannot_be_used_are_refused(environment: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        find_records(environment)


def test_examples_in_two_buckets_are_refused() -> None:
    with pytest.raises(UserError, match="below one folder or bucket"):
        Records({"train": "gs://my-a/t-*", "eval": "gs://my-b/e-*", "test": "gs://my-a/s-*"}).below()


@pytest.mark.parametrize(
    "typed", [("shop.csv", "a", "b"), (None, "a", None), (None, None, "b"), ("shop.csv", None, "b")]
)
def test_sources_that_do_not_go_together_are_refused(typed: tuple[str | None, str | None, str | None]) -> None:
    with pytest.raises(UserError, match="--examples together with --transform-graph"):
        check_source(*typed)


def test_a_bucket_that_is_not_mounted_is_refused() -> None:
    with pytest.raises(UserError, match=r"gs://no-such-bucket/shop\.csv at /gcs/no-such-bucket/shop\.csv"):
        mounted("gs://no-such-bucket/shop.csv")


# --- a tuning job's trial ------------------------------------------------------------------------------


def test_a_trial_tells_the_newest_epochs_in_vertexs_file(tmp_path: Path) -> None:
    file = tmp_path / "hypertune" / "output.metrics"
    trial = Trial({"CLOUD_ML_TRIAL_ID": "4", "CLOUD_ML_HP_METRIC_FILE": str(file)})
    for number in range(1, KEPT + 1):
        trial.tell(Epoch(number, KEPT, {"loss": 1 / number, "val_loss": 2.0, "held_out_loss": None}))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == KEPT
    assert {key: lines[-1][key] for key in ("trial", "global_step", "val_loss")} == {
        "trial": "4",
        "global_step": str(KEPT),
        "val_loss": "2.0",
    }
    assert lines[-2]["loss"] == "0.01"


def test_outside_of_a_tuning_job_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "output.metrics"
    Trial({"CLOUD_ML_HP_METRIC_FILE": str(file)}).tell(Epoch(1, 1, {"loss": 1.0}))
    assert not file.exists()
