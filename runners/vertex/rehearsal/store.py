"""What rehearsals have made: artifacts, which later ones look up, and executions, which they take over."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.verdict import Check

ARTIFACTS = "artifacts.jsonl"
EXECUTIONS = "executions.jsonl"
_NAME = "projects/rehearsal/locations/local/metadataStores/default/artifacts/"


class Artifact(BaseModel):
    """Something that a node made.

    Attributes:
      name: unique, of the form that Vertex AI's metadata gives.
      title: of its type.
      type: schema of its type, as the component defines it: a field of ArtifactTypeSchema -> its text.
      uri: where it is.
      metadata: its properties.
      pipeline, run, node, key: which output it is.
    """

    name: str
    title: str
    type: dict[str, str]
    uri: str
    metadata: dict[str, Any] = {}
    pipeline: str
    run: str
    node: str
    key: str

    @classmethod
    def new_name(cls) -> str:
        """Returns a name that no artifact has."""
        return _NAME + str(uuid.uuid4().int % 10**19)


class Execution(BaseModel):
    """A node that came to its end.

    Attributes:
      fingerprint: of all that its outputs depend on.
      artifacts: output -> names of its artifacts.
      parameters: output parameter -> value.
      checks: what it checked, if it is a gate.
    """

    fingerprint: str
    artifacts: dict[str, list[str]]
    parameters: dict[str, Any] = {}
    checks: list[Check] = []


class Store:
    """Artifacts and executions, in two files of JSON lines that only grow."""

    def __init__(self, folder: Path) -> None:
        """Reads what is there."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.artifacts = {found["name"]: Artifact.model_validate(found) for found in self._lines(ARTIFACTS)}
        self.executions = {found["fingerprint"]: Execution.model_validate(found) for found in self._lines(EXECUTIONS)}

    def add(self, artifact: Artifact) -> None:
        """Keeps an artifact."""
        self.artifacts[artifact.name] = artifact
        self._append(ARTIFACTS, artifact)

    def remember(self, execution: Execution) -> None:
        """Keeps an execution, for nodes that are the same."""
        self.executions[execution.fingerprint] = execution
        self._append(EXECUTIONS, execution)

    def taken_over(self, fingerprint: str) -> Execution | None:
        """Returns the execution of a node that was the same, if all that it made is still there."""
        found = self.executions.get(fingerprint)
        if found is None or not all(self._exists(name) for names in found.artifacts.values() for name in names):
            return None
        return found

    def latest(self, pipeline: str, title: str, name: str | None, metadata: Mapping[str, Any]) -> Artifact | None:
        """Returns the latest artifact of a pipeline that is of a type, and has a name and properties if asked for."""
        for found in reversed(self.artifacts.values()):
            if (found.pipeline, found.title) != (pipeline, title) or name not in (None, found.name):
                continue
            if all(found.metadata.get(key) == value for key, value in metadata.items()):
                return found
        return None

    def _exists(self, name: str) -> bool:
        # Not the artifact's own place: a node need not write to each of its outputs.
        return name in self.artifacts and Path(self.artifacts[name].uri).parent.exists()

    def _lines(self, file: str) -> list[dict[str, Any]]:
        path = self.folder / file
        if not path.exists():
            return []
        # A rehearsal that was killed may have left half a line, which tells of nothing that came to its end.
        whole = path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in whole if line.endswith("\n")]

    def _append(self, file: str, record: BaseModel) -> None:
        with (self.folder / file).open("a", encoding="utf-8") as lines:
            lines.write(record.model_dump_json() + "\n")
