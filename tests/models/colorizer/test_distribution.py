"""Training on several devices and on several machines, in processes of their own: two CPUs, two workers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from discs import discs, tiny_network, write_examples

from models.colorizer import distribution, loop, pictures
from models.colorizer.board import Board
from models.colorizer.training_settings import Training
from pipeline.contract import UserError

SETTINGS = Training(epochs=2, batch_size=4, augmentation=False, early_stopping=False, members=1, filters=(8, 8))
MIRRORED = """
import sys
import numpy as np
import tensorflow as tf
from discs import discs, tiny_network
from models.colorizer import distribution, loop, pictures
from models.colorizer.training_settings import Training

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
settings = Training.model_validate_json(sys.argv[1]).model_dump()
strategy = distribution.strategy("mirrored")
assert strategy.num_replicas_in_sync == 2
loaded = pictures.Loaded(discs(21), discs(3, seed=6))
normalized = loop.Training(lambda: tiny_network(normalized=True), loaded, settings, strategy)
for epoch in normalized.epochs():
    assert epoch.held_out_loss is not None
for variable in normalized.model.variables:
    copies = [copy.numpy() for copy in strategy.experimental_local_results(variable.value)]
    assert len(copies) == 2
    np.testing.assert_array_equal(*copies, err_msg=variable.path)
moved = [v for v in normalized.model.variables if v.path.endswith("moving_mean")]
assert moved and all(np.abs(v.numpy()).max() > 0 for v in moved)
plain = loop.Training(tiny_network, loaded._replace(held_out=None), settings, strategy)
assert len(list(plain.epochs())) == settings["epochs"]
np.savez(sys.argv[2], *[v.numpy() for v in plain.model.variables])
"""
WORKER = """
import json, os, sys
from types import SimpleNamespace
import numpy as np
from models.colorizer import distribution, trainer

folder, examples, settings = sys.argv[1:]
trainer.run_fn(SimpleNamespace(
    train_files=[examples],
    serving_model_dir=f"{folder}/model",
    model_run_dir=f"{folder}/run",
    custom_config={"training": json.loads(settings), "checkpoints": f"{os.path.dirname(folder)}/checkpoints"},
))
from discs import discs, tiny_network
from models.colorizer import loop, pictures
from models.colorizer.training_settings import Training

strategy = distribution.strategy("multi_worker")
plain = {**json.loads(settings), "augmentation": False, "epochs": 2}
training = loop.Training(tiny_network, pictures.Loaded(discs(21), None), plain, strategy)
assert len(list(training.epochs())) == 2
np.savez(f"{folder}.npz", *[v.numpy() for v in training.model.variables])
number = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
print(json.dumps([distribution.differs(strategy, 3), distribution.differs(strategy, number)]))
"""


@pytest.fixture(scope="module")
def on_one() -> list[Any]:
    """Weights of one replica that sees as many pictures a step as two of the others do together."""
    settings = SETTINGS.model_copy(update={"batch_size": 8}).model_dump()
    strategy = distribution.strategy("single")
    assert strategy.num_replicas_in_sync == 1
    outcome = loop.fit(tiny_network, pictures.Loaded(discs(21), None), settings, strategy, board=Board(None, discs(1)))
    return outcome.weights


def _process(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    return out


def _assert_same_weights(path: Path, expected: list[Any]) -> None:
    found = np.load(path)
    assert len(found.files) == len(expected)
    for name, values in zip(found.files, expected, strict=True):
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6)


def _two_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for found in (one, other):
            found.bind(("localhost", 0))
        return [found.getsockname()[1] for found in (one, other)]


def test_two_devices_with_half_of_each_batch_do_what_one_does_with_all(on_one: list[Any], tmp_path: Path) -> None:
    """Also that batch norm's statistics end alike on both, which the code of the process checks."""
    _finish(_process(MIRRORED, SETTINGS.model_dump_json(), str(tmp_path / "weights.npz")))
    _assert_same_weights(tmp_path / "weights.npz", on_one)


def test_two_workers_do_the_same_and_only_the_chief_writes(on_one: list[Any], tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples.gz", discs(21))
    settings = SETTINGS.model_copy(update={"distribution": "multi_worker", "epochs": 1}).model_dump_json()
    cluster = {"worker": [f"localhost:{port}" for port in _two_ports()]}
    workers = [
        _process(
            WORKER,
            str(tmp_path / f"worker{index}"),
            examples,
            settings,
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in range(2)
    ]
    for worker in workers:
        assert json.loads(_finish(worker).splitlines()[-1]) == [False, True]
    for index in range(2):
        _assert_same_weights(tmp_path / f"worker{index}.npz", on_one)
    assert (tmp_path / "worker0" / "model" / "saved_model.pb").is_file()
    report = json.loads((tmp_path / "worker0" / "run" / "training.json").read_text())
    assert (report["replicas"], report["rows"], report["epochs"]) == (2, 21, 1)
    assert not (tmp_path / "worker1").exists()
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_workers_need_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=r"expected the environment variable TF_CONFIG.*training\.distribution"):
        distribution.strategy("multi_worker")


def test_workers_need_a_process_of_their_own(on_one: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"worker": [f"localhost:{port}" for port in _two_ports()]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}}))
    with pytest.raises(UserError, match="expected a process in which TensorFlow was not used"):
        distribution.strategy("multi_worker")
