"""Compiling for Vertex AI: the spec that people review in a diff, and what is refused before anything is sent."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from golden import as_text
from google.cloud import aiplatform_v1 as v1

from pipeline.contract import UserError, find_model
from pipeline.settings import make_settings
from runners.commands.compiling import write
from runners.vertex.compiling import Spec, compile_spec
from runners.vertex.rehearsal import lookup
from runners.vertex.rehearsal.spec import read
from runners.vertex.settings import Training, VertexSettings, read_vertex

GOLDEN = Path(__file__).parent / "golden"
ENVIRONMENT = Path(__file__).parents[3] / "deploy/environments/vertex.yaml"
DESTINATION = {"gates": {"destination": "gs://my-project-pipelines/models"}}
RESOLVED = {"clv": {"features": {"cutoff": "2011-09-01"}}}


def compiled(name: str, **changes: Any) -> Spec:
    vertex = VertexSettings.model_validate({**read_vertex(ENVIRONMENT).model_dump(), **changes})
    model = tiny.MODEL if name == "tiny" else find_model(name)
    return compile_spec(model, make_settings(model, DESTINATION, RESOLVED.get(name, {})), vertex)


@pytest.mark.parametrize("name", ["clv", "colorizer"])
def test_the_spec_is_the_one_that_people_reviewed(name: str, tmp_path: Path) -> None:
    text = as_text(compiled(name))
    golden = GOLDEN / f"{name}.yaml"
    (tmp_path / golden.name).write_text(text)
    expected = golden.read_text() if golden.exists() else ""
    changes = "\n".join(difflib.unified_diff(expected.splitlines(), text.splitlines(), lineterm=""))
    assert not changes, f"the compiled pipeline changed; if it should: cp {tmp_path / golden.name} {golden}\n{changes}"


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write(tmp_path / name, compiled("colorizer"))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def node(spec: Spec, name: str) -> dict[str, Any]:
    container: dict[str, Any] = spec["pipelineSpec"]["deploymentSpec"]["executors"][f"{name}_executor"]["container"]
    return container


def constant(spec: Spec, name: str, parameter: str) -> Any:
    given = spec["pipelineSpec"]["root"]["dag"]["tasks"][name]["inputs"]["parameters"][parameter]
    return json.loads(given["runtimeValue"]["constantValue"]["stringValue"])


def test_dataflow_gets_the_image_and_the_account() -> None:
    spec = compiled("clv", beam={"runner": "dataflow", "subnetwork": "regions/europe-west4/subnetworks/ours"})
    args = node(spec, "Transform")["args"]
    assert {
        "--runner=DataflowRunner",
        "--project=my-project",
        "--region=europe-west4",
        "--temp_location=gs://my-project-pipelines/artifacts/dataflow",
        "--sdk_container_image=europe-west4-docker.pkg.dev/my-project/pipelines/tfx-pipelines:0.1.0",
        "--service_account_email=tfx-pipelines@my-project.iam.gserviceaccount.com",
        "--no_use_public_ips",
    } < set(args)


def test_a_trainer_in_a_job_of_its_own_gets_the_machine() -> None:
    place = {"place": "job", "accelerator": "NVIDIA_TESLA_T4", "machine": "n1-standard-16", "replicas": 2}
    spec = compiled("colorizer", training=place, encryption_key="projects/p/locations/l/keyRings/r/cryptoKeys/k")
    assert node(spec, "Trainer")["args"][1].startswith("tfx.extensions.google_cloud_ai_platform.trainer.executor.")
    job = constant(spec, "Trainer", "custom_config")["ai_platform_training_args"]
    (workers,) = job["job_spec"]["worker_pool_specs"]
    assert workers["replica_count"] == 2
    assert workers["container_spec"]["image_uri"].endswith("/tfx-pipelines:0.1.0")
    machine = {"machine_type": "n1-standard-16", "accelerator_type": "NVIDIA_TESLA_T4", "accelerator_count": 1}
    assert workers["machine_spec"] == machine
    assert job["encryption_spec"]["kms_key_name"].endswith("/k")
    # As Google's own client reads it.
    parsed = v1.CustomJob(display_name=job["display_name"], job_spec=job["job_spec"], labels=job["labels"])
    assert parsed.job_spec.service_account == "tfx-pipelines@my-project.iam.gserviceaccount.com"


def test_an_accelerator_in_the_container_is_the_trainers_alone() -> None:
    spec = compiled("clv", training={"accelerator": "NVIDIA_TESLA_T4", "accelerators": 2}, cpus=4, memory_gb=16)
    assert node(spec, "Trainer")["resources"]["accelerator"] == {"type": "NVIDIA_TESLA_T4", "count": "2"}
    assert node(spec, "Transform")["resources"] == {"cpuLimit": 4.0, "memoryLimit": 16.0}


@pytest.mark.parametrize(("tuning", "node_of"), [("search", "Tuner"), ("reuse", "LastSearch")])
def test_a_search_is_a_node_that_can_be_rehearsed(tuning: str, node_of: str) -> None:
    vertex = read_vertex(ENVIRONMENT).model_copy(update={"training": Training(accelerator="NVIDIA_TESLA_T4")})
    model, layers = find_model("clv"), (DESTINATION, RESOLVED["clv"])
    spec = compile_spec(model, make_settings(model, *layers, {"training": {"tuning": tuning}}), vertex)
    rehearsed = read(spec, {})
    lookup.check(rehearsed)
    assert node_of in rehearsed.nodes["Trainer"].upstream
    if tuning == "search":
        assert node(spec, "Tuner")["resources"]["accelerator"]["type"] == "NVIDIA_TESLA_T4"
        assert constant(spec, "Tuner", "custom_config")["trials"] == 12
        assert spec["pipelineSpec"]["root"]["dag"]["tasks"]["Tuner"]["inputs"]["artifacts"].keys() == {
            "examples",
            "schema",
            "transform_graph",
        }


def test_a_push_to_the_registry_is_told_what_to_deploy() -> None:
    spec = compiled("clv", push={"registry": True, "endpoint": "clv", "traffic_percent": 20})
    assert node(spec, "Pusher")["args"][1] == "pipeline.push.registry.RegistryPushExecutor"
    told = constant(spec, "Pusher", "custom_config")["vertex"]
    assert (told["project"], told["push"]["endpoint"], told["push"]["traffic_percent"]) == ("my-project", "clv", 20)
    assert told["labels"]["made-by"] == "tfx-pipelines", "a teardown finds it by this"


def test_dates_that_are_left_open_are_found_by_the_query_itself() -> None:
    vertex = read_vertex(ENVIRONMENT)
    clv = find_model("clv")
    spec = compile_spec(clv, make_settings(clv, DESTINATION), vertex)
    query = constant(spec, "ExampleGen", "input_config")["splits"][0]["pattern"]
    assert "MAX(date)" in query
    assert spec["labels"]["cutoff"] == "auto"
    assert "cachingOptions" not in spec["pipelineSpec"]["root"]["dag"]["tasks"]["ExampleGen"]


def test_a_source_that_was_looked_at_may_be_taken_from_the_cache() -> None:
    clv = find_model("clv")
    settings = make_settings(clv, DESTINATION, RESOLVED["clv"])
    spec = compile_spec(clv, settings, read_vertex(ENVIRONMENT), state="0123456789abcdef")
    assert spec["pipelineSpec"]["root"]["dag"]["tasks"]["ExampleGen"]["cachingOptions"] == {"enableCache": True}


# --- refusals --------------------------------------------------------------------------------------------


def test_code_that_does_not_exist() -> None:
    broken = find_model("clv").model_copy(update={"run_fn": "models.clv.trainr.run_fn"})
    with pytest.raises(UserError, match=r"models\.clv\.trainr\.run_fn, which model clv names.*No module named"):
        compile_spec(broken, make_settings(broken, DESTINATION, RESOLVED["clv"]), read_vertex(ENVIRONMENT))


def test_a_destination_that_is_no_bucket() -> None:
    clv = find_model("clv")
    settings = make_settings(clv, RESOLVED["clv"], {"gates": {"destination": "/models"}})
    with pytest.raises(UserError, match=r"gs://bucket/folder; received /models"):
        compile_spec(clv, settings, read_vertex(ENVIRONMENT))


@pytest.mark.parametrize("source", [None, "gs://my-project/transactions"])
def test_a_source_that_is_none_or_of_the_other_kind(source: str | None) -> None:
    with pytest.raises(UserError, match=r"vertex\.sources\.clv: project\.dataset\.table"):
        compiled("clv", sources={"clv": source} if source else {})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": None}, "vertex.image"),
        ({"image": "europe-west4-docker.pkg.dev/p/r/i:latest"}, "latest"),
        ({"image": "europe-west4-docker.pkg.dev/p/r/i"}, "vertex.image"),
        ({"root": "runs"}, "vertex.root"),
        ({"regoin": "europe-west4"}, "vertex.regoin"),
        ({"project": "My Project"}, "vertex.project"),
    ],
    ids=["no image", "latest", "no tag", "no bucket", "unknown", "project"],
)
def test_settings_that_cannot_be(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    content = yaml.safe_load(ENVIRONMENT.read_text())
    content["vertex"] = {key: value for key, value in {**content["vertex"], **change}.items() if value is not None}
    file = tmp_path / "vertex.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        read_vertex(file)
    assert str(file) in caught.value.todo


def test_an_environment_without_the_section(tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text("clv: {}\n")
    with pytest.raises(UserError, match="a section `vertex`"):
        read_vertex(tmp_path / "nightly.yaml")
