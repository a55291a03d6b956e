"""Rehearsals of the one DAG, compiled by TFX: each node a process of its own, entered as TFX's containers are."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import tiny
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.types import standard_artifacts

from pipeline.contract import UserError
from pipeline.dag import Choices, create_pipeline
from pipeline.ingestion.duckdb_example_gen import DuckDBExampleGen
from pipeline.ingestion.raw import RawTable
from pipeline.ingestion.sql import render, split_queries
from pipeline.push import custom_config, verify, versions
from pipeline.push.executor import AtomicPushExecutor
from runners.beam import BEAM_ARGS
from runners.run import Run, prepare
from runners.vertex import rehearsal
from runners.vertex.rehearsal import Rehearsal, rehearse

IMAGE = "europe-west4-docker.pkg.dev/my-project/pipelines/tfx-pipelines:1"
# Where this process finds the project and the tiny model; an image has them installed.
PROJECT = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), str(Path(tiny.__file__).parents[1])])}


def ingestion(run: Run) -> DuckDBExampleGen:
    source, features = tiny.MODEL.source, run.settings.features
    assert isinstance(run.raw, RawTable)
    assert source == run.model.source
    queries, whole = split_queries(source, features), render(source, features)  # type: ignore[arg-type]
    return DuckDBExampleGen(queries, whole, run.raw, "points")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rehearsal")


@pytest.fixture(scope="module")
def spec(root: Path) -> dict[str, Any]:
    """The tiny model's pipeline, as it would be submitted; its rows come from a file in the place of BigQuery."""
    run = prepare(tiny.MODEL, root)
    choices = Choices(
        ingestion=ingestion(run),
        champion=(LatestBlessedModelStrategy, {"model_blessing": standard_artifacts.ModelBlessing}),
        push_destination="gs://bucket/models/tiny",
        push_executor=ExecutorClassSpec(AtomicPushExecutor),
        push_config=custom_config("tiny", run.settings, pipeline="tiny", data_digest=run.raw.digest),
        beam_args=BEAM_ARGS,
    )
    pipeline = create_pipeline(tiny.MODEL, run.settings, name="tiny", root="gs://bucket/root", choices=choices)
    runner = KubeflowV2DagRunner(KubeflowV2DagRunnerConfig(default_image=IMAGE))
    compiled: dict[str, Any] = runner.run(pipeline, write_out=False)
    return compiled


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
def first(spec: dict[str, Any], root: Path) -> Rehearsal:
    return rehearse(spec, store=root / "store", environment=PROJECT)


@pytest.fixture(scope="module")
def second(spec: dict[str, Any], root: Path, first: Rehearsal) -> Rehearsal:
    return rehearse(spec, store=root / "store", environment=PROJECT)


def test_a_rehearsal_ends_with_a_pushed_model(first: Rehearsal, root: Path) -> None:
    assert (first.outcome, first.exit_code, first.error) == ("pushed", 0, None)
    destination = root / "store" / "gs" / "bucket" / "models" / "tiny"
    (version,) = versions(str(destination))
    assert first.pushed == version.path
    assert first.destination == f"gs://bucket/models/tiny/{version.number}"
    manifest = verify(Path(version.path))
    assert manifest.run == f"Pusher_{first.run_id}"
    assert manifest.metrics == first.metrics
    assert manifest.metrics["eval"]["mae"] < 1e-4


def test_every_gate_is_heard_and_no_champion_known(first: Rehearsal) -> None:
    assert {check.gate for check in first.checks} == {"data", "serving", "model"}
    assert all(check.passed for check in first.checks)
    assert not [check for check in first.checks if "champion" in check.bound]
    assert nodes(first, "resolved") == {"Champion-model-blessing-resolver", "Champion-model-resolver"}
    assert set(first.predictions) == {"eval", "test"}


def test_every_node_leaves_its_log_and_no_scratch(first: Rehearsal) -> None:
    for node in nodes(first, "run"):
        (log,) = (Path(first.folder) / node).iterdir()
        assert "Starting executor" in log.read_text()


def test_a_second_rehearsal_takes_over_what_is_the_same_and_compares_with_the_champion(
    first: Rehearsal, second: Rehearsal
) -> None:
    assert nodes(second, "run") == {"Evaluator", "Pusher"}
    assert nodes(second, "cached") == nodes(first, "run") - {"Evaluator", "Pusher"}
    assert (second.outcome, second.exit_code, second.pushed) == ("unchanged", 0, first.pushed)
    (champion,) = [check for check in second.checks if "champion" in check.bound]
    assert champion.passed
    kept = [check for check in second.checks if check.gate != "model"]
    assert kept == [check for check in first.checks if check.gate != "model"]


