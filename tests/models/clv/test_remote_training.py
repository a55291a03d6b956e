"""Training by TFX's own executor where examples, graph, model and checkpoints are at an address such as gs://."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from remote_artifacts import interrupted_after, read, train, upload

from models.clv import features, serving
from models.clv.training_settings import Training

SETTINGS = Training(epochs=4, batch_size=64, members=1, hidden_units=(4,))


def test_an_interrupted_training_goes_on_and_a_server_loads_the_model(
    transformed: Any, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in tf.io.gfile.glob(transformed.examples):
        tf.io.gfile.makedirs("ram://clv/examples/Split-train")
        tf.io.gfile.copy(file, f"ram://clv/examples/Split-train/{Path(file).name}")
    upload(transformed.graph, "ram://clv/graph")
    with interrupted_after(2):
        train("models.clv.trainer.run_fn", "ram://clv", SETTINGS)
    assert not tf.io.gfile.exists("ram://clv/model/Format-Serving")

    train("models.clv.trainer.run_fn", "ram://clv", SETTINGS)

    told = json.loads(read("ram://clv/run/training.json"))
    assert (told["resumed_from"], told["epochs"]) == (2, 4)
    assert tf.io.gfile.glob("ram://clv/run/events.out.tfevents.*")
    assert tf.io.gfile.listdir("ram://clv/checkpoints") == []
    model = tf.saved_model.load("ram://clv/model/Format-Serving")
    asked = {name: tf.constant(table[name][:3], kind) for name, kind in serving.input_types().items()}
    assert model.signatures["serving_default"](**asked)[features.FUTURE].shape == (3,)
    assert list(tmp_path.iterdir()) == []
