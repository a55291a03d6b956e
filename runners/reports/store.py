"""The metadata store of a root, read: which execution of which node took and made which artifacts.

TFX 1.21's store has no filter queries, so it is asked by ids and contexts alone. Imports ml_metadata, no TFX.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from runners.run import METADATA

RUN, NODE = "pipeline_run", "node"
"""Types of TFX's contexts."""
_MADE = (mlmd.Event.OUTPUT, mlmd.Event.DECLARED_OUTPUT, mlmd.Event.INTERNAL_OUTPUT)
"""Kinds of the events with outputs; the last one is what TFX gives to what a resolver finds."""
STATES = {"COMPLETE": "run", "CACHED": "cached", "FAILED": "failed", "CANCELED": "interrupted"}
"""State in which an execution ended -> how `runners.events.ENDED` calls it."""


class Artifact(NamedTuple):
    """What a node made: `properties` holds the custom ones, too."""

    id: int
    type: str
    uri: str
    properties: dict[str, Any]

    @property
    def there(self) -> bool:
        """Whether its files still exist; True where that cannot be seen from here, such as in a bucket."""
        return "://" in self.uri or Path(self.uri).exists()


class Execution(NamedTuple):
    """What a node did once.

    Attributes:
      node: name of the node.
      run: id of the pipeline run.
      state: of the metadata store: COMPLETE, CACHED, FAILED, RUNNING, CANCELED.
      inputs, outputs: key -> artifacts. A cached execution's outputs are those of the execution that made them, a
        resolver's are what it looked up.
      properties: what the node was told, and what it noted.
    """

    id: int
    node: str
    run: str
    state: str
    started_at: datetime.datetime
    ended_at: datetime.datetime
    inputs: dict[str, list[Artifact]]
    outputs: dict[str, list[Artifact]]
    properties: dict[str, Any]


class Store:
    """A metadata store, read only."""

    def __init__(self, store: MetadataStore) -> None:
        """Reads a store from `connect`."""
        self._store = store

    def run(self, run_id: str) -> dict[str, Execution]:
        """Returns node -> its execution in a run, in the order in which they ran; nothing of an unknown run."""
        context = self._store.get_context_by_type_and_name(RUN, run_id)
        if context is None:
            return {}
        found = self._executions(self._store.get_executions_by_context(context.id))
        return {execution.node: execution for execution in sorted(found, key=lambda execution: execution.id)}

    def producer(self, artifact: Artifact) -> Execution | None:
        """Returns the execution that made an artifact; not those that took it from the cache."""
        made = [found for found in self._touching(artifact, mlmd.Event.OUTPUT) if found.state != "CACHED"]
        return min(made, key=lambda execution: execution.id, default=None)

    def finders(self, artifact: Artifact) -> list[Execution]:
        """Returns the executions of resolvers that looked an artifact up, such as the champion, the first one first."""
        return sorted(self._touching(artifact, mlmd.Event.INTERNAL_OUTPUT), key=lambda execution: execution.id)

    def artifacts(self, kind: str) -> list[Artifact]:
        """Returns all artifacts of a type, such as `PushedModel`, the oldest first."""
        return sorted(
            (_artifact(found) for found in self._store.get_artifacts_by_type(kind)), key=lambda found: found.id
        )

    def _touching(self, artifact: Artifact, kind: int) -> list[Execution]:
        events = self._store.get_events_by_artifact_ids([artifact.id])
        ids = {event.execution_id for event in events if event.type == kind}
        return self._executions(self._store.get_executions_by_id(sorted(ids))) if ids else []

    def _executions(self, found: Iterable[mlmd.Execution]) -> list[Execution]:
        executions = list(found)
        events = self._store.get_events_by_execution_ids([each.id for each in executions]) if executions else []
        ids = sorted({event.artifact_id for event in events})
        artifacts = {each.id: _artifact(each) for each in self._store.get_artifacts_by_id(ids)} if ids else {}
        return [
            self._execution(each, [e for e in events if e.execution_id == each.id], artifacts) for each in executions
        ]

    def _execution(
        self, found: mlmd.Execution, events: list[mlmd.Event], artifacts: Mapping[int, Artifact]
    ) -> Execution:
        contexts = {context.type: context.name for context in self._store.get_contexts_by_execution(found.id)}
        return Execution(
            found.id,
            node=contexts.get(NODE, "").rpartition(".")[2],
            run=contexts.get(RUN, ""),
            state=mlmd.Execution.State.Name(found.last_known_state),
            started_at=_time(found.create_time_since_epoch),
            ended_at=_time(found.last_update_time_since_epoch),
            inputs=_by_key(events, artifacts, (mlmd.Event.INPUT, mlmd.Event.DECLARED_INPUT)),
            outputs=_by_key(events, artifacts, _MADE),
            properties={**_properties(found.properties), **_properties(found.custom_properties)},
        )


def open_store(root: Path) -> Store | None:
    """Returns the store of a root, see `connect`."""
    store = connect(root)
    return Store(store) if store else None


def connect(root: Path) -> MetadataStore | None:
    """Opens the metadata of a root for reading alone; None where no run has made it, or, with a warning, if damaged."""
    file = root / METADATA
    if not file.is_file():
        return None
    connection = mlmd.ConnectionConfig()
    connection.sqlite.filename_uri = str(file)
    connection.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
    try:
        return MetadataStore(connection)
    except RuntimeError as error:  # What ml_metadata raises of a damaged file; records tell enough for a report.
        logging.warning("%s cannot be read: %s", file, str(error).partition(" query:")[0])
        return None


def _by_key(
    events: Iterable[mlmd.Event], artifacts: Mapping[int, Artifact], kinds: tuple[int, ...]
) -> dict[str, list[Artifact]]:
    found: dict[str, list[Artifact]] = {}
    for event in events:
        if event.type in kinds and event.artifact_id in artifacts:
            # One event has several keys where a node takes one artifact as two inputs, such as a model that is its own
            # champion.
            for key in (step.key for step in event.path.steps if step.HasField("key")):
                found.setdefault(key, []).append(artifacts[event.artifact_id])
    return found


def _artifact(found: mlmd.Artifact) -> Artifact:
    properties = {**_properties(found.properties), **_properties(found.custom_properties)}
    return Artifact(found.id, found.type, found.uri, properties)


def _properties(found: Mapping[str, mlmd.Value]) -> dict[str, Any]:
    kinds = {name: value.WhichOneof("value") for name, value in found.items()}
    return {name: getattr(found[name], kind) for name, kind in kinds.items() if kind}


def _time(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