# --- refusals --------------------------------------------------------------------------------------------


def test_the_data_gate_refuses_in_its_own_words(spec: dict[str, Any], root: Path, second: Rehearsal) -> None:
    strict = copy.deepcopy(spec)
    gates = parameter(strict, "DataGate", "gates")
    told = json.loads(gates["stringValue"])
    told["skew"]["numeric"] = {"lower": None, "upper": 0.0, "reason": "no skew at all"}
    gates["stringValue"] = json.dumps({**told, "min_compared_rows": 1})
    result = rehearse(strict, store=root / "store", environment=PROJECT)
    assert (result.outcome, result.exit_code, result.error) == ("refused", 3, None)
    missed = {(check.gate, check.metric) for check in result.checks if not check.passed}
    assert missed == {("data", "skew of x")}
    assert "GateRefusal: data gate: skew of x on eval is " in (Path(result.folder) / "DataGate" / "log.txt").read_text()
    assert nodes(result, "failed") == {"DataGate"}
    assert "Transform" not in {node.name for node in result.nodes}


def test_the_model_gate_refuses_with_the_bound_that_was_missed(
    spec: dict[str, Any], root: Path, second: Rehearsal
) -> None:
    strict = copy.deepcopy(spec)
    config = parameter(strict, "Evaluator", "eval_config")
    # An error of 0 is above -1: nothing can pass.
    config["stringValue"] = config["stringValue"].replace('\\"upper\\": 5.0', '\\"upper\\": -1.0')
    assert config != parameter(spec, "Evaluator", "eval_config")
    result = rehearse(strict, store=root / "store", environment=PROJECT)
    assert (result.outcome, result.exit_code, result.pushed) == ("refused", 3, None)
    (missed,) = [check for check in result.checks if not check.passed]
    assert (missed.gate, missed.metric, missed.bound) == ("model", "mae", "<= -1")


# --- what the image must have ----------------------------------------------------------------------------


def refused(spec: dict[str, Any], tmp_path: Path, **more: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        rehearsal.prepare(spec, store=tmp_path / "store", **{"environment": PROJECT, **more})
    return caught.value


def test_a_training_function_that_the_image_does_not_have(spec: dict[str, Any], tmp_path: Path) -> None:
    wrong = copy.deepcopy(spec)
    parameter(wrong, "Trainer", "run_fn")["stringValue"] = "tiny.trainr.run_fn"
    error = refused(wrong, tmp_path)
    assert error.expected == f"node Trainer: tiny.trainr.run_fn in image {IMAGE}"
    assert error.received.startswith("ModuleNotFoundError: No module named 'tiny.trainr' in ")


def test_a_preprocessing_function_that_its_module_does_not_have(spec: dict[str, Any], tmp_path: Path) -> None:
    wrong = copy.deepcopy(spec)
    parameter(wrong, "Transform", "preprocessing_fn")["stringValue"] = "tiny.preprocessing.preprocess"
    error = refused(wrong, tmp_path)
    assert error.expected.startswith("node Transform: tiny.preprocessing.preprocess in image")
    assert "has no attribute 'preprocess'" in error.received


def test_an_executor_and_a_metric_that_the_image_does_not_have(spec: dict[str, Any], tmp_path: Path) -> None:
    wrong = copy.deepcopy(spec)
    container(wrong, "DataGate")["args"][1] = "pipeline.data_gate.Executer"
    assert refused(wrong, tmp_path).expected.startswith("node DataGate: pipeline.data_gate.Executer")
    wrong = copy.deepcopy(spec)
    config = parameter(wrong, "Evaluator", "eval_config")
    config["stringValue"] = config["stringValue"].replace("pipeline.metrics.mae", "pipeline.metrics.mean_error")
    assert refused(wrong, tmp_path).expected.startswith("node Evaluator: pipeline.metrics.mean_error")


def test_a_type_that_containers_cannot_import(spec: dict[str, Any], tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(spec).replace("pipeline.GateReport", "pipelines.GateReport"))
    assert refused(wrong, tmp_path).expected.startswith("node DataGate: pipelines.GateReport")


def test_an_interpreter_without_the_project(spec: dict[str, Any], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "image"], check=True)
    python = tmp_path / "image" / "bin" / "python"
    (site,) = (tmp_path / "image" / "lib").glob("python*/site-packages")
    # Its packages are this environment's, whose .pth files, such as that of an editable install, are not read.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    error = refused(spec, tmp_path, python=str(python), environment={})
    assert error.received.startswith("an image without the project")
    assert "pipeline, tiny" in error.expected
