"""Runs a prepared run on this machine: alone in its root, with its temporary files below it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from signal import Signals

import filelock

from pipeline.contract import UserError
from runners.events import ENDED, NodeEvent, Observer
from runners.interrupt import Interrupt, catching
from runners.run import RECORD, Run, RunResult, begun, cut_short
from runners.searches import check_reusable

LOCK = ".lock"
LOOK_S = 0.5
"""Seconds that a held root is waited for: `pipelines runs` holds it for an instant, to see whether a run does."""


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the root: two runs at once would share one metadata store and one cache.

    Raises:
      UserError: another run holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(root / LOCK)
    try:
        lock.acquire(timeout=LOOK_S)
    except filelock.Timeout as error:
        raise UserError(
            expected=f"no other run in {root}",
            received="one that is still going",
            todo="wait for it, or take another --root",
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_held(root: Path) -> bool:
    """Whether a living run holds the root; a lock that nobody may take is nobody's."""
    lock = root / LOCK
    if not lock.exists():
        return False
    try:
        with filelock.FileLock(lock, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False


@contextmanager
def scratch(root: Path) -> Iterator[None]:
    """Temporary files of TFX and Beam go below the root and away with the run: they are left behind otherwise."""
    folder = root / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"], tempfile.tempdir = str(folder), None
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        tempfile.tempdir = None
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def execute(run: Run, observe: Observer = lambda _event: None) -> RunResult:
    """Executes a prepared run through all gates and writes its record.

    Args:
      run: from `prepare`.
      observe: told of each node, see `NodeEvent`.

    Returns:
      The result, also for a run that was refused, that failed in a node, or that Ctrl-C or SIGTERM interrupted.

    Raises:
      UserError: another run holds the root, or hyper-parameters are to be reused that no search has left.
    """
    with catching() as interrupt, locked(run.root), scratch(run.root):
        check_reusable(run)
        start, clock = begun(run), time.monotonic()
        _record(start)
        result = _until_interrupted(run, start, observe, interrupt)
        result = result.model_copy(update={"seconds": round(time.monotonic() - clock, 3)})
        _record(result)
    return result


def _record(result: RunResult) -> None:
    """Writes the record of a run, whole or not at all."""
    folder = Path(result.folder)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{RECORD}"
    unfinished.write_text(result.model_dump_json(indent=1), encoding="utf-8")
    unfinished.replace(folder / RECORD)


def _until_interrupted(run: Run, start: RunResult, observe: Observer, interrupt: Interrupt) -> RunResult:
    """Whatever a run that was asked to stop raised or came to, it was interrupted; but a push that is done is done."""
    seen: list[NodeEvent] = []

    def note(event: NodeEvent) -> None:
        # Nor is it a gate's verdict what a gate found whose child the same Ctrl-C ended.
        stopped = interrupt.signal and event.state == "failed"
        seen.append(replace(event, state="interrupted", checks=()) if stopped else event)
        observe(seen[-1])
        if event.state not in ENDED:
            interrupt.check()

    try:
        from runners import execution

        result = execution.execute(run, start, note)
        if not interrupt.signal or result.exit_code == 0:
            return result
    except (KeyboardInterrupt, Exception) as error:
        if not interrupt.signal:
            _record(cut_short(start, seen, "failed", error=str(error)))
            raise
    interrupt.ignore()
    return cut_short(start, seen, "interrupted", terminated=interrupt.signal is Signals.SIGTERM)
