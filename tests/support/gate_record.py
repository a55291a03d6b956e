"""A run's record, with a real metadata store that knows what its serving gate left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metadata_by_hand import MetadataByHand

from pipeline.contract import find_model
from pipeline.verdict import Check, at_most
from runners.reports.facts import Facts
from runners.reports.store import open_store
from runners.run import Node, RunResult

RUN = "20261121T174459.410078"
PIPELINE = "clv-main-horizon_days-91"


def facts(root: Path, *, blessing: Path | None = None, state: str = "COMPLETE", **changes: Any) -> Facts:
    """Those of a CLV run; `changes` replace fields of its record.

    Args:
      root: of the runs.
      blessing: folder of the serving gate's output; it did not run if None.
      state: of the gate's execution, as the store has it.
    """
    if blessing:
        _note(root, blessing, state)
    gate = Node(name="ServingGate", state="cached" if state == "CACHED" else "run", seconds=8.2)
    known: dict[str, Any] = {
        "run_id": RUN,
        "pipeline": PIPELINE,
        "model": "clv",
        "outcome": "pushed",
        "nodes": [gate],
        "checks": [loads(), compared("tf.Examples = raw", 2e-7), compared("one row = many rows", 0.0)],
        "metrics": {"eval": {"rows": 353.0}},
        "settings": {"gates": {"destination": None}},
        "data": {"file": "shop.csv"},
        "folder": str(root / "records" / PIPELINE / RUN),
        "machine": {"processor": "<i>Fast</i> CPU", "processors": "2"},
    }
    return Facts(root, RunResult.model_validate({**known, **changes}), find_model("clv"), open_store(root))


def loads(note: str = "") -> Check:
    value = "an error" if note else "no error"
    name = "loads, TensorFlow 2"
    return Check(gate="serving", metric=name, slice="eval", bound="no error", value=value, passed=not note, note=note)


def compared(metric: str, value: float) -> Check:
    return at_most(1e-5, value, gate="serving", metric=metric, where="eval")


def _note(root: Path, blessing: Path, state: str) -> None:
    """Writes the store of a root in which one node made one thing in one run."""
    metadata = MetadataByHand(root)
    made = metadata.artifact("InfraBlessing", blessing)
    metadata.node("ServingGate", pipeline=PIPELINE, run=RUN, state=state, left={"blessing": made})
