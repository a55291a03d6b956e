"""A run's record, with a real metadata store that knows what its serving gate left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.contract import find_model
from pipeline.verdict import Check, at_most
from runners.reports.facts import Facts
from runners.reports.store import METADATA, open_store
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
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(root / METADATA)
    store = MetadataStore(connection)
    kinds = {name: store.put_context_type(mlmd.ContextType(name=name)) for name in ("pipeline_run", "node")}
    names = {"pipeline_run": RUN, "node": f"{PIPELINE}.ServingGate"}
    made = mlmd.Artifact(type_id=store.put_artifact_type(mlmd.ArtifactType(name="InfraBlessing")), uri=str(blessing))
    ran = mlmd.Execution(
        type_id=store.put_execution_type(mlmd.ExecutionType(name="ServingGate")),
        last_known_state=mlmd.Execution.State.Value(state),
    )
    event = mlmd.Event(type=mlmd.Event.OUTPUT)
    event.path.steps.add().key = "blessing"
    store.put_execution(ran, [(made, event)], [mlmd.Context(type_id=kinds[k], name=names[k]) for k in kinds])
