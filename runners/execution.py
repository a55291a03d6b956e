"""The part of a local run that needs TFX: builds the DAG, runs it, reads what its gates said."""

from __future__ import annotations

import shlex
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from absl import logging
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.components.base import executor_spec
from tfx.orchestration import metadata
from tfx.types import standard_artifacts

from pipeline import illustrations, predictions
from pipeline.champion import PUSHED_MODEL, LatestPushedModelStrategy, PushedStatisticsStrategy
from pipeline.contract import Pictures, Query, Tuned, UserError
from pipeline.dag import Choices, create_pipeline
from pipeline.fingerprint import digest_code
from pipeline.gate import GateRefusal, read_report
from pipeline.ingestion.duckdb_example_gen import DuckDBExampleGen
from pipeline.ingestion.example_files import REPORT, read_counts
from pipeline.ingestion.image_example_gen import QUARANTINE, ImageExampleGen
from pipeline.ingestion.pictures import PictureSet
from pipeline.ingestion.raw import RawReport, RawTable
from pipeline.ingestion.sql import render, split_queries
from pipeline.model_gate import metric_values, read_checks
from pipeline.push import Version, custom_config, say, versions
from pipeline.push.executor import NEW, AtomicPushExecutor
from pipeline.push.history import choice_or_none
from pipeline.serving_gate import read_metrics
from pipeline.settings import get
from pipeline.tuning import read_tuned
from pipeline.verdict import CHAMPION, Check
from runners.beam import BEAM_ARGS
from runners.dag_runner import NodeFailed, ObservedDagRunner
from runners.events import ENDED, NodeEvent, Observer
from runners.run import METADATA, Node, Outcome, Run, RunResult

Outputs = Mapping[str, Mapping[str, list[mlmd.Artifact]]]


def execute(run: Run, start: RunResult, observe: Observer) -> RunResult:
    """Runs the DAG of a prepared run; see `runners.local.execute`, which holds the root meanwhile."""
    nodes: list[Node] = []
    planned: dict[str, list[str]] = {}
    checks: list[Check] = []

    def note(event: NodeEvent) -> None:
        if event.state == "waiting":
            planned[event.node] = list(event.after)
        if event.state in ENDED:
            nodes.append(Node.of(event))
            event = _with_findings(event, runner.outputs)
            checks.extend(event.checks)
        observe(event)

    held = versions(run.destination)
    runner = ObservedDagRunner(run_id=run.run_id, observe=note)
    error = _run(runner, run, held)
    slices = _slices(runner.outputs)
    if _compares(run) and CHAMPION not in slices:
        checks += _unknown_champion(run, held, checks)
    pushed = _pushed(runner.outputs)
    outcome = "failed" if error else _outcome(checks, pushed, nodes)
    report, quarantine = _ingested(run, runner.outputs)
    return start.model_copy(
        update={
            "outcome": outcome,
            "nodes": nodes,
            "planned": planned,
            "checks": checks,
            "metrics": _metrics(runner.outputs),
            "slices": slices,
            "champion": _champion(runner.outputs),
            "predictions": _predictions(run, runner.outputs),
            "pushed": pushed.custom_properties["pushed_destination"].string_value if pushed else None,
            "rolled_back": _rolled_back(run, pushed) if pushed and outcome == "unchanged" else None,
            "error": error,
            "counts": _counts(report) if report else {},
            "data": {**start.data, "quarantine": str(quarantine or "")},
            "tuned": _tuned(runner.outputs),
            "training": str(_folder(runner.outputs, "Trainer", "model_run")) if "Trainer" in runner.outputs else None,
        }
    )


def _run(runner: ObservedDagRunner, run: Run, held: list[Version]) -> str | None:
    """Returns the error of the node that failed, if one did; a gate that refuses has not failed."""
    try:
        root = str(run.root / "artifacts" / run.pipeline)
        runner.run(create_pipeline(run.model, run.settings, name=run.pipeline, root=root, choices=_choices(run, held)))
    except NodeFailed as failed:
        cause = failed.__cause__
        if isinstance(cause, GateRefusal):
            return None
        if isinstance(cause, UserError):
            raise cause from failed
        logging.error("%s", "".join(traceback.format_exception(failed)))
        return f"{failed.node}: {type(cause).__name__}: {cause}"
    return None


