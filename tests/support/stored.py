"""Metadata stores as TFX leaves them, without TFX: what each node of a run read, made and was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from runners.reports.store import METADATA, NODE, RUN
from runners.run import RunResult


class Made(NamedTuple):
    """An output: `again` is the id of an artifact of before, for a cached node."""

    type: str
    uri: str
    again: int | None = None


class Ran(NamedTuple):
    """What a node did; inputs are named by key, node and key of the output."""

    node: str
    state: str = "COMPLETE"
    outputs: Mapping[str, Made] = {}
    inputs: Mapping[str, tuple[str, str]] = {}
    told: Mapping[str, str] = {}


def store_run(root: Path, run: RunResult, nodes: Sequence[Ran]) -> dict[tuple[str, str], int]:
    """Adds a run to the store of a root, and returns the ids of its outputs by node and key."""
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(root / METADATA)
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = MetadataStore(connection)
    ids: dict[tuple[str, str], int] = {}
    whole = _context(store, RUN, run.run_id)
    for ran in nodes:
        kind = mlmd.ExecutionType(name=ran.node, properties=dict.fromkeys(ran.told, mlmd.STRING))
        execution = mlmd.Execution(type_id=store.put_execution_type(kind, can_add_fields=True))
        execution.last_known_state = mlmd.Execution.State.Value(ran.state)
        for name, value in ran.told.items():
            execution.properties[name].string_value = value
        read = [(_artifact(store, ids[source]), _event(mlmd.Event.INPUT, key)) for key, source in ran.inputs.items()]
        made = [(_output(store, out), _event(mlmd.Event.OUTPUT, key)) for key, out in ran.outputs.items()]
        contexts = [whole, _context(store, NODE, f"{run.pipeline}.{ran.node}")]
        _, artifacts, _ = store.put_execution(execution, [*read, *made], contexts, reuse_context_if_already_exist=True)
        ids |= {(ran.node, key): found for key, found in zip(ran.outputs, artifacts[len(read) :], strict=True)}
    return ids


def _context(store: Any, kind: str, name: str) -> mlmd.Context:
    return mlmd.Context(type_id=store.put_context_type(mlmd.ContextType(name=kind)), name=name)


def _artifact(store: Any, identifier: int) -> mlmd.Artifact:
    (artifact,) = store.get_artifacts_by_id([identifier])
    return artifact


def _output(store: Any, made: Made) -> mlmd.Artifact:
    if made.again:
        return _artifact(store, made.again)
    return mlmd.Artifact(type_id=store.put_artifact_type(mlmd.ArtifactType(name=made.type)), uri=made.uri)


def _event(kind: Any, key: str) -> mlmd.Event:
    return mlmd.Event(type=kind, path=mlmd.Event.Path(steps=[mlmd.Event.Path.Step(key=key)]))
