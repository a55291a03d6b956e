"""kill -9: while a model is being pushed, nothing half-made is visible; while one is trained, the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import tiny

from models.colorizer import MODEL as COLORIZER
from models.colorizer.sample import write_sample
from pipeline.push import verify, versions
from runners.events import NodeEvent
from runners.local import execute
from runners.run import prepare

PROGRAM = textwrap.dedent("""
    import os, signal, sys, threading, time
    from pathlib import Path
    import tiny
    from runners.local import execute
    from runners.run import prepare

    root = Path(sys.argv[1])

    def kill_once_something_is_written():
        while not any((root / "pushed").rglob(".incoming/*")):
            time.sleep(0.0005)
        os.kill(os.getpid(), signal.SIGKILL)

    def observe(event):
        if (event.node, event.state) == ("Pusher", "started"):
            threading.Thread(target=kill_once_something_is_written, daemon=True).start()

    execute(prepare(tiny.MODEL, root), observe)
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


PLAIN = ["--set", "epochs=40", "--set", "early_stopping=false", "--set", "members=1"]


def test_a_killed_training_goes_on_where_its_last_checkpoint_was(tmp_path: Path) -> None:
    root, pictures = tmp_path / "runs", tmp_path / "sample.zip"
    write_sample(pictures, pictures=130)
    settings = {"features": {"size": 64}, "training": {"epochs": 40, "early_stopping": False, "members": 1}}
    command = [str(Path(sys.executable).parent / "pipelines"), "run", "colorizer", "--root", str(root)]
    chosen = ["--data", str(pictures), "--set", "size=64", *PLAIN]
    running = subprocess.Popen([*command, *chosen], stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 600
    # TensorFlow's list of checkpoints is written last.
    while not [path for path in (root / "checkpoints").rglob("checkpoint") if path.is_file()]:
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()

    events: list[NodeEvent] = []
    result = execute(prepare(COLORIZER, root, data=pictures, layers=(settings,)), events.append)
    assert {node.name for node in result.nodes if node.state == "cached"} >= {"ExampleGen", "DataGate", "Transform"}
    (record,) = (root / "artifacts" / result.pipeline / "Trainer" / "model_run").rglob("training.json")
    told = json.loads(record.read_text())
    assert told["resumed_from"] >= 1
    assert told["epochs"] == 40
    epochs = [event.epoch.epoch for event in events if event.epoch]
    assert epochs == list(range(told["resumed_from"] + 1, 41))
