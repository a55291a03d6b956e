"""Where a model comes from, and what used it: from the raw file's digest to a pushed version, and on.

It is put together from the version's manifest, the run's record and the root's metadata. Any of them may be missing: a
version that another root pushed has its manifest alone here. Then `Lineage.unknown` says what is not known. Imports
no TFX.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.fingerprint import digest_json
from pipeline.push import is_bucket
from pipeline.verdict import Check
from runners.lineage_nodes import Query, Step, kept_raw, query_of, steps_of
from runners.lineage_versions import Pushed, Use, described, looked_up, read_manifest, recorded, uses
from runners.pushed_models import Line, look
from runners.records import records
from runners.reports.store import Execution, Store, open_store
from runners.run import RunResult


class Lineage(BaseModel):
    """What is known of a run's model, backwards and forwards.

    Attributes:
      pipeline: its name.
      run: id of the run.
      outcome, started_at, error: of the run; empty if its record is not known here.
      version: the pushed version that holds the model; None if there is none.
      data: name and digest of the raw data, and where it is kept (`kept`) and what was unusable (`quarantine`).
      counts: rows or files of the raw data by what became of them.
      query: that made the examples; None where there is none, or it is not known.
      settings: all of the run.
      settings_digest: changes with any of them.
      code: commit, changed files and package versions of the run.
      nodes: what each node did, in order.
      checks: what the gates said.
      champion: the version that the candidate met.
      reference: the version whose data was the reference for drift.
      uses: runs that met the version.
      line: all versions that were pushed to where this one is, and which of them serves.
      unknown: what is not known here, in sentences.
    """

    pipeline: str
    run: str
    outcome: str = ""
    started_at: str = ""
    error: str | None = None
    version: Pushed | None = None
    data: dict[str, str]
    counts: dict[str, int] = {}
    query: Query | None = None
    settings: dict[str, Any]
    settings_digest: str
    code: dict[str, str] = {}
    nodes: list[Step] = []
    checks: list[Check] = []
    champion: Pushed | None = None
    reference: Pushed | None = None
    uses: list[Use] = []
    line: Line | None = None
    unknown: list[str] = []


def of_version(root: Path, address: str) -> Lineage:
    """Returns the lineage of a pushed version, as far as a root knows it.

    Args:
      root: of the runs.
      address: folder of the version, local or `gs://bucket/folder/<version>`.

    Raises:
      UserError: there is no pushed version, or its bucket cannot be read.
    """
    manifest = read_manifest(address)
    known = {result.run_id: result for result in records(root)}
    start = Lineage(
        pipeline=manifest.pipeline,
        run=manifest.run,
        version=described(address, manifest),
        data={"digest": manifest.data_digest},
        settings=manifest.settings,
        settings_digest=digest_json(manifest.settings),
        line=_line(root, address),
    )
    return _told(root, start, known, open_store(root))


def of_run(root: Path, result: RunResult, store: Store | None) -> Lineage:
    """Returns the lineage of what a run came to: up to where it stopped, if it was refused or failed.

    Buckets are not asked, so that a report can be made without a network.
    """
    known = {**{each.run_id: each for each in records(root)}, result.run_id: result}
    on_disk = result.pushed and not is_bucket(result.pushed) and Path(result.pushed).is_dir()
    start = Lineage(
        pipeline=result.pipeline,
        run=result.run_id,
        version=recorded(result.pushed),
        data=result.data,
        settings=result.settings,
        settings_digest=digest_json(result.settings),
        line=_line(root, result.pushed) if result.pushed and on_disk else None,
    )
    return _told(root, start, known, store)


def _line(root: Path, address: str) -> Line:
    """All versions at the place of one."""
    destination = address.rpartition("/")[0]
    base, _, name = destination.rpartition("/")
    return look(root, base, name)


def _told(root: Path, start: Lineage, known: Mapping[str, RunResult], store: Store | None) -> Lineage:
    """Adds what the run's record and the metadata say."""
    result = known.get(start.run)
    executions = store.run(start.run) if store and start.run else {}
    ingestion = executions.get("ExampleGen")
    found = {
        **(_of_record(result) if result else {}),
        "data": {**(result.data if result else {}), **start.data, **kept_raw(ingestion)},
        "query": query_of(ingestion),
        "nodes": steps_of(start.run, executions, result, store, known),
        "champion": looked_up(executions.get("Champion")) or recorded(result.champion if result else None),
        "reference": looked_up(executions.get("Reference")),
        "uses": uses(start.version, start.run, start.pipeline, known, store) if start.version else [],
        "unknown": [*_unknown(root, start, result, executions)],
    }
    return start.model_copy(update=found)


def _of_record(result: RunResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in ("outcome", "started_at", "counts", "code", "checks", "error")}


def _unknown(
    root: Path, start: Lineage, result: RunResult | None, executions: Mapping[str, Execution]
) -> Iterator[str]:
    version, run = start.version, start.run or "that its manifest does not name"
    if result is None:
        yield (
            f"{root / 'records'} has no record of run {run}: the raw file's name, the code's version and what the "
            "gates said are not known here"
        )
    if not executions:
        yield (
            f"the metadata of {root} has no run {run}: its nodes, artifacts, SQL, champion and drift reference are not "
            "known here"
        )
    if result is None and not executions:
        yield f"if another root pushed this version, name that one: --root {_root_of(version) or 'ROOT'}"
    if version and not (start.line and version.path in [each.path for each in start.line.versions]):
        yield f"{version.path} was not found among pushed versions: whether it serves is not known here"


def _root_of(version: Pushed | None) -> str | None:
    """The root that a version lies in, by where it lies: `ROOT/pushed/<pipeline>/<version>`."""
    folder = Path(version.path).parents if version and not is_bucket(version.path) else []
    return str(folder[2]) if len(folder) > 2 and folder[1].name == "pushed" else None
