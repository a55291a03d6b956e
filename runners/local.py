"""Runs a prepared run on this machine: alone in its root, with its temporary files below it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from pipeline.contract import UserError
from runners.run import Run, RunResult


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds the root: two runs at once would share one metadata store and one cache.

    Raises:
      UserError: another run holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(root / ".lock")
    try:
        lock.acquire(timeout=0)
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


@contextmanager
def _scratch(root: Path) -> Iterator[None]:
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


def execute(run: Run, observe: Callable[[Any], None] = lambda _event: None) -> RunResult:
    """Executes a prepared run through all gates and writes its record.

    Args:
      run: from `prepare`.
      observe: told `dag_runner.NodeEvent`s.

    Returns:
      The result, also for a run that was refused or that failed in a node.

    Raises:
      UserError: another run holds the root.
    """
    with locked(run.root), _scratch(run.root):
        from runners import execution

        result = execution.execute(run, observe)
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "run.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    return result
