"""Training by TFX's own executor where examples, model and checkpoints are at an address such as gs://."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf
from discs import discs, write_examples
from remote_artifacts import interrupted_after, read, train, upload

from models.colorizer import augment
from models.colorizer.training_settings import Training

SETTINGS = Training(epochs=3, batch_size=16, members=1, filters=(4, 4))


def test_an_interrupted_training_goes_on_and_a_server_loads_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    write_examples(tmp_path / "examples" / "data.gz", discs(40))
    upload(tmp_path / "examples", "ram://colorizer/examples/Split-train")
    with interrupted_after(2):
        train("models.colorizer.trainer.run_fn", "ram://colorizer", SETTINGS)
    assert not tf.io.gfile.exists("ram://colorizer/model/Format-Serving")

    train("models.colorizer.trainer.run_fn", "ram://colorizer", SETTINGS)

    told = json.loads(read("ram://colorizer/run/training.json"))
    assert (told["resumed_from"], told["epochs"]) == (2, 3)
    assert tf.io.gfile.glob("ram://colorizer/run/events.out.tfevents.*")
    assert tf.io.gfile.listdir("ram://colorizer/checkpoints") == []
    gray, _ = augment.plain(discs(1))
    model = tf.saved_model.load("ram://colorizer/model/Format-Serving")
    assert model.signatures["serving_default"](gray=gray)["rgb"].shape == (1, 16, 16, 3)
    assert list((tmp_path / "empty").iterdir()) == []
