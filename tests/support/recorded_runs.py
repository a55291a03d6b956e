"""Records of runs as `pipelines run` leaves them, made without running anything."""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.contract import find_model
from pipeline.settings import make_settings
from pipeline.verdict import Check
from runners.run import RECORD, Node, RunResult

STARTED = datetime.datetime(2026, 1, 5, 6, 0, tzinfo=datetime.timezone.utc)
METRICS = {"rows": 353.0, "mae": 407.0, "future_mae_vs_naive": 0.71, "future_bias": -0.13, "future_spearman": 0.52}
METRICS |= {"future_gini": 0.735}
NODES = ("ExampleGen", "StatisticsGen", "DataGate", "Transform", "Trainer", "ServingGate", "Evaluator", "Pusher")


def record(number: int = 0, *, line: str = "main", gini: float | None = 0.735, **more: Any) -> RunResult:
    """Returns the record of a run of customers that was pushed; `more` replaces fields.

    Args:
      number: of the run: its day.
      line: data line.
      gini: a metric of its eval split.
      more: other fields of the record.
    """
    started = STARTED + datetime.timedelta(days=number)
    metrics = {**METRICS, "future_gini": gini}
    fields: dict[str, Any] = {
        "run_id": started.strftime("%Y%m%dT%H%M%S.%f"),
        "pipeline": f"clv-{line}-horizon_days-91",
        "model": "clv",
        "started_at": started.isoformat(timespec="seconds"),
        "seconds": 61.5,
        "outcome": "pushed",
        "nodes": [Node(name=name, state="run", seconds=7.5) for name in NODES],
        "checks": [model_check("future_gini", ">= 0.5", 0.6 if gini is None else gini)],
        "metrics": {"eval": metrics, "test": metrics, "train": metrics},
        "slices": {"candidate": {"overall": metrics, "frequency_band=1": {**metrics, "future_gini": 0.36}}},
        "pushed": f"/runs/pushed/clv-{line}-horizon_days-91/{1795280000 + number}",
        "counts": {"read": 541909, "quarantined": 0, "usable": 541909},
        "settings": json.loads(_settings(line)),
        "data": {"file": "online_retail.csv.gz", "digest": "2d9daf488e6db419", "quarantine": ""},
        "folder": "",
        "code": {"commit": "7afb6be00dd7def2b87bf651d9fd0927cd55f233", "changed": "0", "tensorflow": "2.16.2"},
        "machine": {"system": "Linux", "processors": "2"},
    }
    return RunResult(**{**fields, **more})


@cache
def _settings(line: str) -> str:
    layer = {"data": {"line": line}, "features": {"cutoff": "2011-09-01"}}
    return make_settings(find_model("clv"), layer).model_dump_json()


def model_check(metric: str, bound: str, value: float, *, passed: bool = True, shortfall: float | None = None) -> Check:
    """Returns a check of the model gate on all rows."""
    return Check(gate="model", metric=metric, bound=bound, value=value, passed=passed, shortfall=shortfall)


def refused(number: int = 0, **more: Any) -> RunResult:
    """Returns the record of a run that the data gate refused: nothing was measured."""
    check = Check(
        gate="data", metric="negative prices", slice="raw rows", bound="<= 0", value=7, shortfall=7, passed=False
    )
    nothing: dict[str, Any] = {"metrics": {}, "slices": {}, "pushed": None, "checks": [check]}
    return record(number, outcome="refused", **{**nothing, **more})


def write(root: Path, *results: RunResult) -> Path:
    """Writes records below a root; returns the root."""
    for result in results:
        folder = root.resolve() / "records" / result.pipeline / result.run_id
        folder.mkdir(parents=True)
        text = result.model_copy(update={"folder": str(folder)}).model_dump_json(indent=1)
        (folder / RECORD).write_text(text, encoding="utf-8")
    return root


def write_record(root: Path, run_id: str, **fields: Any) -> RunResult:
    """Writes the record of a CLV run that says little, refused unless `fields` say otherwise, and returns it."""
    model = fields.get("model", "clv")
    pipeline = fields.get("pipeline", f"{model}-main-horizon_days-91")
    known: dict[str, Any] = {
        "run_id": run_id,
        "pipeline": pipeline,
        "model": model,
        "outcome": "refused",
        "settings": make_settings(find_model(model)).model_dump(mode="json"),
        "data": {"file": "shop.csv", "digest": "0123456789abcdef", "quarantine": ""},
        "folder": str(root / "records" / pipeline / run_id),
    }
    result = RunResult.model_validate({**known, **fields})
    write(root, result)
    return result


def history_of(runs: int, like: RunResult, chance: random.Random) -> Iterator[RunResult]:
    """Yields records like one, with other ids and values, of all outcomes."""
    for number in range(runs):
        started = STARTED + datetime.timedelta(hours=7 * number)
        moved = {
            split: {name: value and value * chance.gauss(1, 0.05) for name, value in metrics.items()}
            for split, metrics in like.metrics.items()
        }
        outcome = chance.choices(("pushed", "unchanged", "refused", "failed"), (6, 2, 2, 1))[0]
        measured = {} if outcome == "failed" or (outcome == "refused" and chance.random() < 0.5) else moved
        checks = refused().checks if outcome == "refused" else like.checks
        yield like.model_copy(
            update={
                "run_id": started.strftime("%Y%m%dT%H%M%S.%f"),
                "started_at": started.isoformat(timespec="seconds"),
                "outcome": outcome,
                "metrics": measured,
                "checks": checks,
                "error": "Trainer: ValueError: no loss" if outcome == "failed" else None,
            }
        )
