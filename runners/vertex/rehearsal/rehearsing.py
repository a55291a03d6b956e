"""Runs the nodes of a compiled pipeline in the order in which they wait for each other, two at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.verdict import Check
from runners.events import NodeEvent, Observer, State
from runners.vertex.rehearsal import conditions, container, findings, inputs, lookup
from runners.vertex.rehearsal.container import Process
from runners.vertex.rehearsal.inputs import Result
from runners.vertex.rehearsal.spec import Node, Spec
from runners.vertex.rehearsal.store import Execution, Store

SIDE_BY_SIDE = 2
"""Nodes at a time: each is a process that imports TensorFlow."""

POLL_S = 0.1


class NodeFailed(Exception):
    """A node failed; the message says why, and where its log is."""


class Refused(Exception):
    """A gate refused in a node."""


@dataclass
class Rehearsing:
    """A rehearsal under way.

    Attributes:
      spec: what is rehearsed.
      store: artifacts of this and earlier rehearsals.
      run_id: of this one.
      python: interpreter that stands for the image's.
      variables: of every node.
      record: folder of the logs, one below it for each node.
      observe: told of each node.
      use_cache: whether nodes that are the same are taken over, where the spec allows it.
      made: what the nodes that came to their end made.
      checks: of the gates.
      errors: of nodes that failed.
    """

    spec: Spec
    store: Store
    run_id: str
    python: str
    variables: Mapping[str, str]
    record: Path
    observe: Observer
    use_cache: bool = True
    made: dict[str, Result] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _running: dict[str, Process] = field(default_factory=dict)
    _lost: dict[str, str] = field(default_factory=dict)  # Node -> why it failed.
    _skipped: set[str] = field(default_factory=set)
    _fingerprints: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Runs all nodes that can be run.

        Raises:
          KeyboardInterrupt: somebody asked to stop; the nodes under way have been ended.
        """
        for name in self.spec.nodes:
            self.observe(NodeEvent(name, "waiting"))
        try:
            while self._start_ready() or self._running:
                ended = {name: process for name, process in self._running.items() if process.poll() is not None}
                for name, process in ended.items():
                    del self._running[name]
                    self._collect(process)
                # The next nodes run while this process reads what the gates among the last ones found.
                self._start_ready()
                self._tell_epochs({**self._running, **ended})
                for name, process in ended.items():
                    self._tell_end(name, process)
                time.sleep(0 if ended else POLL_S)
        except BaseException:
            for name, process in self._running.items():
                process.stop()
                self.observe(NodeEvent(name, "interrupted", process.seconds))
            raise

    # --- starting ----------------------------------------------------------------------------------------

    def _start_ready(self) -> bool:
        """Starts what can be started; says whether anything came to its end at once, so that more may be ready."""
        progressed = False
        for node in self.spec.nodes.values():
            if self._is_ready(node):
                progressed = True
                self._start(node)
        return progressed

    def _is_ready(self, node: Node) -> bool:
        ended = {*self.made, *self._skipped}
        if node.name in {*ended, *self._lost, *self._running} or not node.upstream <= ended:
            return False
        if self._lost and self.spec.failure_policy == "fast":
            return False
        return node.kind != "container" or len(self._running) < SIDE_BY_SIDE

    def _start(self, node: Node) -> None:
        """Starts a node, or ends it at once: looked up, taken over, or not to be run."""
        if node.upstream & self._skipped:
            self._skip(node)
            return
        try:
            self._begin(node)
        except (conditions.NotUnderstood, KeyError, OSError) as error:
            self._fail(node.name, f"{node.name}: {type(error).__name__}: {error}", 0.0)

    def _begin(self, node: Node) -> None:
        parameters = inputs.parameters(node, self.spec.parameters, self.made)
        given = inputs.executor_input(node, self.made, parameters, plain=self.spec.plain_values)
        if not inputs.hold(node, self.made, parameters):
            self._skip(node)
        elif node.kind == "resolver":
            self._end(node.name, "resolved", Result(lookup.resolve(node, self.store, self.spec.pipeline, given)))
        elif node.kind == "importer":
            found = lookup.import_artifact(node, self.store, self.spec.pipeline, self.run_id, parameters)
            self._end(node.name, "resolved", Result(found))
        else:
            self._run_or_take_over(node, given)

    def _run_or_take_over(self, node: Node, given: Any) -> None:
        self.observe(NodeEvent(node.name, "started"))
        key = container.fingerprint(node, self.spec.pipeline, self.python, given)
        before = self.store.taken_over(key) if self._may_be_cached(node) else None
        if before:
            artifacts = {out: [self.store.artifacts[name] for name in names] for out, names in before.artifacts.items()}
            self.checks += before.checks
            self._end(node.name, "cached", Result(artifacts, before.parameters), checks=before.checks)
            return
        self._fingerprints[node.name] = key
        folder = Path(self.spec.root) / self.run_id / f"{node.name}_{self.run_id}"
        container.add_outputs(node, given, folder)
        self._running[node.name] = Process(
            node,
            given,
            self._job(node),
            python=self.python,
            variables=self.variables,
            record=self.record / node.name,
        )

    def _may_be_cached(self, node: Node) -> bool:
        return self.use_cache and bool(node.task.caching_options.enable_cache)

    def _job(self, node: Node) -> dict[str, str]:
        return {
            "pipeline_job_name": f"{self.spec.pipeline}-{self.run_id}",
            "pipeline_job_uuid": self.run_id,
            "pipeline_task_name": node.name,
            "pipeline_root": self.spec.root,
        }

    # --- ending ------------------------------------------------------------------------------------------

    def _collect(self, process: Process) -> None:
        """Keeps what a node made, so that those that wait for it can be started."""
        name, status = process.node.name, process.poll()
        if status:
            self._lost[name] = process.error(status)
            return
        try:
            made = process.result(self.spec.pipeline, self.run_id)
        except (OSError, ValueError) as error:
            self._lost[name] = f"{name}: it wrote what cannot be read: {error}"
            return
        for artifact in (found for listed in made.artifacts.values() for found in listed):
            self.store.add(artifact)
        self.made[name] = made

    def _tell_end(self, name: str, process: Process) -> None:
        if name in self._lost:
            self._tell_failure(name, process)
            return
        made = self.made[name]
        checks = findings.checks_of(made)
        self.checks += checks
        names = {key: [artifact.name for artifact in listed] for key, listed in made.artifacts.items()}
        self.store.remember(
            Execution(fingerprint=self._fingerprints[name], artifacts=names, parameters=made.parameters, checks=checks)
        )
        self._end(name, "run", made, process.seconds, checks)

    def _tell_failure(self, name: str, process: Process) -> None:
        folders = [Path(found.uri) for listed in process.given.outputs.artifacts.values() for found in listed.artifacts]
        checks = findings.refusal(folders)
        self.checks += checks
        error = Refused(name) if checks else NodeFailed(self._lost[name])
        if not checks:
            self.errors.append(self._lost[name])
        self.observe(NodeEvent(name, "failed", process.seconds, checks=tuple(checks), error=error))

    def _end(self, name: str, state: State, made: Result, seconds: float = 0.0, checks: Sequence[Check] = ()) -> None:
        self.made[name] = made
        examples = findings.counts(made)
        self.observe(NodeEvent(name, state, seconds, examples=examples, checks=tuple(checks)))

    def _fail(self, name: str, text: str, seconds: float) -> None:
        self._lost[name] = text
        self.errors.append(text)
        self.observe(NodeEvent(name, "failed", seconds, error=NodeFailed(text)))

    def _skip(self, node: Node) -> None:
        self._skipped.add(node.name)
        self.observe(NodeEvent(node.name, "skipped"))

    def _tell_epochs(self, processes: Mapping[str, Process]) -> None:
        for name, process in processes.items():
            for epoch in process.epochs():
                self.observe(NodeEvent(name, "training", process.seconds, epoch=epoch))
