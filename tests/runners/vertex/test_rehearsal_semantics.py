"""What a rehearsal makes of a compiled pipeline, by one of small nodes: as Vertex AI would, with stand-ins named."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import THIS
from small_pipeline import compile_small, seen, with_script

from pipeline.contract import UserError
from runners.events import NodeEvent
from runners.vertex.rehearsal import Rehearsal, Substitutions, prepare, rehearse
from runners.vertex.rehearsal.conditions import NotUnderstood, holds
from runners.vertex.rehearsal.substitution import EXECUTORS, substitute

CHEAP_ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    return compile_small()


@pytest.fixture
def data(tmp_path: Path) -> Substitutions:
    """What stands for the one bucket that the pipeline only reads."""
    folder = tmp_path / "data"
    (folder / "schema").mkdir(parents=True)
    return Substitutions({"gs://data": folder})


def states(result: Rehearsal) -> dict[str, str]:
    return {node.name: node.state for node in result.nodes}


def test_a_pipeline_runs_node_by_node(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    result = rehearse(with_script(compiled, tmp_path), store=tmp_path / "store", substitutions=data)
    assert (result.outcome, result.exit_code, result.error) == ("unchanged", 0, None)
    expected = {"Schema": "resolved", "Latest": "resolved", "Measure": "run", "Judge": "run"}
    assert states(result) == {**expected, "Ship": "run", "ShipLatest": "run"}
    measure = seen(tmp_path / "store", result.run_id, "Measure")
    (schema,) = measure["given"]["inputs"]["artifacts"]["schema"]["artifacts"]
    assert schema["uri"] == str(data.folders["gs://data"] / "schema")
    assert measure["given"]["inputs"]["parameters"] == {"limit": {"intValue": "3"}}
    judge = seen(tmp_path / "store", result.run_id, "Judge")
    assert judge["given"]["inputs"]["parameters"] == {"count": {"intValue": "1"}}
    (model,) = judge["given"]["inputs"]["artifacts"]["model"]["artifacts"]
    assert model["name"].startswith("projects/")
    assert model["type"]["instanceSchema"].startswith("title: tfx.Model")
    assert model["uri"].startswith(str(tmp_path / "store" / "gs" / "bucket" / "root" / result.run_id))


def test_parameters_of_schema_2_1_are_plain_values(data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compile_small(plain=True), tmp_path)
    result = rehearse(spec, store=tmp_path / "store", substitutions=data, parameters={"limit": "5"})
    assert result.exit_code == 0, result.error
    given = seen(tmp_path / "store", result.run_id, "Measure")["given"]["inputs"]
    assert given["parameterValues"] == {"limit": 5}


def test_a_node_has_what_a_container_has(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    os.environ["SECRET_OF_THE_USER"] = "s3cret"
    told = Substitutions(data.folders, {"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9"}, ("a stand-in for BigQuery",))
    try:
        result = rehearse(with_script(compiled, tmp_path), store=tmp_path / "store", substitutions=told)
    finally:
        del os.environ["SECRET_OF_THE_USER"]
    found = seen(tmp_path / "store", result.run_id, "Ship")
    assert found["files"] == []
    assert found["environment"]["HOME"] == str(tmp_path / "store" / "home")
    assert found["environment"]["BIGQUERY_EMULATOR_HOST"] == "http://127.0.0.1:9"
    assert not {"SECRET_OF_THE_USER", "PYTHONPATH", "GOOGLE_APPLICATION_CREDENTIALS"} & set(found["environment"])
    assert not Path(found["folder"]).exists(), "its scratch folder goes with it"
    named = [
        f"{sys.executable} stands for image image:1",
        f"{tmp_path}/store/gs/bucket/root stands for gs://bucket/root",
        f"{tmp_path}/data stands for gs://data",
        "a stand-in for BigQuery",
    ]
    assert result.substitutions == named


def test_a_condition_that_does_not_hold_skips_what_depends_on_it(
    compiled: dict[str, Any], data: Substitutions, tmp_path: Path
) -> None:
    spec = with_script(compiled, tmp_path, blessed=False)
    result = rehearse(spec, store=tmp_path / "store", substitutions=data)
    assert states(result)["Ship"] == "skipped"
    assert (states(result)["Judge"], result.exit_code) == ("run", 0)


def test_a_second_rehearsal_takes_over_what_is_the_same(
    compiled: dict[str, Any], data: Substitutions, tmp_path: Path
) -> None:
    spec, store = with_script(compiled, tmp_path), tmp_path / "store"
    first = rehearse(spec, store=store, substitutions=data)
    assert seen(store, first.run_id, "ShipLatest")["given"]["inputs"]["artifacts"] == {"model": {}}
    second = rehearse(spec, store=store, substitutions=data)
    # The resolver found nothing before the first one, and its model now.
    cached = {"Measure": "cached", "Judge": "cached", "Ship": "cached", "ShipLatest": "run"}
    assert states(second) == {"Schema": "resolved", "Latest": "resolved", **cached}
    third = rehearse(spec, store=store, substitutions=data, parameters={"limit": 4})
    assert states(third)["Measure"] == "run"
    other = copy.deepcopy(spec)
    other["pipelineSpec"]["pipelineInfo"]["name"] = "another"
    fourth = rehearse(other, store=store, substitutions=data)
    assert states(fourth)["Measure"] == "run", "nothing is taken over from another pipeline"
    assert seen(store, fourth.run_id, "ShipLatest")["given"]["inputs"]["artifacts"] == {"model": {}}
    fifth = rehearse(spec, store=store, substitutions=data, use_cache=False)
    assert "cached" not in states(fifth).values()


def test_a_failed_node_stops_the_rehearsal_and_says_where_its_log_is(
    compiled: dict[str, Any], data: Substitutions, tmp_path: Path
) -> None:
    spec = with_script(
        compiled, tmp_path, Measure="print('epoch 1 of 3: loss 0.5'); raise ValueError('no such column')"
    )
    events: list[NodeEvent] = []
    result = rehearse(spec, store=tmp_path / "store", substitutions=data, observe=events.append)
    assert (result.outcome, result.exit_code) == ("failed", 1)
    log = Path(result.folder) / "Measure" / "log.txt"
    assert result.error == f"Measure (exit status 1): ValueError: no such column; its log is {log}"
    assert "Traceback" in log.read_text()
    assert not {"Judge", "Ship"} & set(states(result))
    assert [event.node for event in events if event.state == "failed"] == ["Measure"]
    assert json.loads((Path(result.folder) / "rehearsal.json").read_text())["outcome"] == "failed"


def test_by_the_slow_policy_what_does_not_depend_on_it_goes_on(
    compiled: dict[str, Any], data: Substitutions, tmp_path: Path
) -> None:
    spec = with_script(compiled, tmp_path, ShipLatest="raise SystemExit(4)")
    fast = rehearse(spec, store=tmp_path / "fast", substitutions=data)
    spec["runtimeConfig"]["failurePolicy"] = "PIPELINE_FAILURE_POLICY_FAIL_SLOW"
    slow = rehearse(spec, store=tmp_path / "slow", substitutions=data)
    assert "Ship" not in states(fast)
    assert (states(slow)["Ship"], slow.outcome) == ("run", "failed")


def test_epochs_are_told(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    told = "import time; print('I1 contract.py] epoch 1 of 3: loss 0.5, gini 0.25', flush=True); time.sleep(1)"
    events: list[NodeEvent] = []
    spec = with_script(compiled, tmp_path, Measure=told)
    rehearse(spec, store=tmp_path / "store", substitutions=data, observe=events.append)
    (epoch,) = [event.epoch for event in events if event.state == "training"]
    assert epoch is not None
    assert (epoch.epoch, epoch.epochs, epoch.values) == (1, 3, {"loss": 0.5, "gini": 0.25})


# --- the command ---------------------------------------------------------------------------------------


def command(tmp_path: Path, spec: dict[str, Any], *more: str) -> list[str]:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(spec))
    typed = ["rehearse", "clv", "--spec", str(file), "--root", str(tmp_path / "runs"), "--map"]
    return [str(THIS / "bin" / "pipelines"), *typed, f"gs://data={tmp_path / 'data'}", *more]


def test_the_command_tells_what_stands_for_what(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    typed = command(tmp_path, with_script(compiled, tmp_path), "--param", "limit=4")
    done = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/data stands for gs://data" in done.stdout
    assert " + Measure" in done.stdout
    assert "NOTHING NEW TO PUSH" in done.stdout
    (file,) = tmp_path.glob("runs/rehearsal/gs/bucket/root/*/Measure_*/seen.json")
    assert json.loads(file.read_text())["given"]["inputs"]["parameters"]["limit"] == {"intValue": "4"}


def test_ctrl_c_ends_the_nodes_under_way(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    sleep = f"import time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(600)"
    typed = command(tmp_path, with_script(compiled, tmp_path, Measure=sleep), "--json")
    running = subprocess.Popen(typed, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    while not (mark.exists() and mark.read_text()):
        assert running.poll() is None
        time.sleep(0.1)
    os.kill(running.pid, signal.SIGINT)
    told, _ = running.communicate(timeout=60)
    last = json.loads(told.splitlines()[-1])
    assert (running.returncode, last["event"], last["outcome"]) == (130, "result", "interrupted")
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--spec", "none.json"], "a spec none.json"),
        (["--map", "photos"], "--map NAME=VALUE"),
        (["--param", "size=3"], "runtime parameters of this pipeline: limit"),
        (["--param", "limit=many"], "runtime parameter 'limit' of type INT"),
        (["--map", "gs://data=/no/such/folder"], "a folder or file that stands for gs://data"),
        (["--python", "/no/python"], "a Python interpreter that stands for the image"),
    ],
    ids=["no spec", "no pair", "unknown parameter", "no number", "no folder", "no interpreter"],
)
def test_mistakes_are_told_in_three_lines(
    compiled: dict[str, Any], data: Substitutions, tmp_path: Path, more: list[str], said: str
) -> None:
    from typer.testing import CliRunner

    from runners.cli import app

    typed = command(tmp_path, with_script(compiled, tmp_path), *more)
    result = CliRunner().invoke(app, typed[1:])
    assert isinstance(result.exception, UserError)
    assert said in result.exception.expected


# --- refused before a node starts ------------------------------------------------------------------------


def refused(spec: dict[str, Any], data: Substitutions, tmp_path: Path, **more: Any) -> str:
    with pytest.raises(UserError) as caught:
        prepare(spec, store=tmp_path / "store", substitutions=data, environment=CHEAP_ENVIRONMENT, **more)
    assert not list((tmp_path / "store").glob("records/*"))
    return f"{caught.value.expected}: {caught.value.received}"


def dag(spec: dict[str, Any]) -> Any:
    return spec["pipelineSpec"]["root"]["dag"]["tasks"]


def test_a_field_that_vertex_does_not_know(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    dag(spec)["Judge"]["retries"] = 3
    assert 'no field named "retries"' in refused(spec, data, tmp_path)


def test_a_missing_image(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    del spec["pipelineSpec"]["deploymentSpec"]["executors"]["Judge_executor"]["container"]["image"]
    assert refused(spec, data, tmp_path) == "node Judge: an image for its container: none"


def test_a_cycle(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    dag(spec)["Measure"]["dependentTasks"].append("Ship")
    told = refused(spec, data, tmp_path)
    assert told.startswith("nodes that do not wait for each other: a cycle: ")
    assert {"Ship", "Measure"} <= set(told.replace(":", "").split())


def test_an_upstream_task_that_does_not_exist(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    dag(spec)["Judge"]["inputs"]["artifacts"]["model"]["taskOutputArtifact"]["producerTask"] = "Gone"
    told = refused(spec, data, tmp_path)
    assert told.startswith("node Judge: to wait for tasks that exist")
    assert told.endswith("'Gone'")


def test_an_output_that_does_not_exist(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    dag(spec)["Judge"]["inputs"]["artifacts"]["model"]["taskOutputArtifact"]["outputArtifactKey"] = "weights"
    told = "node Judge: input 'model' from an output of Measure (count, model): 'weights'"
    assert refused(spec, data, tmp_path) == told


@pytest.mark.parametrize("reverse", [False, True])
def test_a_parameter_on_one_side_only(
    compiled: dict[str, Any], data: Substitutions, tmp_path: Path, reverse: bool
) -> None:
    spec = with_script(compiled, tmp_path)
    task, component = dag(spec)["Measure"], spec["pipelineSpec"]["components"]["Measure"]
    if reverse:
        component["inputDefinitions"]["parameters"]["seed"] = {"type": "INT"}
        told = "node Measure: a value for each of the parameters that its component defines: none for 'seed'"
    else:
        task["inputs"]["parameters"]["seed"] = {"runtimeValue": {"constantValue": {"intValue": "3"}}}
        told = "node Measure: parameters that its component defines (limit): 'seed'"
    assert refused(spec, data, tmp_path) == told


def test_a_runtime_parameter_without_a_value(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    del spec["runtimeConfig"]["parameters"]
    assert refused(spec, data, tmp_path).startswith("a value for runtime parameter 'limit'")


def test_a_placeholder_that_vertex_does_not_know(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path, Judge="{{$.pipeline_job}}")
    assert refused(spec, data, tmp_path).startswith(
        "node Judge: placeholders that Vertex AI fills in: {{$.pipeline_job}}"
    )


def test_a_resolver_that_vertex_does_not_run(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    queries = spec["pipelineSpec"]["deploymentSpec"]["executors"]["Latest_executor"]["resolver"]
    queries["outputArtifactQueries"]["model"]["filter"] += ' AND uri="gs://data/best"'
    assert refused(spec, data, tmp_path).startswith("node Latest: the query of TFX's")


def test_a_condition_that_is_none(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    dag(spec)["Ship"]["triggerPolicy"]["condition"] = "blessed ="
    assert refused(spec, data, tmp_path).startswith("node Ship: a trigger condition that can be evaluated")


def test_a_bucket_that_nothing_stands_for(compiled: dict[str, Any], tmp_path: Path) -> None:
    told = refused(with_script(compiled, tmp_path), Substitutions(), tmp_path)
    assert "node Schema" in told
    assert told.endswith("gs://data/schema, which nothing here stands for")


def test_bigquery_that_nothing_stands_for(compiled: dict[str, Any], data: Substitutions, tmp_path: Path) -> None:
    spec = with_script(compiled, tmp_path)
    args = ["--executor_class_path", "tfx.extensions.google_cloud_big_query.example_gen.executor.Executor"]
    spec["pipelineSpec"]["deploymentSpec"]["executors"]["Measure_executor"]["container"]["args"] = args
    told = refused(spec, data, tmp_path)
    assert told == "a stand-in for BigQuery, which node Measure asks (BIGQUERY_EMULATOR_HOST): none"


# --- what works without Google Cloud ---------------------------------------------------------------------


def test_executors_and_dataflow_are_replaced_and_named(
    compiled: dict[str, Any], data: Substitutions, tmp_path: Path
) -> None:
    spec = copy.deepcopy(compiled)
    containers = spec["pipelineSpec"]["deploymentSpec"]["executors"]
    for node, executor in zip(("Measure_executor", "Ship_executor"), EXECUTORS, strict=True):
        containers[node]["container"]["args"][1] = executor
    containers["Judge_executor"]["container"]["args"] += ["--runner=DataflowRunner", "--temp_location=gs://other/tmp"]
    result = substitute(spec, data, tmp_path)
    replaced = result.spec["pipelineSpec"]["deploymentSpec"]["executors"]
    assert replaced["Measure_executor"]["container"]["args"][1] == "tfx.components.trainer.executor.GenericExecutor"
    assert replaced["Ship_executor"]["container"]["args"][1] == "pipeline.push.executor.AtomicPushExecutor"
    beam = replaced["Judge_executor"]["container"]["args"]
    assert beam[2:4] == ["--json_serialized_invocation_args", "{{$}}"]
    assert beam[4] == "--runner=FnApiRunner"
    assert not any("gs://other" in arg for arg in beam)
    assert sum("stands for" in note for note in result.notes) == 5, result.notes


# --- trigger conditions ----------------------------------------------------------------------------------


class Found:
    uri = "/model"
    metadata = {"blessed": 1.0, "name": "a && b"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", True),
        ("(inputs.artifacts['b'].artifacts[0].metadata['blessed'] == 1.0)", True),
        ("!((inputs.artifacts['b'].artifacts[0].metadata['blessed'] == 1.0))", False),
        ("(inputs.artifacts['b'].artifacts[0].metadata['name'] == 'a && b') && (1.0 < 2.0)", True),
        ("(1.0 > 2.0) || (inputs.artifacts['b'].artifacts[0].uri == ('/mo' + 'del'))", True),
        ("inputs.parameter_values['n'] != 3", False),
    ],
)
def test_a_condition_holds_or_does_not(condition: str, expected: bool) -> None:
    assert holds(condition, {"artifacts": {"b": [Found]}, "parameter_values": {"n": 3}}) is expected


@pytest.mark.parametrize("condition", ["inputs.artifacts['gone']", "__import__('os')", "inputs.__class__()"])
def test_a_condition_on_what_is_not_there_is_no_condition(condition: str) -> None:
    with pytest.raises(NotUnderstood):
        holds(condition, {"artifacts": {}, "parameter_values": {}})