def _choices(run: Run, held: list[Version]) -> Choices:
    """What a local run chooses; the DAG itself is the same everywhere."""
    return Choices(
        ingestion=ingestion(run),
        champion=(LatestPushedModelStrategy, {"pushed_model": standard_artifacts.PushedModel}),
        reference=(
            PushedStatisticsStrategy,
            {"model": standard_artifacts.Model, "pushed_model": standard_artifacts.PushedModel},
        ),
        push_destination=run.destination,
        push_executor=executor_spec.ExecutorClassSpec(AtomicPushExecutor),
        push_config=_push_config(run, held),
        checkpoints=str(run.root / "checkpoints" / run.pipeline),
        beam_args=list(BEAM_ARGS),
        metadata=metadata.sqlite_metadata_connection_config(str(run.root / METADATA)),
        use_cache=run.use_cache,
    )


def ingestion(run: Run) -> DuckDBExampleGen | ImageExampleGen:
    """Returns the example generator that reads a prepared run's raw data."""
    features = run.settings.features
    match run.model.source, run.raw:
        case Query() as source, RawTable() as table:
            return DuckDBExampleGen(
                split_queries(source, features),
                render(source, features),
                table,
                source.table,
                optional=source.learnt_besides,
            )
        case Pictures() as source, PictureSet() as pictures:
            size = get(run.settings, source.size)
            return ImageExampleGen(str(pictures.path), pictures.digest, size, source.splits)
    raise TypeError(f"no ingestion of {type(run.raw).__name__} for {type(run.model.source).__name__}")


def _push_config(run: Run, held: list[Version]) -> dict[str, Any]:
    """Names what the destination holds, so that a push is not taken from the cache after somebody emptied it."""
    said = say(run.model, generated=run.generated)
    told = custom_config(run.model.name, run.settings, pipeline=run.pipeline, data_digest=run.raw.digest, said=said)
    return {
        **told,
        "newest_version": held[-1].number if held else 0,
        "code": digest_code(AtomicPushExecutor.__module__),
    }


def _ingested(run: Run, outputs: Outputs) -> tuple[RawReport | None, Path | None]:
    """Returns what became of the raw data, and the list of what was unusable."""
    if isinstance(run.raw, RawTable):
        return run.raw.report, run.raw.quarantine
    if "ExampleGen" not in outputs:
        return None, None
    examples = _folder(outputs, "ExampleGen", "examples")
    return RawReport.model_validate_json((examples / REPORT).read_bytes()), examples / QUARANTINE


def _counts(report: RawReport) -> dict[str, int]:
    counts = {"read": report.rows_read, "quarantined": report.quarantined, "usable": report.rows_usable}
    return counts | {f"left out: {name}": rows for name, rows in report.left_out.items()}


def _with_findings(event: NodeEvent, outputs: Outputs) -> NodeEvent:
    """Adds what can be said once a node ended: examples by split, and what a gate checked."""
    if event.node == "ExampleGen" and event.node in outputs:
        return replace(event, examples=read_counts(outputs["ExampleGen"]["examples"][0]))
    if isinstance(event.error, GateRefusal):
        return replace(event, checks=event.error.checks)
    return replace(event, checks=tuple(_checks_of(event.node, outputs)))


def _checks_of(node: str, outputs: Outputs) -> list[Check]:
    """Returns what a node checked: nothing if it is no gate, or did not come to an end."""
    if node not in outputs:
        return []
    if node == "DataGate":
        return read_report(_folder(outputs, node, "report"))
    if node == "ServingGate":
        return read_report(_folder(outputs, node, "blessing"))
    return read_checks(str(_folder(outputs, node, "evaluation"))) if node == "Evaluator" else []


