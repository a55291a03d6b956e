"""The records that runs leave below a root: `records/<pipeline>/<run>/run.json`. Imports nothing heavy."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from pipeline.contract import UserError, model_names
from pipeline.settings import on_line
from runners.run import RECORD, RunResult

SHOWN = 3
"""Ids of runs that a mistake's message names."""


def records(root: Path, model: str | None = None) -> list[RunResult]:
    """Returns the records of all runs, or of a model's, the oldest first; those that cannot be read are left out."""
    return sorted(_records(root, "*", model), key=lambda result: result.run_id)


def find_record(root: Path, run: str | None, model: str | None = None) -> RunResult:
    """Returns the record of a run. A root may have thousands: of a run that is named no other record is read.

    Args:
      root: of the runs.
      run: its id, the beginning of it that no other run has, or its folder; None for the newest run.
      model: the run has to be one of this model's.

    Raises:
      UserError: there is no such run, or more than one.
    """
    if run is None:
        found = records(root, model)[-1:]
    else:
        name = Path(run).name
        near = list(_records(root, f"{glob.escape(name)}*", model))
        found = [result for result in near if result.run_id == name] or near
    if len(found) != 1:
        there = ", ".join(result.run_id for result in (found or records(root, model))[-SHOWN:]) or "none"
        raise UserError(
            expected=f"id of a run with a record below {root / 'records'}",
            received=f"{run or 'no id'!r} (the last ones there: {there})",
            todo="correct the id or --root; `pipelines runs` lists them",
        )
    return found[0]


def _records(root: Path, named: str, model: str | None) -> Iterator[RunResult]:
    """Yields the records of the runs whose folders have a name like this, in the order of their names."""
    for path in sorted(root.glob(f"records/*/{named}/{RECORD}"), key=lambda path: path.parent.name):
        result = _read(path)
        if result and model in (None, result.model):
            yield result


def _read(path: Path) -> RunResult | None:
    """A record where it lies now, whatever the root was called when it was written; None if it cannot be read."""
    try:
        result = RunResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    here = {"folder": str(path.parent.resolve()), "model": result.model or _model_of(result.pipeline)}
    return result.model_copy(update=here)


def _model_of(pipeline: str) -> str:
    """The model of a record of before records named it: the longest name that the pipeline's begins with."""
    names = [name for name in model_names() if on_line(pipeline, name)]
    return max(names, key=len, default=pipeline)
