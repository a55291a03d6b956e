"""`pipelines tensorboard`: a real TensorBoard on the logs of a training, asked as a browser asks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import pipelines

from models.board import Board
from runners.run import RunResult

BIN = Path(sys.executable).parent


def _record(root: Path, run_id: str, training: Path | None) -> None:
    folder = root / "records" / "clv-main" / run_id
    folder.mkdir(parents=True)
    known: dict[str, Any] = {name: {} for name in ("metrics", "counts", "settings", "data")}
    result = RunResult(
        run_id=run_id,
        pipeline="clv-main",
        outcome="pushed",
        nodes=[],
        checks=[],
        pushed=None,
        error=None,
        folder=str(folder),
        training=str(training) if training else None,
        **known,
    )
    (folder / "run.json").write_text(result.model_dump_json())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs as a team's root has them: an older training, a newer one, and a run that the data gate refused."""
    folder = tmp_path_factory.mktemp("tensorboard")
    for age, name in ((100, "older"), (0, "newer")):
        logs = folder / "artifacts" / "clv-main" / "Trainer" / "model_run" / f"of-{name}"
        board = Board(str(logs))
        board.write_scalars(1, {f"loss_{name}": 0.5})
        board.close()
        (log,) = logs.iterdir()
        os.utime(log, (log.stat().st_atime, log.stat().st_mtime - age))
        _record(folder, f"run-{name}", logs)
    _record(folder, "run-refused", None)
    return folder


@pytest.fixture
def serving(root: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a started TensorBoard; it ends as with Ctrl-C, and leaves nothing running."""
    command = [str(BIN / "pipelines"), "tensorboard", *request.param, "--root", str(root), "--port", "0"]
    environment = {**os.environ, "COLUMNS": "160"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        address = re.search(r"http://localhost:\d+/", said)
        assert address, said
        yield address[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def _scalar_tags(address: str) -> set[str]:
    with urllib.request.urlopen(urllib.parse.urljoin(address, "data/plugin/scalars/tags"), timeout=60) as answer:
        return {tag for run in json.load(answer).values() for tag in run}


@pytest.mark.parametrize(
    ("serving", "tag"),
    [([], "loss_newer"), (["run-older"], "loss_older")],
    indirect=["serving"],
    ids=["newest", "named"],
)
def test_it_shows_the_curves_of_a_training(serving: str, tag: str) -> None:
    with urllib.request.urlopen(serving, timeout=60) as page:
        assert b"<title>TensorBoard</title>" in page.read()
    deadline = time.monotonic() + 60
    while not (tags := _scalar_tags(serving)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert tags == {tag}


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        (["run-none"], "'run-none' (the last ones there: run-newer, run-older, run-refused)"),
        (["run-refused"], "run-refused, which has none"),
        (["--root", "empty"], "none"),
    ],
)
def test_what_is_not_there_is_told(root: Path, tmp_path: Path, arguments: list[str], received: str) -> None:
    done = pipelines("tensorboard", "--root", root, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Received: {received}" in done.stderr
    assert "Traceback" not in done.stderr