def _compares(run: Run) -> bool:
    """Whether a bound says how a model has to stand to the champion."""
    bounds = run.settings.gates.bounds
    against = {metric.name for metric in run.model.metrics if metric.against_champion}
    return bool(against & bounds.keys()) or any(bound.worsening is not None for bound in bounds.values())


def _unknown_champion(run: Run, held: list[Version], checks: list[Check]) -> list[Check]:
    """Says so where a destination holds a version that this root's metadata knows nothing of: nothing was compared."""
    judged = [check for check in checks if check.gate == "model"]
    if not held or not judged:
        return []
    choice = choice_or_none(run.destination, held)
    number = choice.version if choice else held[-1].number
    note = f"version {number} was pushed from another root: run in that root to compare with it"
    found = Check(gate="model", metric="champion", bound="known to this root", value="unknown", passed=True, note=note)
    return [found]


def _metrics(outputs: Outputs) -> dict[str, dict[str, float | None]]:
    return read_metrics(_folder(outputs, "ServingGate", "blessing")) if "ServingGate" in outputs else {}


def _slices(outputs: Outputs) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns who predicts -> slice -> metric -> value, of the candidate and of a champion."""
    return metric_values(str(_folder(outputs, "Evaluator", "evaluation"))) if "Evaluator" in outputs else {}


def _tuned(outputs: Outputs) -> Tuned | None:
    """Returns what this run's search found, or the one whose hyper-parameters it reuses."""
    node = next((name for name in ("Tuner", "LastSearch") if name in outputs), None)
    return read_tuned(str(_folder(outputs, node, "best_hyperparameters"))) if node else None


def _champion(outputs: Outputs) -> str | None:
    """Returns the folder of the version that the candidate met."""
    found = outputs.get("Champion", {}).get(PUSHED_MODEL, [])
    return found[0].custom_properties["pushed_destination"].string_value if found else None


def _predictions(run: Run, outputs: Outputs) -> dict[str, str]:
    """Copies what the serving gate wrote, or wrote when this model was asked first, to the run's record."""
    if "ServingGate" not in outputs:
        return {}
    written = _folder(outputs, "ServingGate", "blessing")
    kept = Path(shutil.copytree(written / predictions.FOLDER, run.folder / predictions.FOLDER))
    if (written / illustrations.FOLDER).is_dir():
        shutil.copytree(written / illustrations.FOLDER, run.folder / illustrations.FOLDER)
    return {path.stem: str(path) for path in sorted(kept.iterdir())}


def _folder(outputs: Outputs, node: str, key: str) -> Path:
    return Path(outputs[node][key][0].uri)


def _pushed(outputs: Outputs) -> mlmd.Artifact | None:
    artifacts = outputs.get("Pusher", {}).get("pushed_model", [])
    return next((found for found in artifacts if found.custom_properties["pushed"].int_value == 1), None)


def _rolled_back(run: Run, pushed: mlmd.Artifact) -> str | None:
    """Says so where the version that holds this run's model is not the one that a person chose to serve."""
    choice, number = choice_or_none(run.destination), pushed.custom_properties["pushed_version"].string_value
    if choice is None or number == str(choice.version):
        return None
    where = ["--root", str(run.root)]
    if run.settings.gates.destination:
        where += ["--destination", run.settings.gates.destination]
    typed = shlex.join(["pipelines", "promote", run.model.name, number, *where])
    return f"Version {number} was rolled back ({choice.at}): version {choice.version} serves. To serve it: {typed}"


def _outcome(checks: list[Check], pushed: mlmd.Artifact | None, nodes: list[Node]) -> Outcome:
    """A push that was taken from the cache, or that found its model already there, is nothing new."""
    if not pushed or not all(check.passed for check in checks):
        return "refused"
    fresh = any(node.name == "Pusher" and node.state == "run" for node in nodes)
    return "pushed" if fresh and pushed.custom_properties[NEW].int_value == 1 else "unchanged"
