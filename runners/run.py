"""A run of a model's pipeline: what it needs to start, and what it came to. Imports nothing heavy."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from pipeline.contract import Model, Query, Settings, TableSettings, Tuned, UserError, load
from pipeline.fingerprint import digest_code
from pipeline.ingestion.pictures import PictureSet, load_pictures
from pipeline.ingestion.raw import RawTable, ask, load_raw
from pipeline.settings import make_settings, pipeline_name
from pipeline.verdict import Check
from runners.events import ENDED, NodeEvent
from runners.provenance import code_here, machine_here

Outcome = Literal["pushed", "unchanged", "refused", "failed", "interrupted", "unfinished"]
EXIT_CODES: dict[Outcome, int] = {
    "pushed": 0,
    "unchanged": 0,
    "failed": 1,
    "refused": 3,
    "interrupted": 130,
    "unfinished": 1,
}
METADATA = "metadata.sqlite"
"""TFX's metadata of all runs of a root."""
LOG = "tfx.log"
"""What libraries told during a run, in its folder."""
RECORD = "run.json"
"""A run's record, in its folder: a `RunResult`."""
REPORT = "report.html"
"""A run's report, in the same folder."""
SAMPLE_LINE = "sample"


class Node(BaseModel):
    """What a node of the DAG did: `state` is one of `runners.events.ENDED`; seconds are wall-clock."""

    name: str
    state: str
    seconds: float

    @classmethod
    def of(cls, event: NodeEvent) -> Node:
        """Returns what is kept of the event with which a node ended."""
        return cls(name=event.node, state=event.state, seconds=round(event.seconds, 3))


class Heading(NamedTuple):
    """What is said of a run before its first node starts.

    Attributes:
      title: of the model, one line for people.
      data: what it reads.
      folder: of its record and log.
      notes: further lines.
    """

    title: str
    model: str
    pipeline: str
    run_id: str
    data: str
    folder: str
    notes: tuple[str, ...] = ()


class RunResult(BaseModel):
    """What a run came to; also the content of its `run.json`.

    Attributes:
      model: its name; empty in records of before there were reports, whose pipeline's name begins with it.
      started_at: UTC, ISO 8601; empty in such records.
      seconds: wall-clock, from the first node to the last; what is read before is not in it.
      outcome: pushed; unchanged (passed, but that model is already pushed); refused by a gate; failed; interrupted by
        a signal; unfinished (it is still going, or its process was killed).
      nodes: those that ended, in order.
      planned: each node of the DAG -> the nodes that had to end before it; also those that were never reached. Empty in
        records of before there were reports.
      checks: of every gate that was reached, in order.
      metrics: split -> metric -> value, of served answers; None where a metric is undefined. Those of the test split
        gate nothing.
      slices: who predicts (`candidate`, `champion`) -> slice -> metric -> value, as the Evaluator measured on the eval
        split; none if it was not reached.
      champion: folder of the pushed version that the candidate was compared with, if any.
      pushed: folder of the pushed version that holds this run's model, if any.
      rolled_back: what serves in the place of `pushed`, and how to change that; None unless nothing new was pushed
        and a person chose another version.
      error: why it failed, if it did.
      predictions: split -> file of its rows with what was predicted; none if the serving gate did not pass.
      counts: rows or files of the raw data by what became of them; none if ingestion did not come to an end.
      data: name and digest of the raw data, and where its unusable rows or files are listed, if that is known.
      training: folder of the training's logs, if it came to its end.
      tuned: hyper-parameters of a search that go over the settings, if this run searched, or reused what one found.
      code: what ran: `commit` and `changed` (files that differ from it) where the project is a git checkout, and
        versions of packages.
      machine: what it ran on: system, processors, memory.
      terminated: whether the interruption was a SIGTERM, and not Ctrl-C.
    """

    run_id: str
    pipeline: str
    model: str = ""
    started_at: str = ""
    seconds: float = 0.0
    outcome: Outcome
    nodes: list[Node] = []
    planned: dict[str, list[str]] = {}
    checks: list[Check] = []
    metrics: dict[str, dict[str, float | None]] = {}
    slices: dict[str, dict[str, dict[str, float | None]]] = {}
    champion: str | None = None
    predictions: dict[str, str] = {}
    pushed: str | None = None
    rolled_back: str | None = None
    error: str | None = None
    counts: dict[str, int] = {}
    settings: dict[str, Any]
    data: dict[str, str]
    folder: str
    training: str | None = None
    tuned: Tuned | None = None
    code: dict[str, str] = {}
    machine: dict[str, str] = {}
    terminated: bool = False

    @property
    def exit_code(self) -> int:
        """0 pushed or nothing new to push, 1 failed, 3 refused, 130 interrupted by Ctrl-C, 143 by SIGTERM."""
        return 143 if self.terminated else EXIT_CODES[self.outcome]


