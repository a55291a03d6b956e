"""A metadata store as runs of pipelines leave one, written node by node, without TFX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from runners.reports.store import NODE, RUN
from runners.run import METADATA, RunResult

Keyed = Mapping[str, int]
"""Key -> id of an artifact."""


class MetadataByHand:
    """Writes executions of nodes, as TFX's launcher does."""

    def __init__(self, root: Path) -> None:
        connection = mlmd.ConnectionConfig()
        connection.sqlite.filename_uri = str(root / METADATA)
        connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self._store = MetadataStore(connection)

    def artifact(self, kind: str, uri: object, **properties: int | str) -> int:
        """Adds an artifact and returns its id; properties are custom ones, numbers or texts."""
        type_id = self._store.put_artifact_type(mlmd.ArtifactType(name=kind))
        made = mlmd.Artifact(type_id=type_id, uri=str(uri), state=mlmd.Artifact.LIVE)
        for name, value in properties.items():
            setattr(made.custom_properties[name], f"{'int' if isinstance(value, int) else 'string'}_value", value)
        identifier: int = self._store.put_artifacts([made])[0]
        return identifier

    def node(
        self,
        name: str,
        *,
        pipeline: str,
        run: str,
        state: str = "COMPLETE",
        took: Keyed | None = None,
        left: Keyed | None = None,
        found: Keyed | None = None,
        told: Mapping[str, str] | None = None,
    ) -> None:
        """Adds what a node did in a run.

        Args:
          name: of the node.
          pipeline: its pipeline.
          run: id of the run.
          state: as the metadata store calls it.
          took: its inputs.
          left: its outputs.
          found: what it looked up, if it is a resolver.
          told: its properties.
        """
        type_id = self._store.put_execution_type(mlmd.ExecutionType(name=f"type of {name}"))
        execution = mlmd.Execution(type_id=type_id, last_known_state=mlmd.Execution.State.Value(state))
        for key, value in (told or {}).items():
            execution.custom_properties[key].string_value = value
        kinds = ((took, mlmd.Event.INPUT), (left, mlmd.Event.OUTPUT), (found, mlmd.Event.INTERNAL_OUTPUT))
        events = [event for keyed, kind in kinds for event in _events(keyed or {}, kind)]
        contexts = [
            self._context("pipeline", pipeline),
            self._context(RUN, run),
            self._context(NODE, f"{pipeline}.{name}"),
        ]
        artifacts = self._store.get_artifacts_by_id([event.artifact_id for event in events]) if events else []
        by_id = {artifact.id: artifact for artifact in artifacts}
        pairs = [(by_id[event.artifact_id], event) for event in events]
        self._store.put_execution(execution, pairs, contexts)

    def _context(self, kind: str, name: str) -> mlmd.Context:
        known = self._store.get_context_by_type_and_name(kind, name)
        if known is None:
            type_id = self._store.put_context_type(mlmd.ContextType(name=kind))
            self._store.put_contexts([mlmd.Context(type_id=type_id, name=name)])
            known = self._store.get_context_by_type_and_name(kind, name)
        return known


def _events(keyed: Keyed, kind: Any) -> Iterator[mlmd.Event]:
    """One event an artifact: it has several keys where it is taken under several names."""
    for identifier in dict.fromkeys(keyed.values()):
        event = mlmd.Event(artifact_id=identifier, type=kind)
        for key in (key for key, value in keyed.items() if value == identifier):
            event.path.steps.add().key = key
            event.path.steps.add().index = 0
        yield event


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


def store_run(root: Path, run: RunResult, nodes: Sequence[Ran]) -> None:
    """Adds a run to the store of a root."""
    metadata = MetadataByHand(root)
    ids: dict[tuple[str, str], int] = {}
    for ran in nodes:
        left = {key: out.again or metadata.artifact(out.type, out.uri) for key, out in ran.outputs.items()}
        took = {key: ids[source] for key, source in ran.inputs.items()}
        metadata.node(
            ran.node, pipeline=run.pipeline, run=run.run_id, state=ran.state, took=took, left=left, told=ran.told
        )
        ids |= {(ran.node, key): made for key, made in left.items()}
