"""One node as a process of its own: the container's command, a container's environment, its outputs read back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from runners.events import Epoch
from runners.vertex.rehearsal import placeholders, values
from runners.vertex.rehearsal.inputs import Result
from runners.vertex.rehearsal.preflight import type_title
from runners.vertex.rehearsal.spec import Node
from runners.vertex.rehearsal.store import Artifact

GRACE_S = 10.0
"""How long a node has between being asked to end and being ended."""

LOG = "log.txt"
_ERROR = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Refusal|Interrupt|Exit)\b.*")
_EPOCH = re.compile(r"epoch (\d+) of (\d+): (.*)$")
_PYTHON = re.compile(r"python(3(\.\d+)?)?")


def environment(python: str, home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Returns what a container would have, and no more of this machine's: no credentials of Google's either."""
    path = os.pathsep.join([str(Path(python).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "NO_GCE_CHECK": "true", **more}


def fingerprint(node: Node, pipeline: str, python: str, given: Any) -> str:
    """Returns what is the same for executions with the same outputs: Vertex AI takes over nothing across pipelines."""
    inputs = {key: [artifact.name for artifact in found.artifacts] for key, found in given.inputs.artifacts.items()}
    parameters = {**given.inputs.parameters, **given.inputs.parameter_values}
    content = {
        "pipeline": pipeline,
        "node": node.name,
        "python": python,
        "container": json_format.MessageToDict(node.executor.container),
        "outputs": json_format.MessageToDict(node.component.output_definitions),
        "inputs": inputs,
        "parameters": {key: json_format.MessageToDict(value) for key, value in parameters.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def add_outputs(node: Node, given: Any, folder: Path) -> None:
    """Adds to a node's ExecutorInput where its outputs go: below a folder of its own, as on Vertex AI."""
    for key, spec in node.component.output_definitions.artifacts.items():
        artifact = pb.RuntimeArtifact(
            name=Artifact.new_name(), uri=str(folder / key), type=spec.artifact_type, metadata=spec.metadata
        )
        given.outputs.artifacts[key].artifacts.append(artifact)
    for key in node.component.output_definitions.parameters:
        given.outputs.parameters[key].output_file = str(folder / key)
    given.outputs.output_file = str(folder / "executor_output.json")


class Process:
    """A node that runs."""

    def __init__(
        self, node: Node, given: Any, job: dict[str, str], *, python: str, variables: Mapping[str, str], record: Path
    ) -> None:
        """Starts it.

        Args:
          node: the node.
          given: its ExecutorInput.
          job: `pipeline_job_name` and the like -> value.
          python: interpreter that stands for the image's.
          variables: its environment.
          record: folder of its log.

        Raises:
          KeyError: its command asks for an input that it does not have.
        """
        self.node, self.given, self.record = node, given, record
        container = node.executor.container
        command = [placeholders.fill(word, given, job) for word in (*container.command, *container.args)]
        if _PYTHON.fullmatch(command[0]):
            command[0] = python
        record.mkdir(parents=True, exist_ok=True)
        # An empty folder, since `python -m` puts where it is started first; and a place for what it leaves behind.
        self.scratch = record / "scratch"
        for folder in ("empty", "tmp"):
            (self.scratch / folder).mkdir(parents=True, exist_ok=True)
        Path(given.outputs.output_file).parent.mkdir(parents=True, exist_ok=True)
        own = {variable.name: variable.value for variable in container.env}
        self.started, self.read = time.monotonic(), 0
        with (record / LOG).open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.scratch / "empty",
                env={**variables, "TMPDIR": str(self.scratch / "tmp"), **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """Wall-clock since it started."""
        return time.monotonic() - self.started

    def poll(self) -> int | None:
        """Returns its exit status; None while it runs. Cleans up behind it."""
        status = self.process.poll()
        if status is not None:
            self._signal(signal.SIGKILL)  # What it started and left behind.
            shutil.rmtree(self.scratch, ignore_errors=True)
        return status

    def stop(self) -> None:
        """Ends it with all that it started."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        self.poll()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def epochs(self) -> list[Epoch]:
        """Returns the epochs that its log has told of since the last call."""
        with (self.record / LOG).open("rb") as log:
            log.seek(self.read)
            whole = log.read().rpartition(b"\n")[0]
        self.read += len(whole)
        found = (_EPOCH.search(line) for line in whole.decode(errors="replace").splitlines())
        return [_epoch(told) for told in found if told]

    def error(self, status: int) -> str:
        """Returns the last error in its log, or its last line, and where the log is."""
        lines = (self.record / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        errors = [line for line in lines if _ERROR.match(line)]
        last = [*(lines or ["nothing was said"]), *errors][-1]
        return f"{self.node.name} (exit status {status}): {last.strip()}; its log is {self.record / LOG}"

    def result(self, pipeline: str, run: str) -> Result:
        """Returns what it made, with the properties that it gave it.

        Raises:
          OSError, ValueError: it ended well, but what it wrote cannot be read.
        """
        told = pb.ExecutorOutput()
        file = Path(self.given.outputs.output_file)
        if file.exists():
            json_format.Parse(file.read_text(encoding="utf-8"), told, ignore_unknown_fields=True)
        made = Result()
        for key, listed in self.given.outputs.artifacts.items():
            (planned,) = listed.artifacts
            if told.artifacts[key].artifacts:
                written = told.artifacts[key].artifacts[0]
                planned.metadata.update(json_format.MessageToDict(written.metadata))
                planned.uri = written.uri or planned.uri
            made.artifacts[key] = [_kept(planned, pipeline, run, self.node.name, key)]
        for key, spec in self.node.component.output_definitions.parameters.items():
            made.parameters[key] = values.as_type(_output_parameter(key, told, self.given), spec)
        return made


def _kept(artifact: Any, pipeline: str, run: str, node: str, key: str) -> Artifact:
    return Artifact(
        name=artifact.name,
        title=type_title(artifact.type),
        type=json_format.MessageToDict(artifact.type, preserving_proto_field_name=True),
        uri=artifact.uri,
        metadata=json_format.MessageToDict(artifact.metadata),
        pipeline=pipeline,
        run=run,
        node=node,
        key=key,
    )


def _output_parameter(key: str, told: Any, given: Any) -> Any:
    if key in told.parameter_values:
        return values.plain(told.parameter_values[key])
    if key in told.parameters:
        return values.plain(told.parameters[key])
    return Path(given.outputs.parameters[key].output_file).read_text(encoding="utf-8")


def _epoch(told: re.Match[str]) -> Epoch:
    pairs = (pair.rpartition(" ") for pair in told[3].split(", "))
    return Epoch(int(told[1]), int(told[2]), {name: float(value) for name, _, value in pairs if _is_number(value)})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
