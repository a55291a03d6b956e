"""kill -9: while a model is being pushed, nothing half-made is visible; while one is trained, the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tensorflow as tf
import tiny

from models import clv, colorizer
from models.clv import sample as clv_sample
from models.colorizer import sample as colorizer_sample
from pipeline.contract import Model
from pipeline.push import verify, versions
from runners.events import NodeEvent
from runners.local import execute
from runners.records import find_record
from runners.reports.report import report_of
from runners.run import prepare
from runners.tensorboard import find_training

PROGRAM = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    import tiny
    from runners.local import execute
    from runners.run import prepare

    opened = []

    def kill_at_the_second_file_that_is_pushed(event, arguments):
        if event == "open" and "/.incoming" in str(arguments[0]):
            opened.append(arguments[0])
            if len(opened) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill_at_the_second_file_that_is_pushed)
    execute(prepare(tiny.MODEL, Path(sys.argv[1])))
""")


def test_a_killed_push_leaves_nothing_visible_and_the_next_run_pushes(tmp_path: Path) -> None:
    support = str(Path(tiny.__file__).parents[1])
    program = f"import sys; sys.path.insert(0, {support!r})\n{PROGRAM}"
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=False)
    destination = str(tmp_path / "pushed" / "tiny-sample")
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert versions(destination) == []

    result = execute(prepare(tiny.MODEL, tmp_path))
    assert result.outcome == "pushed"
    assert [node.name for node in result.nodes if node.state == "run"] == ["Pusher"]
    (version,) = versions(destination)
    assert verify(Path(version.path)).run == result.run_id
    assert [path.name for path in Path(destination).iterdir() if path.is_dir()] == [str(version.number)]


class Training(NamedTuple):
    """A training that takes a while, of a model on a small sample of its own."""

    model: Model
    sample: Callable[[Path], None]
    suffix: str
    settings: dict[str, dict[str, Any]]


COLORIZER = Training(
    model=colorizer.MODEL,
    sample=partial(colorizer_sample.write_sample, pictures=130),
    suffix=".zip",
    settings={"features": {"size": 64}, "training": {"epochs": 40, "early_stopping": False, "members": 1}},
)
CLV = Training(
    model=clv.MODEL,
    sample=partial(clv_sample.write_sample, customers=1500),
    suffix=".csv",
    settings={"training": {"epochs": 400, "virtual_epochs": 40, "early_stopping": False, "members": 1}},
)


@pytest.mark.parametrize("training", [COLORIZER, CLV], ids=["colorizer", "clv"])
def test_a_killed_training_goes_on_where_its_last_checkpoint_was(training: Training, tmp_path: Path) -> None:
    root, data = tmp_path / "runs", tmp_path / f"sample{training.suffix}"
    training.sample(data)
    _kill_in_training(training, root, data)
    killed = report_of(root, find_record(root, None).run_id)
    assert killed
    assert "Unfinished" in killed.read_text()
    assert 'id="node-Trainer"' in killed.read_text()

    events: list[NodeEvent] = []
    result = execute(prepare(training.model, root, data=data, layers=(training.settings,)), events.append)
    assert {node.name for node in result.nodes if node.state == "cached"} >= {"ExampleGen", "DataGate", "Transform"}
    (record,) = (root / "artifacts" / result.pipeline / "Trainer" / "model_run").rglob("training.json")
    told = json.loads(record.read_text())
    assert told["resumed_from"] >= 1
    assert told["epochs"] == 40
    assert [event.epoch.epoch for event in events if event.epoch] == list(range(told["resumed_from"] + 1, 41))
    assert not list((root / "checkpoints").rglob("*.index"))
    assert find_training(root, result.run_id) == find_training(root, None) == record.parent
    (log,) = record.parent.glob("events.out.tfevents.*")
    written = tf.compat.v1.train.summary_iterator(str(log))
    losses = [event.step for event in written for value in event.summary.value if value.tag == "loss"]
    assert losses == list(range(1, 41))


def _kill_in_training(training: Training, root: Path, data: Path) -> None:
    command = [str(Path(sys.executable).parent / "pipelines"), "run", training.model.name, "--root", str(root)]
    chosen = [f"{part}.{name}={value}" for part in training.settings for name, value in training.settings[part].items()]
    command += ["--data", str(data), *(word for setting in chosen for word in ("--set", setting))]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 600
    # TensorFlow's list of checkpoints is written last.
    while not [path for path in (root / "checkpoints").rglob("checkpoint") if path.is_file()]:
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
