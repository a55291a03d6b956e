"""CLV as Vertex AI runs it: compiled, rehearsed node by node to a push, submitted, and refused where it must be.

Each node is a process of its own, entered as TFX's containers are; BigQuery is a stand-in that Google's client asks.
"""

from __future__ import annotations

import copy
import json
import queue
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vertex_server import NodeState, VertexServer

from pipeline.contract import UserError, find_model
from pipeline.push import verify, versions
from runners.events import NodeEvent
from runners.run import Run, prepare
from runners.vertex import jobs, rehearsal
from runners.vertex.compiling import Spec, compile_spec
from runners.vertex.rehearsal import Rehearsal, Substitutions, rehearse
from runners.vertex.settings import VertexSettings, read_vertex
from runners.vertex.stage import stage

PROJECT = Path(__file__).parents[3]
# Where this process finds the project; an image has it installed.
FOUND = {"PYTHONPATH": str(PROJECT)}
ENVIRONMENT = read_vertex(PROJECT / "deploy" / "environments" / "vertex.yaml")
DESTINATION = "my-project-pipelines/models/clv-sample-horizon-days-91"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rehearsal")


@pytest.fixture(scope="module")
def played(root: Path) -> Run:
    """What is rehearsed: the generated sample."""
    settings = {"gates": {"destination": "gs://my-project-pipelines/models"}}
    return prepare(find_model("clv"), root, layers=(settings,))


@pytest.fixture(scope="module")
def spec(played: Run) -> Spec:
    """The pipeline as it is submitted."""
    return compile_spec(played.model, played.settings, ENVIRONMENT, state=played.raw.digest)


@pytest.fixture(scope="module")
def cloud(played: Run) -> Iterator[Substitutions]:
    """What stands for BigQuery."""
    with stage(played, ENVIRONMENT, {}) as substitutions:
        yield substitutions


def parameter(spec: dict[str, Any], node: str, name: str) -> dict[str, Any]:
    """The constant of a node's parameter, to be edited."""
    found: dict[str, Any] = spec["pipelineSpec"]["root"]["dag"]["tasks"][node]["inputs"]["parameters"][name]
    constant: dict[str, Any] = found["runtimeValue"]["constantValue"]
    return constant


def container(spec: dict[str, Any], node: str) -> dict[str, Any]:
    found: dict[str, Any] = spec["pipelineSpec"]["deploymentSpec"]["executors"][f"{node}_executor"]["container"]
    return found


def nodes(result: Rehearsal, state: str) -> set[str]:
    return {node.name for node in result.nodes if node.state == state}


# --- a push, and what comes after it ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def first(spec: Spec, root: Path, cloud: Substitutions) -> Rehearsal:
    return rehearse(spec, store=root / "store", environment=FOUND, substitutions=cloud)


@pytest.fixture(scope="module")
def second(spec: Spec, root: Path, cloud: Substitutions, first: Rehearsal) -> Iterator[tuple[Rehearsal, jobs.Job]]:
    """The same once more, submitted with Google's client: what plays Vertex AI rehearses the job that it is sent."""
    results: list[Rehearsal] = []

    def run(job: dict[str, Any]) -> Iterator[NodeState]:
        told: queue.Queue[NodeEvent | None] = queue.Queue()

        def work() -> None:
            sent = {key: job[key] for key in ("displayName", "labels", "pipelineSpec", "runtimeConfig")}
            store, observe = root / "store", told.put
            results.append(rehearse(sent, store=store, environment=FOUND, substitutions=cloud, observe=observe))
            told.put(None)

        threading.Thread(target=work).start()
        for event in iter(told.get, None):
            if event.state in NODE_STATES:
                yield NodeState(event.node, NODE_STATES[event.state], log=[f"{event.node} {event.state}"])

    server = VertexServer(run=run)
    with server.serving() as address:
        vertex = VertexSettings.model_validate({**ENVIRONMENT.model_dump(), "api_endpoint": address})
        job = jobs.submit(spec, vertex, job_id="clv-1")
        assert job.state in ("PENDING", "RUNNING")
        server.join()
        yield results[0], jobs.status(vertex, "clv-1")


NODE_STATES = {
    "started": "RUNNING",
    "run": "SUCCEEDED",
    "resolved": "SUCCEEDED",
    "cached": "SKIPPED",
    "failed": "FAILED",
}
"""How Vertex AI calls what a rehearsal tells of a node."""


