"""Training outside of the DAG: with the smallest model on each kind of examples, and as Vertex runs the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny

from pipeline.contract import UserError
from pipeline.gate import GateRefusal
from runners.events import NodeEvent
from runners.training_job import LAST_NODE, run_job
from runners.training_options import Places, Records, Transformed, find_places

PROJECT = Path(__file__).parents[2]


def train(
    folder: Path, source: Transformed | Records | Path | None, offset: float = 0.0
) -> tuple[Places, list[NodeEvent]]:
    places, events = find_places(folder / "trained", {}), list[NodeEvent]()
    layers = ({"training": {"offset": offset}},)
    run_job(tiny.MODEL, source, layers, root=folder / "runs", places=places, observe=events.append)
    return places, events


def answer(model: str, x: float) -> float:
    """Of a saved model, to one row."""
    signature = tf.saved_model.load(model).signatures["serving_default"]
    return float(np.ravel(signature(x=tf.constant([x]))["predicted"])[0])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def from_raw(root: Path) -> tuple[Places, list[NodeEvent]]:
    return train(root, None)


def test_raw_data_go_through_the_dag_up_to_transform(from_raw: tuple[Places, list[NodeEvent]]) -> None:
    places, events = from_raw
    assert answer(places.model, 4.0) == pytest.approx(14.0, abs=1e-3)
    ended = [event.node for event in events if event.state == "run"]
    assert "DataGate" in ended
    assert ended[-1] == LAST_NODE
    assert {event.node for event in events} == set(ended)


def test_what_a_transform_wrote_is_trained_on_as_it_is(
    from_raw: tuple[Places, list[NodeEvent]], root: Path, tmp_path: Path
) -> None:
    artifacts = root / "runs" / "artifacts" / "tiny-sample-training" / "Transform"
    (examples,) = (artifacts / "transformed_examples").iterdir()
    (graph,) = (artifacts / "transform_graph").iterdir()
    places, events = train(tmp_path, Transformed(str(examples), str(graph)), offset=5.0)
    assert answer(places.model, 4.0) == pytest.approx(19.0, abs=1e-3)
    assert events == []
    with pytest.raises(UserError, match="as Transform writes it"):
        train(tmp_path, Transformed(str(graph), str(examples)))


def test_raw_examples_of_another_place_are_transformed_first(
    from_raw: tuple[Places, list[NodeEvent]], root: Path, tmp_path: Path
) -> None:
    (examples,) = (root / "runs" / "artifacts" / "tiny-sample-training" / "ExampleGen" / "examples").iterdir()
    patterns = {split: f"{examples}/Split-{split}/*.gz" for split in ("train", "eval", "test")}
    places, _ = train(tmp_path, Records(patterns))
    assert answer(places.model, 4.0) == pytest.approx(14.0, abs=1e-3)


def test_data_that_the_gate_refuses_train_nothing(tmp_path: Path) -> None:
    tiny.write_sample(tmp_path / "data.csv")
    with (tmp_path / "data.csv").open("a", newline="") as file:
        file.write("600,-1,5\r\n")
    with pytest.raises(GateRefusal, match="negative x"):
        train(tmp_path, tmp_path / "data.csv")
    assert not (tmp_path / "trained").exists()


# --- the command, as a container of Vertex's runs it ---------------------------------------------------


def test_the_command_trains_as_vertex_tells_it(tmp_path: Path) -> None:
    told = {
        "AIP_MODEL_DIR": f"{tmp_path}/model/",
        "AIP_CHECKPOINT_DIR": f"{tmp_path}/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"{tmp_path}/logs/",
        "CLOUD_ML_TRIAL_ID": "2",
        "CLOUD_ML_HP_METRIC_FILE": f"{tmp_path}/metrics",
    }
    flags = ["--epochs", "2", "--virtual_epochs=2", "--members", "1", "--learning-rate", "0.004"]
    command = [str(Path(sys.executable).parent / "pipelines"), "train", "clv", "--root", str(tmp_path / "runs"), *flags]
    environment = {**os.environ, **told, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "epoch 2 of 2: loss " in done.stdout
    assert f"Model: {tmp_path}/model\n" in done.stdout
    model = tf.saved_model.load(f"{tmp_path}/model")
    assert "serving_default" in model.signatures
    trained = json.loads((tmp_path / "logs" / "training.json").read_text())
    assert trained["epochs"] == 2
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))
    last = json.loads((tmp_path / "metrics").read_text().splitlines()[-1])
    assert (last["trial"], last["global_step"]) == ("2", "2")
