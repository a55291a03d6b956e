"""A backtest from the first cut-off to the last, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pyarrow import parquet
from pydantic import BaseModel

from runners.backtest import forward, running, scores
from runners.backtest.cutoffs import pairs
from runners.backtest.running import Ended, Plan
from runners.backtest.scores import Judged, Score
from runners.events import NodeEvent
from runners.run import Outcome

FILE = "backtest.json"
"""What a backtest came to, in its folder."""
NOT_SCORED = 3
"""Exit code where the run of a cut-off was refused before its model was asked, or failed."""

Tell = Callable[[date, "NodeEvent | Ended | None"], None]
"""Told of a cut-off as it starts (None), of each event of its nodes, and of what it came to."""


class Line(BaseModel):
    """A cut-off on the rows that judge its own run: the eval split, which nothing is fitted to.

    Attributes:
      cutoff: the day.
      outcome, why, seconds, run_id: see `runners.backtest.running.Ended`.
      score: None where the model was never asked.
    """

    cutoff: date
    outcome: Outcome
    why: list[str]
    seconds: float
    run_id: str
    score: Score | None


class Forward(BaseModel):
    """A model that was trained as of one cut-off, on everybody as of a later one."""

    trained: date
    used: date
    outcome: Outcome
    score: Score


class Backtested(BaseModel):
    """What a backtest came to; also the content of its `backtest.json`.

    Attributes:
      model: its name.
      data: name and digest of the raw data.
      horizon_days: days that a label takes.
      folder: root of the runs, and place of the file.
      settings: of the run as of the latest possible cut-off.
      lines: a cut-off each.
      pooled: of all cut-offs together; None if none was scored.
      forward: a pair of cut-offs each.
      forward_pooled: of all pairs together; None if there is none.
    """

    model: str
    data: dict[str, str]
    horizon_days: int
    folder: Path
    settings: dict[str, Any]
    lines: list[Line]
    pooled: Score | None
    forward: list[Forward]
    forward_pooled: Score | None

    @property
    def exit_code(self) -> int:
        """0 where each cut-off was scored, else 3."""
        return 0 if all(line.score for line in self.lines) else NOT_SCORED


class InterruptedRun(Exception):
    """Ctrl-C or SIGTERM ended a run, and with it the backtest; `exit_code` is the command's."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def backtest(planned: Plan, tell: Tell = lambda _cutoff, _news: None) -> Backtested:
    """Runs the pipeline as of each cut-off, scores it, and writes `backtest.json`.

    Args:
      planned: from `running.plan`.
      tell: told how it goes on.

    Raises:
      InterruptedRun: somebody asked to stop; the same backtest goes on where it stopped.
    """
    ended = [_run(planned, cutoff, tell) for cutoff in planned.cutoffs]
    rows = {
        end.cutoff: scores.judged(planned.model, parquet.read_table(end.predictions))
        for end in ended
        if end.predictions
    }
    later = _forward(planned, ended)
    found = Backtested(
        model=planned.model.name,
        data={"file": planned.raw.source, "digest": planned.raw.digest},
        horizon_days=planned.span.horizon,
        folder=planned.folder,
        settings=planned.prepared.settings.model_dump(mode="json"),
        lines=[_line(end, rows.get(end.cutoff)) for end in ended],
        pooled=_pooled(list(rows.values())),
        forward=[forward for forward, _ in later],
        forward_pooled=_pooled([judged for _, judged in later]),
    )
    _write(found)
    return found


def _run(planned: Plan, cutoff: date, tell: Tell) -> Ended:
    tell(cutoff, None)
    ended = running.run(planned, cutoff, lambda event: tell(cutoff, event))
    tell(cutoff, ended)
    if ended.outcome == "interrupted":
        raise InterruptedRun(ended.exit_code)
    return ended


def _line(end: Ended, rows: Judged | None) -> Line:
    score = scores.score(rows) if rows else None
    return Line(**end.model_dump(include={"cutoff", "outcome", "why", "seconds", "run_id"}), score=score)


def _forward(planned: Plan, ended: Sequence[Ended]) -> list[tuple[Forward, Judged]]:
    """The pairs whose first model was trained, also if a gate refused it."""
    by_day = {end.cutoff: end for end in ended}
    found = []
    for day, used in pairs(planned.cutoffs, planned.span):
        trained = by_day[day].trained
        if trained:
            rows = scores.judged(planned.model, forward.predictions(planned, trained, used))
            line = Forward(trained=day, used=used, outcome=by_day[day].outcome, score=scores.score(rows))
            found.append((line, rows))
    return found


def _pooled(parts: Sequence[Judged]) -> Score | None:
    return scores.score(scores.together(parts)) if parts else None


def _write(found: Backtested) -> None:
    """Writes the file whole or not at all."""
    found.folder.mkdir(parents=True, exist_ok=True)
    unfinished = found.folder / f".{FILE}"
    unfinished.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    unfinished.replace(found.folder / FILE)
