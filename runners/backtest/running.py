"""The real pipeline as of each cut-off, in a root of the backtest's own, where no server looks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from pipeline.contract import Backtest, Model, Query, Settings, UserError, load, resource
from pipeline.fingerprint import digest_file, digest_json
from pipeline.ingestion.raw import RawTable, ask
from pipeline.settings import get
from pipeline.verdict import sentence
from runners.as_of import count
from runners.backtest.cutoffs import Span, choose
from runners.events import Observer
from runners.local import execute, is_held
from runners.records import records
from runners.run import Outcome, Run, RunResult, prepare

FOLDER = "backtests"
"""Folder of the backtests, below a root."""
FINISHED: tuple[Outcome, ...] = ("pushed", "unchanged", "refused")
"""A run that ended so would end so again, and is not repeated."""
SOURCES = (".py", ".sql")


@dataclass(frozen=True)
class Plan:
    """What a backtest is going to do.

    Attributes:
      prepared: the raw data, and the settings with the latest cut-off.
      folder: the root of the backtest's runs, below the root that was named; the same for the same code, data and
        settings, so that an interrupted backtest goes on, and another cut-off only adds its run.
      span: what the data allow.
      cutoffs: as of which days a model is trained.
    """

    prepared: Run
    folder: Path
    span: Span
    cutoffs: list[date]

    @property
    def model(self) -> Model:
        """The contract."""
        return self.prepared.model

    @property
    def how(self) -> Backtest:
        """How the model can be tried."""
        return entry(self.model)[0]

    @property
    def raw(self) -> RawTable:
        """The raw data."""
        return cast(RawTable, self.prepared.raw)

    def settings(self, cutoff: date) -> Settings:
        """Returns the settings with a cut-off, and a data line and push destination that are the backtest's own.

        Raises:
          UserError: the data cannot serve it.
        """
        own = {
            self.how.as_of: cutoff,
            "data.line": f"{self.prepared.settings.data.line}-{cutoff}",
            "gates.destination": None,
        }
        settings = self.prepared.settings
        for key, value in own.items():
            part, _, field = key.partition(".")
            changed = getattr(settings, part).model_copy(update={field: value})
            settings = settings.model_copy(update={part: changed})
        query = entry(self.model)[1]
        resolved: Settings = load(query.resolve)(settings, ask(self.raw, query))
        return resolved

    def run(self, cutoff: date) -> Run:
        """Returns the prepared run as of a cut-off."""
        generated = self.prepared.generated
        return Run(self.model, self.settings(cutoff), self.raw, self.folder, generated=generated)


class Ended(BaseModel):
    """What the run of a cut-off came to.

    Attributes:
      cutoff: the day.
      outcome: of the run; `failed` where its data were too few for one of its nodes.
      why: what refused it or went wrong, a sentence each.
      seconds: wall-clock.
      run_id: name of its record.
      predictions: file of the eval split's rows; None if the serving gate was not reached.
      trained: folder of the saved model; None if there is none.
      exit_code: of such a run, had it been one by itself.
    """

    cutoff: date
    outcome: Outcome
    why: list[str] = []
    seconds: float = 0.0
    run_id: str = ""
    predictions: Path | None = None
    trained: Path | None = None
    exit_code: int = 2


def entry(model: Model) -> tuple[Backtest, Query]:
    """Returns how a model can be tried on the past, and where its examples come from.

    Raises:
      UserError: it cannot be tried.
    """
    if model.backtest is None or not isinstance(model.source, Query):
        raise UserError(
            expected="a model that knows a cut-off, and a label that comes after it",
            received=f"{model.name}, whose contract has no `backtest`",
            todo="name another model",
        )
    return model.backtest, model.source


def plan(model: Model, root: Path, cutoffs: str, *, data: Path | None, layers: tuple[Mapping[str, Any], ...]) -> Plan:
    """Reads the raw data, and finds the cut-offs.

    Args:
      model: the contract.
      root: the raw data are kept there as those of runs are, and the backtest's own root is below it.
      cutoffs: see `runners.backtest.cutoffs.HELP`.
      data: raw input; the model's generated sample if None.
      layers: settings over the model's defaults, the last on top.

    Raises:
      UserError: the model, the data or the cut-offs cannot be used; or the same backtest is going on.
    """
    how, query = entry(model)
    part, _, field = how.as_of.partition(".")
    latest = {part: {field: get(model.settings(), how.as_of)}}
    prepared = prepare(model, root, data=data, layers=(*layers, latest))
    horizon = int(get(prepared.settings, how.horizon_days))
    last: date = get(prepared.settings, how.as_of)
    first = count(cast(RawTable, prepared.raw), query, last, how.subject).first
    span = Span(first or last, last, horizon)
    folder = prepared.root / FOLDER / f"{model.name}-{_digest(prepared, query)}"
    if is_held(folder):
        raise UserError(
            expected=f"no other backtest in {folder}",
            received="one of the same data and settings that is still going",
            todo="wait for it",
        )
    return Plan(prepared, folder, span, choose(cutoffs, span))


def run(planned: Plan, cutoff: date, observe: Observer) -> Ended:
    """Runs the pipeline as of a cut-off, unless it already ran; a run that fails for its data's reasons is told so."""
    try:
        prepared = planned.run(cutoff)
        result = _finished(prepared) or execute(prepared, observe)
    except UserError as mistake:
        return Ended(cutoff=cutoff, outcome="failed", why=[str(mistake)])
    return Ended(
        cutoff=cutoff,
        outcome=result.outcome,
        why=[result.error] if result.error else [sentence(check) for check in result.checks if not check.passed],
        seconds=result.seconds,
        run_id=result.run_id,
        predictions=Path(result.predictions["eval"]) if "eval" in result.predictions else None,
        trained=_trained(result),
        exit_code=result.exit_code,
    )


def _finished(prepared: Run) -> RunResult | None:
    """The record of the same run, if it came to an end."""
    found = [record for record in records(prepared.root, prepared.model.name) if record.pipeline == prepared.pipeline]
    return next((record for record in reversed(found) if record.outcome in FINISHED), None)


def _trained(result: RunResult) -> Path | None:
    """The saved model of a run's Trainer, also of a run that was refused; TFX keeps it beside the training's logs."""
    if result.training is None:
        return None
    logs = Path(result.training)
    folder = logs.parents[1] / "model" / logs.name / "Format-Serving"
    return folder if folder.is_dir() else None


def _digest(prepared: Run, query: Query) -> str:
    """Of all that decides what the runs come to, but for the cut-off: a model of other code is no champion of theirs.

    All sources of the packages are in it: `digest_code` is finer, but imports TensorFlow with the model.
    """
    packages = sorted({"pipeline", prepared.model.run_fn.partition(".")[0]})
    folders = [Path(place) for name in packages for place in importlib.import_module(name).__path__]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix in SOURCES]
    code = [digest_file(file) for file in (*files, resource(query.sql), resource(prepared.model.schema_file))]
    return digest_json([prepared.raw.digest, prepared.settings.model_dump(mode="json"), code])