def test_a_rehearsal_ends_with_a_pushed_model(first: Rehearsal, root: Path) -> None:
    assert (first.outcome, first.exit_code, first.error) == ("pushed", 0, None)
    (version,) = versions(str(root / "store" / "gs" / DESTINATION))
    assert first.pushed == version.path
    assert first.destination == f"gs://{DESTINATION}/{version.number}"
    manifest = verify(Path(version.path))
    assert manifest.run == f"Pusher_{first.run_id}"
    assert manifest.metrics == first.metrics
    assert (manifest.metrics["eval"]["future_mae_vs_naive"] or 9) < 0.99


def test_the_stand_ins_are_named(first: Rehearsal) -> None:
    told = "\n".join(first.substitutions)
    assert f"stands for image {ENVIRONMENT.image}" in told
    assert "stands for gs://my-project-pipelines/artifacts" in told
    assert "stands for BigQuery, with 93,004 rows of clv-" in told


def test_every_gate_is_heard_and_no_champion_known(first: Rehearsal) -> None:
    assert {check.gate for check in first.checks} == {"data", "serving", "model"}
    assert all(check.passed for check in first.checks)
    # Raw rows are judged as they are locally: BigQuery counts them.
    assert "rows with negative price" in {check.metric for check in first.checks}
    (increase,) = [check for check in first.checks if check.metric == "future_mae_increase"]
    assert increase.value == "not measured"
    assert nodes(first, "resolved") == {"Champion-model-blessing-resolver", "Champion-model-resolver"}
    assert set(first.predictions) == {"eval", "test", "train"}


def test_every_node_leaves_its_log_and_no_scratch(first: Rehearsal) -> None:
    for node in nodes(first, "run"):
        (log,) = (Path(first.folder) / node).iterdir()
        assert "Starting executor" in log.read_text()


def test_what_is_submitted_takes_over_what_is_the_same_and_compares_with_the_champion(
    first: Rehearsal, second: tuple[Rehearsal, jobs.Job]
) -> None:
    result, job = second
    assert nodes(result, "run") == {"Evaluator", "Pusher"}
    assert nodes(result, "cached") == nodes(first, "run") - {"Evaluator", "Pusher"}
    assert (result.outcome, result.exit_code, result.pushed) == ("unchanged", 0, first.pushed)
    (increase,) = [check for check in result.checks if check.metric == "future_mae_increase"]
    assert (increase.value, increase.passed) == (0, True), "compared with the champion, which is the same model"
    kept = [check for check in result.checks if check.gate != "model"]
    assert kept == [check for check in first.checks if check.gate != "model"]
    assert job.state == "SUCCEEDED"
    shown = {node.name: node.state for node in job.nodes}
    assert (shown["Trainer"], shown["Evaluator"]) == ("SKIPPED", "SUCCEEDED")


# --- refusals --------------------------------------------------------------------------------------------


def test_the_data_gate_refuses_in_its_own_words(
    spec: Spec, root: Path, cloud: Substitutions, second: tuple[Rehearsal, jobs.Job]
) -> None:
    gates = json.loads(spec["runtimeConfig"]["parameters"]["data_gates"]["stringValue"])
    gates["skew"]["numeric"] = {"lower": None, "upper": 0.0, "reason": "no skew at all"}
    parameters = {"data_gates": json.dumps(gates)}
    result = rehearse(spec, store=root / "store", environment=FOUND, substitutions=cloud, parameters=parameters)
    assert (result.outcome, result.exit_code, result.error) == ("refused", 3, None)
    missed = {(check.gate, check.metric) for check in result.checks if not check.passed}
    assert ("data", "skew of n_purchases") in missed
    assert "GateRefusal: data gate: skew of " in (Path(result.folder) / "DataGate" / "log.txt").read_text()
    assert nodes(result, "failed") == {"DataGate"}
    assert "Transform" not in {node.name for node in result.nodes}


def test_the_model_gate_refuses_with_the_bound_that_was_missed(
    spec: Spec, root: Path, cloud: Substitutions, second: tuple[Rehearsal, jobs.Job]
) -> None:
    strict = copy.deepcopy(spec)
    config = parameter(strict, "Evaluator", "eval_config")
    config["stringValue"] = config["stringValue"].replace('\\"lower\\": 0.5,', '\\"lower\\": 0.99,')
    assert config != parameter(spec, "Evaluator", "eval_config")
    result = rehearse(strict, store=root / "store", environment=FOUND, substitutions=cloud)
    assert (result.outcome, result.exit_code, result.pushed) == ("refused", 3, None)
    (missed,) = [check for check in result.checks if not check.passed]
    assert (missed.gate, missed.metric, missed.bound) == ("model", "future_gini", ">= 0.99")


