"""Rehearsal: runs what was compiled for Vertex AI on this machine, each node as a process with its container's command.

What is not there is stood for by something that is, and named: the image by an interpreter, buckets by folders.
"""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any

from runners.events import ENDED, NodeEvent, Observer
from runners.interrupt import Interrupt, catching
from runners.local import locked
from runners.run import Heading, Node, RunResult
from runners.vertex.rehearsal import container, findings, lookup, preflight, values
from runners.vertex.rehearsal.findings import PUSHED_MODEL
from runners.vertex.rehearsal.rehearsing import Rehearsing
from runners.vertex.rehearsal.spec import Spec, read
from runners.vertex.rehearsal.store import Store
from runners.vertex.rehearsal.substitution import Substituted, Substitutions, substitute

__all__ = ["Prepared", "Rehearsal", "Substitutions", "prepare", "rehearse"]

RECORD = "rehearsal.json"


class Rehearsal(RunResult):
    """What a rehearsal came to; also the content of its `rehearsal.json`.

    Attributes:
      substitutions: what stood for which part of the cloud, a line each.
      destination: the `gs://` address that `pushed`, a local folder, stands for.
    """

    substitutions: list[str] = []
    destination: str | None = None


@dataclass
class Prepared:
    """A rehearsal that nothing is missing for; nothing executed yet.

    Attributes:
      spec: what is rehearsed, substitutions made.
      substituted: what stands for what.
      store: folder of artifacts and records.
      python: interpreter that stands for the image.
      variables: environment of every node.
      notes: all substitutions, a line each.
    """

    spec: Spec
    substituted: Substituted
    store: Path
    python: str
    variables: Mapping[str, str]
    notes: tuple[str, ...]
    use_cache: bool = True
    run_id: str = field(default_factory=lambda: datetime.datetime.now().strftime("%Y%m%dT%H%M%S.%f"))

    @property
    def folder(self) -> Path:
        """Folder of the rehearsal's record, with a folder for each node's log."""
        return self.store / "records" / self.spec.pipeline / self.run_id

    def heading(self, title: str, model: str, data: str) -> Heading:
        """Returns what is said before it starts: what is rehearsed, and what stands for what."""
        notes = ("In this rehearsal", *(f"  {note}" for note in self.notes))
        return Heading(title, model, self.spec.pipeline, self.run_id, data, str(self.folder), notes)

    def execute(self, observe: Observer) -> Rehearsal:
        """Runs all nodes and writes the record.

        Returns:
          The result, also where a gate refused, a node failed, or Ctrl-C or SIGTERM interrupted.

        Raises:
          UserError: another rehearsal uses the store.
        """
        nodes: list[Node] = []

        def note(event: NodeEvent) -> None:
            if event.state in ENDED:
                nodes.append(Node.of(event))
            observe(event)

        with catching() as interrupt, locked(self.store):
            running = Rehearsing(
                self.spec,
                Store(self.store),
                self.run_id,
                self.python,
                self.variables,
                self.folder,
                note,
                self.use_cache,
            )
            try:
                running.run()
            except (KeyboardInterrupt, Exception):
                if not interrupt.signal:
                    raise
                interrupt.ignore()
            result = self._result(running, nodes, interrupt)
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / RECORD).write_text(result.model_dump_json(indent=1), encoding="utf-8")
        return result

    def _result(self, running: Rehearsing, nodes: list[Node], interrupt: Interrupt) -> Rehearsal:
        push = findings.pushed(running.made)
        pushed = str(push.metadata["pushed_destination"]) if push else None
        outcome = findings.outcome(running.checks, push, nodes, pushes=_pushes(self.spec))
        if running.errors:
            outcome = "failed"
        if interrupt.signal:
            outcome = "interrupted"
        return Rehearsal(
            run_id=self.run_id,
            pipeline=self.spec.pipeline,
            outcome=outcome,
            nodes=nodes,
            checks=running.checks,
            metrics=findings.metrics(running.made),
            predictions=findings.predictions(running.made),
            pushed=pushed,
            error="; ".join(running.errors) or None,
            counts={},
            settings={},
            data={"file": self.spec.root, "digest": "", "quarantine": ""},
            folder=str(self.folder),
            terminated=interrupt.signal is Signals.SIGTERM,
            substitutions=list(self.notes),
            destination=self.substituted.address(pushed) if pushed else None,
        )


def prepare(
    spec: Mapping[str, Any],
    *,
    store: Path,
    substitutions: Substitutions | None = None,
    parameters: Mapping[str, Any] | None = None,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
    use_cache: bool = True,
) -> Prepared:
    """Checks that a compiled pipeline can be rehearsed, in a second or two; starts no node.

    Args:
      spec: PipelineJob as JSON, as TFX's compiler writes it (schema 2.0 or 2.1).
      store: folder of artifacts and records, which later rehearsals look up.
      substitutions: what stands for parts of the cloud, besides the folders that the pipeline writes to.
      parameters: runtime parameters, by name.
      python: interpreter that stands for the image.
      environment: further variables of every node, such as PYTHONPATH where the project is not installed.
      use_cache: whether nodes that are the same are taken over from earlier rehearsals, where the spec allows it.

    Raises:
      UserError: what the spec, the interpreter or the substitutions lack, with the node that needs it.
    """
    store, given = store.resolve(), substitutions or Substitutions()
    # Made absolute, but no link is followed: a virtual environment's interpreter is one.
    python = str(Path(shutil.which(python) or python).absolute())
    compiled = read(spec, parameters or {})
    config = {**spec.get("runtimeConfig", {}), **values.config(compiled.parameters, plain=compiled.plain_values)}
    substituted = substitute({**spec, "runtimeConfig": config}, given, store / "gs")
    rewritten = read(substituted.spec, {})
    home = store / "home"
    home.mkdir(parents=True, exist_ok=True)
    variables = container.environment(python, home, {**given.environment, **(environment or {})})
    lookup.check(rewritten)
    preflight.check([compiled, rewritten], python, variables)
    images = sorted({node.executor.container.image for node in compiled.nodes.values() if node.kind == "container"})
    notes = tuple(f"{python} stands for image {image}" for image in images)
    return Prepared(
        rewritten,
        substituted,
        store,
        python,
        variables,
        (*notes, *substituted.notes),
        use_cache,
    )


def rehearse(spec: Mapping[str, Any], *, observe: Observer = lambda _event: None, **choices: Any) -> Rehearsal:
    """Rehearses a compiled pipeline: `prepare`, whose arguments it takes, and `Prepared.execute` in one."""
    return prepare(spec, **choices).execute(observe)


def _pushes(spec: Spec) -> bool:
    outputs = (kind for node in spec.nodes.values() for kind in node.component.output_definitions.artifacts.values())
    return any(preflight.type_title(kind.artifact_type) == PUSHED_MODEL for kind in outputs)