@dataclass
class Run:
    """A prepared run: data read and settings resolved, nothing executed yet. `generated`: it reads the sample."""

    model: Model
    settings: Settings
    raw: RawTable | PictureSet
    root: Path
    use_cache: bool = True
    run_id: str = field(default_factory=lambda: datetime.datetime.now().strftime("%Y%m%dT%H%M%S.%f"))
    generated: bool = False

    @property
    def pipeline(self) -> str:
        """Name of the pipeline."""
        return pipeline_name(self.model, self.settings)

    @property
    def folder(self) -> Path:
        """Folder of the run's record: log, `run.json`."""
        return self.root / "records" / self.pipeline / self.run_id

    @property
    def heading(self) -> Heading:
        """What is said before it starts."""
        notes = ("Loading TFX; this takes about half a minute.",)
        named = (self.model.title, self.model.name, self.pipeline, self.run_id)
        return Heading(*named, data=self.raw.source, folder=str(self.folder), notes=notes)

    @property
    def destination(self) -> str:
        """Where models of this pipeline are pushed to, versions below it."""
        base = self.settings.gates.destination or str(self.root / "pushed")
        return f"{base.rstrip('/')}/{self.pipeline}"


def begun(run: Run) -> RunResult:
    """Returns what is known of a run before its first node: its record until it ends, or for good if it is killed."""
    return RunResult(
        run_id=run.run_id,
        pipeline=run.pipeline,
        model=run.model.name,
        started_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        outcome="unfinished",
        settings=run.settings.model_dump(mode="json"),
        data={"file": run.raw.source, "digest": run.raw.digest, "quarantine": ""},
        folder=str(run.folder),
        code=code_here(),
        machine=machine_here(),
    )


def cut_short(start: RunResult, events: Sequence[NodeEvent], outcome: Outcome, **more: Any) -> RunResult:
    """Returns what a run came to that was interrupted, or that a mistake ended, as far as its nodes told."""
    told = {
        "outcome": outcome,
        "nodes": [Node.of(event) for event in events if event.state in ENDED],
        "planned": {event.node: list(event.after) for event in events if event.state == "waiting"},
        "checks": [check for event in events for check in event.checks],
    }
    return start.model_copy(update={**told, **more})


def prepare(
    model: Model,
    root: Path,
    *,
    data: Path | None = None,
    layers: tuple[Mapping[str, Any], ...] = (),
    use_cache: bool = True,
) -> Run:
    """Reads the raw data and resolves the settings against it.

    Args:
      model: the contract.
      root: folder that receives everything that runs write.
      data: raw input; the model's generated sample if None.
      layers: settings over the model's defaults, the last on top.
      use_cache: whether nodes may be taken from the cache.

    Raises:
      UserError: data or settings that cannot be used.
    """
    root = make_root(root)
    line: Mapping[str, Any] = {"data": {"line": SAMPLE_LINE}} if data is None else {}
    settings = make_settings(model, line, *layers)
    path = data or sample(model, root)
    if not isinstance(model.source, Query):
        return Run(model, settings, load_pictures(path), root, use_cache, generated=data is None)
    written = settings.data if isinstance(settings.data, TableSettings) else TableSettings()
    raw = load_raw(path, model.source, root / "data", written)
    settings = load(model.source.resolve)(settings, ask(raw, model.source))
    return Run(model, settings, raw, root, use_cache, generated=data is None)


def make_root(root: Path) -> Path:
    """Returns the folder that receives everything that runs write, made where it is missing."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            expected="a --root that is a folder, or can be made one", received=str(error), todo="choose another --root"
        ) from error
    return root.resolve()


def sample(model: Model, root: Path) -> Path:
    """Returns the model's generated sample, made where it is missing."""
    code = digest_code(model.sample_data.rpartition(".")[0])
    path = root / "sample" / f"{model.name}-{code}{model.sample_suffix}"
    if not path.exists():
        with _whole(path) as unfinished:
            load(model.sample_data)(unfinished)
    return path


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yields a name to write to; the file appears under its own name complete, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        yield Path(folder) / path.name
        (Path(folder) / path.name).replace(path)