# --- what the image must have ----------------------------------------------------------------------------


def refused(spec: Spec, cloud: Substitutions, tmp_path: Path, **more: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        rehearsal.prepare(spec, store=tmp_path / "store", **{"environment": FOUND, "substitutions": cloud, **more})
    return caught.value


def test_a_training_function_that_the_image_does_not_have(spec: Spec, cloud: Substitutions, tmp_path: Path) -> None:
    wrong = copy.deepcopy(spec)
    parameter(wrong, "Trainer", "run_fn")["stringValue"] = "models.clv.trainr.run_fn"
    error = refused(wrong, cloud, tmp_path)
    assert error.expected == f"node Trainer: models.clv.trainr.run_fn in image {ENVIRONMENT.image}"
    assert error.received.startswith("ModuleNotFoundError: No module named 'models.clv.trainr' in ")


def test_a_preprocessing_function_that_is_not_there(spec: Spec, cloud: Substitutions, tmp_path: Path) -> None:
    wrong = copy.deepcopy(spec)
    parameter(wrong, "Transform", "preprocessing_fn")["stringValue"] = "models.clv.preprocessing.preprocess"
    error = refused(wrong, cloud, tmp_path)
    assert error.expected.startswith("node Transform: models.clv.preprocessing.preprocess in image")
    assert "has no attribute 'preprocess'" in error.received


def test_an_executor_and_a_metric_that_are_not_there(spec: Spec, cloud: Substitutions, tmp_path: Path) -> None:
    wrong = copy.deepcopy(spec)
    container(wrong, "DataGate")["args"][1] = "pipeline.data_gate.Executer"
    assert refused(wrong, cloud, tmp_path).expected.startswith("node DataGate: pipeline.data_gate.Executer")
    wrong = copy.deepcopy(spec)
    config = parameter(wrong, "Evaluator", "eval_config")
    config["stringValue"] = config["stringValue"].replace("pipeline.metrics.mae", "pipeline.metrics.mean_error")
    assert refused(wrong, cloud, tmp_path).expected.startswith("node Evaluator: pipeline.metrics.mean_error")


def test_a_type_that_containers_cannot_import(spec: Spec, cloud: Substitutions, tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(spec).replace("pipeline.GateReport", "pipelines.GateReport"))
    assert refused(wrong, cloud, tmp_path).expected.startswith("node DataGate: pipelines.GateReport")


def test_an_interpreter_without_the_project(spec: Spec, cloud: Substitutions, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "image"], check=True)
    python = tmp_path / "image" / "bin" / "python"
    (site,) = (tmp_path / "image" / "lib").glob("python*/site-packages")
    # Its packages are this environment's, whose .pth files, such as that of an editable install, are not read.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    error = refused(spec, cloud, tmp_path, python=str(python), environment={})
    assert error.received.startswith("an image without the project")
    assert "models, pipeline" in error.expected


def test_an_image_that_is_not_named(spec: Spec, cloud: Substitutions, tmp_path: Path) -> None:
    wrong = copy.deepcopy(spec)
    del container(wrong, "Transform")["image"]
    error = refused(wrong, cloud, tmp_path)
    assert "Transform" in error.expected
    assert "image" in error.expected


def test_an_unknown_parameter(spec: Spec, cloud: Substitutions, tmp_path: Path) -> None:
    error = refused(spec, cloud, tmp_path, parameters={"cutof": "2011-09-01"})
    assert "cutof" in error.received
    assert "data_gates" in error.expected


def test_a_bucket_that_nothing_stands_for(spec: Spec, cloud: Substitutions, tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(spec).replace("gs://my-project-pipelines/artifacts/checkpoints", "gs://elsewhere/c"))
    error = refused(wrong, cloud, tmp_path)
    assert "node Trainer" in error.expected
    assert error.received.startswith("gs://elsewhere/c")


def test_bigquery_without_rows(spec: Spec, tmp_path: Path) -> None:
    assert "a stand-in for BigQuery, which node ExampleGen asks" in refused(spec, Substitutions(), tmp_path).expected
