"""What people and programs see of a run while it goes on, and what Ctrl-C leaves: real processes, a real terminal."""

from __future__ import annotations

import fcntl
import io
import json
import math
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import THIS
from rich.console import Console

from models.clv import MODEL
from pipeline.contract import tell_epoch
from runners.events import Epoch, NodeEvent, training_told_to
from runners.interrupt import SIGNALS, catching
from runners.local import locked
from runners.progress import JsonLines, Lines
from runners.run import RunResult

EPOCHS = MODEL.settings().training.model_dump()["epochs"]
COMMAND = [str(THIS / "bin" / "pipelines"), "run", "clv"]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Stopped(NamedTuple):
    """A run that got a Ctrl-C in mid-training: what it said, and what was there right after it."""

    root: Path
    exit_code: int
    events: list[dict[str, Any]]
    stderr: str
    record: dict[str, Any]
    processes: bool
    files: list[str]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    folder = tmp_path_factory.mktemp("progress")
    command = [*COMMAND, "--json"]
    running = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdout is not None
    events = []
    for line in running.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "epoch" and events[-1]["epoch"] == 1:
            os.kill(running.pid, signal.SIGINT)
    _, stderr = running.communicate()
    root = folder / "runs"
    (record,) = root.glob("records/*/*/run.json")
    files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    alive = is_alive(running.pid)
    return Stopped(root, running.returncode, events, stderr, json.loads(record.read_text()), alive, files)


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def of(stopped: Stopped, kind: str, **fields: object) -> list[dict[str, Any]]:
    return [found for found in stopped.events if {"event": kind, **fields}.items() <= found.items()]


# --- JSON lines ------------------------------------------------------------------------------------------


def test_json_lines_tell_of_nodes_epochs_and_checks(stopped: Stopped) -> None:
    assert [found["event"] for found in stopped.events[:2]] == ["run", "node"]
    assert len(of(stopped, "node", state="waiting")) == 12
    (generated,) = of(stopped, "node", node="ExampleGen", state="run")
    assert generated["seconds"] > 0
    assert list(generated["examples"]) == ["train", "eval", "test", "earlier"]
    assert generated["examples"]["train"] > generated["examples"]["test"] > 100
    (gate,) = of(stopped, "node", node="DataGate", state="run")
    assert {"metric": "quarantined share", "passed": True}.items() <= gate["checks"][0].items()
    first = of(stopped, "epoch")[0]
    assert (first["node"], first["epoch"], first["epochs"]) == ("Trainer", 1, EPOCHS)
    assert first["values"]["loss"] > 0


def test_a_pushed_result_names_the_version(pushed: str, stopped: Stopped) -> None:
    newest = max((stopped.root / "records").glob("*/*/run.json"))
    result = RunResult.model_validate_json(newest.read_bytes())
    out = io.StringIO()
    JsonLines(Console(file=out)).end(result)
    told = json.loads(out.getvalue())
    assert (told["event"], told["outcome"], told["exit_code"]) == ("result", "pushed", 0)
    assert (Path(told["pushed"]) / "saved_model.pb").is_file()
    assert {check["gate"] for check in told["checks"]} == {"data", "serving", "model"}
    assert set(told["metrics"]) == {"eval", "test", "train"}


def test_a_mistake_is_a_result_too(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "--data", "nowhere.csv", "--json"], cwd=tmp_path, capture_output=True, text=True)
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert done.returncode == told["exit_code"] == 2
    assert told["outcome"] == "mistake"
    assert "nowhere.csv" in told["received"]
    assert "What to do" in done.stderr


def test_a_loss_that_is_no_number_is_null() -> None:
    out, epochs = io.StringIO(), list[Epoch]()
    with training_told_to(epochs.append):
        tell_epoch(3, 9, {"loss": math.nan, "rate": 0.5, "held_out_loss": None})
    tell_epoch(4, 9, {"loss": 1.0})
    (epoch,) = epochs
    JsonLines(Console(file=out)).observe(NodeEvent("Trainer", "training", 1.5, epoch=epoch))
    assert json.loads(out.getvalue())["values"] == {"loss": None, "rate": 0.5, "held_out_loss": None}


def test_plain_lines_do_not_list_every_epoch() -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out))
    for number in range(1, 61):
        lines.observe(NodeEvent("Trainer", "training", 0.1, epoch=Epoch(number, 60, {"loss": 1.0})))
    assert out.getvalue() == ""


# --- Ctrl-C ----------------------------------------------------------------------------------------------


def test_ctrl_c_in_mid_training_ends_cleanly(stopped: Stopped) -> None:
    result = stopped.events[-1]
    assert stopped.exit_code == result["exit_code"] == 130
    assert stopped.stderr == ""
    assert (result["event"], result["outcome"]) == ("result", "interrupted")
    assert result["nodes"][-1].items() >= {"name": "Trainer", "state": "interrupted"}.items()
    assert len(of(stopped, "epoch")) < EPOCHS
    assert stopped.record.items() <= result.items()
    assert {check["gate"] for check in result["checks"]} == {"data"}


def test_ctrl_c_leaves_no_process_no_lock_and_no_rest(stopped: Stopped) -> None:
    assert not stopped.processes
    with locked(stopped.root):
        pass
    assert not [name for name in stopped.files if name.startswith("tmp/")]
    assert not [name for name in stopped.files if name.startswith("artifacts/") and "/Trainer/" in name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_a_library_swallowed_is_not_forgotten(number: signal.Signals) -> None:
    before = [signal.getsignal(handled) for handled in SIGNALS]
    with catching() as interrupt:
        interrupt.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        assert interrupt.signal is number
    assert [signal.getsignal(handled) for handled in SIGNALS] == before


# --- a terminal ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pushed(stopped: Stopped) -> str:
    """What a terminal got of the same command, after the Ctrl-C."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    running = subprocess.Popen(
        COMMAND,
        cwd=stopped.root.parent,
        env={**environment, "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    screen = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    assert running.wait() == 0, screen.decode()[-3000:]
    return screen.decode()


def _read(terminal: int) -> bytes:
    """A terminal whose other end is closed is an error on Linux, not an end of file."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_a_terminal_shows_a_live_table(pushed: str) -> None:
    assert "\x1b[1A" in pushed, "drawn anew in place"
    text = CONTROL.sub("", pushed)
    assert re.search(r"Pusher +waits", text)
    assert re.search(r"= +ExampleGen +cached +[\d.]+ +train [\d,]+, eval [\d,]+, test [\d,]+, earlier [\d,]+", text)
    assert re.search(r"= +DataGate +cached +[\d.]+ +\d+ checks passed", text)
    assert re.search(rf"> +Trainer +trains +[\d.]+ +epoch \d+ of {EPOCHS}: loss [\d.]+", text)
    assert re.search(r"\+ +Evaluator +run +[\d.]+ +future_mae_vs_naive [\d.]+, ", text)


def test_a_terminal_ends_in_the_final_tables(pushed: str) -> None:
    assert "\x1b[?25h" in pushed, "the cursor is back"
    text = CONTROL.sub("", pushed[pushed.rindex("\x1b[?25h") :])
    for metric in ("future_mae_vs_naive", "future_bias", "future_spearman", "future_gini"):
        (line,) = [line for line in text.splitlines() if f"{metric} " in line and "overall" in line]
        assert "passed" in line
    assert "waits" not in text
    assert "PUSHED" in text
    assert "Log and record:" in text
