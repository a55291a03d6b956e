"""Pushes that go on to the Model Registry and an endpoint: the real clients, against servers on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage
from registry_server import Refusal, Registry, serve
from remote_artifacts import at
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import json_utils, proto_utils

from pipeline.contract import GateSettings, Settings, UserError
from pipeline.push import custom_config, versions
from pipeline.push.registry import RegistryPushExecutor
from pipeline.push.registry_settings import Push, Vertex
from pipeline.push.vertex import model_id, serving_image, share_traffic

BUCKET = "gs://models/tiny-main"
KEY = "projects/my-project/locations/europe-west4/keyRings/ring/cryptoKeys/key"
SERVED = Push(registry=True, endpoint="tiny")


@pytest.fixture
def registry(bucket: storage.Bucket) -> Iterator[Registry]:
    """An empty registry, beside a bucket."""
    with serve(Registry()) as registry:
        yield registry


def push(
    registry: Registry, folder: Path, content: str, settings: Push = SERVED, *, to: str = BUCKET, blessed: int = 1
) -> Any:
    """Runs the executor over a model with such weights; returns the PushedModel."""
    files = {"saved_model.pb": "graph", "variables/variables.index": content}
    for name, text in files.items():
        (folder / "model" / "Format-Serving" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "model" / "Format-Serving" / name).write_text(text)
    (folder / "infra").mkdir(exist_ok=True)
    (folder / "infra" / "metrics.json").write_text('{"eval": {"mae": 3.5, "gini": null}}')
    inputs = {
        "model": [at(standard_artifacts.Model, str(folder / "model"))],
        "model_blessing": [at(standard_artifacts.ModelBlessing, str(folder / "model"))],
        "infra_blessing": [at(standard_artifacts.InfraBlessing, str(folder / "infra"))],
    }
    for key in ("model_blessing", "infra_blessing"):
        inputs[key][0].set_int_custom_property("blessed", blessed)
    vertex = Vertex(
        project="my-project",
        region="europe-west4",
        api_endpoint=registry.address,
        labels={"team": "shop"},
        encryption_key=KEY,
        service_account="serving@my-project.iam.gserviceaccount.com",
        image="europe-docker.pkg.dev/mine/nodes:7",
        push=settings,
    )
    told = custom_config("tiny", Settings(gates=GateSettings()), pipeline="tiny-main", data_digest="d" * 16)
    destination = pusher_pb2.PushDestination(filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=to))
    properties = {
        "push_destination": proto_utils.proto_to_json(destination),
        "custom_config": json_utils.dumps({**told, "vertex": vertex.model_dump()}),
    }
    pushed = at(standard_artifacts.PushedModel, str(folder / "pushed"))
    RegistryPushExecutor(BaseExecutor.Context(pipeline_run_id="run-7")).Do(
        inputs, {"pushed_model": [pushed]}, properties
    )
    return pushed


def split(registry: Registry) -> dict[str, int]:
    """Version in the registry -> percent of the endpoint's requests, of all that is deployed."""
    (endpoint,) = registry.endpoints.values()
    return {
        deployed["modelVersionId"]: endpoint["trafficSplit"].get(deployed["id"], 0)
        for deployed in endpoint["deployedModels"]
    }


def test_two_pushes_are_two_versions_of_one_model(registry: Registry, tmp_path: Path) -> None:
    settings = Push(registry=True)
    pushes = [push(registry, tmp_path / content, content, settings) for content in "ab"]

    first, second = registry.models["tiny-main"]
    paths = [version.path for version in versions(BUCKET)]
    assert [first["artifactUri"], second["artifactUri"]] == paths
    assert [one.get_string_custom_property("registered_model").partition("/models/")[2] for one in pushes] == [
        "tiny-main@1",
        "tiny-main@2",
    ]
    numbers = [one.get_string_custom_property("pushed_version") for one in pushes]
    assert first["versionAliases"] == [f"pushed-{numbers[0]}"]
    assert second["versionAliases"] == [f"pushed-{numbers[1]}", "default"]
    assert second["labels"] == {"team": "shop", "pushed_version": numbers[1]}
    assert second["encryptionSpec"] == {"kmsKeyName": KEY}
    assert second["containerSpec"]["imageUri"] == "europe-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
    digest = pushes[1].get_string_custom_property("model_digest")
    assert second["versionDescription"] == (
        f"Version {numbers[1]} of tiny-main, pushed by run run-7. Model digest {digest}, data digest {'d' * 16}. "
        "eval: mae 3.5"
    )
    assert not registry.endpoints


def test_an_image_of_ones_own_serves(registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, "a", Push(registry=True, serving_image="europe-docker.pkg.dev/mine/serving:7"))
    assert registry.models["tiny-main"][0]["containerSpec"] == {"imageUri": "europe-docker.pkg.dev/mine/serving:7"}


@pytest.mark.parametrize(("image", "taken"), [(None, "nodes:7"), ("europe-docker.pkg.dev/mine/slim:2", "slim:2")])
def test_this_projects_server_is_told_what_to_serve_and_where(
    image: str | None, taken: str, registry: Registry, tmp_path: Path
) -> None:
    push(registry, tmp_path, "a", Push(registry=True, server="pipelines", serving_image=image))
    assert registry.models["tiny-main"][0]["containerSpec"] == {
        "imageUri": f"europe-docker.pkg.dev/mine/{taken}",
        "args": ["serve", "tiny", "--host", "0.0.0.0"],
        "ports": [{"containerPort": 8080}],
        "predictRoute": "/predict",
        "healthRoute": "/health",
        "startupProbe": {
            "httpGet": {"path": "/health", "port": 8080},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 60,
        },
    }


def test_the_endpoint_is_made_and_new_versions_take_their_share(registry: Registry, tmp_path: Path) -> None:
    pushed = push(registry, tmp_path / "a", "a", SERVED.model_copy(update={"machine": "n2-standard-4"}))
    ((number, endpoint),) = registry.endpoints.items()
    assert pushed.get_string_custom_property("endpoint").endswith(f"/locations/europe-west4/endpoints/{number}")
    assert (endpoint["displayName"], endpoint["labels"]) == ("tiny", {"team": "shop"})
    (deployed,) = endpoint["deployedModels"]
    assert deployed["dedicatedResources"]["machineSpec"] == {"machineType": "n2-standard-4"}
    assert deployed["serviceAccount"] == "serving@my-project.iam.gserviceaccount.com"
    assert split(registry) == {"1": 100}

    push(registry, tmp_path / "b", "b", SERVED.model_copy(update={"traffic_percent": 25}))
    assert split(registry) == {"1": 75, "2": 25}
    push(registry, tmp_path / "c", "c", SERVED)
    assert split(registry) == {"3": 100}
    assert len(registry.endpoints) == 1


def test_other_models_of_the_endpoint_stay(registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path / "a", "a")
    registry.endpoints["1"]["deployedModels"].append({"id": "7", "model": "projects/1/locations/x/models/theirs"})
    push(registry, tmp_path / "b", "b")
    assert [found["id"] for found in registry.endpoints["1"]["deployedModels"]] == ["7", "102"]


def test_what_is_there_already_is_left_as_it_is(registry: Registry, tmp_path: Path) -> None:
    first = push(registry, tmp_path / "a", "a")
    registry.asked.clear()
    again = push(registry, tmp_path / "again", "a")
    assert again.get_int_custom_property("new") == 0
    for key in ("registered_model", "endpoint"):
        assert (
            again.get_string_custom_property(key).partition("/locations/")[2]
            == (first.get_string_custom_property(key).partition("/locations/")[2])
        )
    assert {key for key, _ in registry.asked} == {"GET models", "GET endpoints"}


@pytest.mark.parametrize(
    ("verb", "refusal", "message"),
    [
        (
            "models:upload",
            Refusal(403, "Permission 'aiplatform.models.upload' denied"),
            "expected the Model Registry to take it in project my-project, region europe-west4; "
            "received 403 .*denied.*; have roles/aiplatform.user granted",
        ),
        (
            "endpoints:deployModel",
            Refusal(429, "Quota exceeded for n1-standard-2"),
            "expected endpoint 'tiny' to serve it in project .*; received 429 .*; ask for more quota",
        ),
        ("POST endpoints", Refusal(400, "the key is of another region"), "correct the setting below vertex"),
        ("GET models", Refusal(503, "out of order"), "look at the state of Vertex AI"),
    ],
)
def test_a_refusal_says_that_the_model_is_pushed_and_the_next_run_completes_it(
    registry: Registry, tmp_path: Path, verb: str, refusal: Refusal, message: str
) -> None:
    registry.refusals[verb] = refusal
    with pytest.raises(UserError, match=message) as caught:
        push(registry, tmp_path / "a", "a")
    (version,) = versions(BUCKET)
    assert f"The model is pushed to {version.path} and stays there; run again" in str(caught.value)

    registry.refusals.clear()
    pushed = push(registry, tmp_path / "again", "a")
    assert pushed.get_int_custom_property("new") == 0
    assert versions(BUCKET) == [version]
    assert [found["artifactUri"] for found in registry.models["tiny-main"]] == [version.path]
    assert split(registry) == {"1": 100}


def test_two_endpoints_of_the_name_are_not_guessed_between(registry: Registry, tmp_path: Path) -> None:
    for number in ("1", "2"):
        registry.endpoints[number] = {"displayName": "tiny", "name": f"projects/1/locations/x/endpoints/{number}"}
    with pytest.raises(UserError, match=r"expected one endpoint of the name tiny .*endpoints/1, .*endpoints/2"):
        push(registry, tmp_path, "a")


def test_a_local_destination_is_refused_before_anything_is_pushed(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a push destination gs://bucket/folder"):
        push(registry, tmp_path, "a", to=str(tmp_path / "served"))
    assert not (tmp_path / "served").exists()


def test_without_both_blessings_or_a_registry_it_is_not_asked(registry: Registry, tmp_path: Path) -> None:
    refused = push(registry, tmp_path / "a", "a", blessed=0)
    assert (refused.get_int_custom_property("pushed"), versions(BUCKET)) == (0, [])
    assert push(registry, tmp_path / "b", "b", Push()).get_int_custom_property("pushed") == 1
    assert registry.asked == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"endpoint": "tiny"}, "registry: true"), ({"min_replicas": 3, "max_replicas": 2}, "at least the 3")],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Push(**settings)


def test_ids_images_and_shares() -> None:
    long = "clv-" + "x" * 80
    assert model_id("clv-main-horizon_days-91") == "clv-main-horizon_days-91"
    assert model_id("7 Shops!").startswith("m-7-shops-")
    assert len(model_id(long)) == 63
    assert model_id(long) != model_id(long + "y")
    assert [serving_image(region).partition("-docker")[0] for region in ("us-east1", "asia-east1", "europe-west4")] == [
        "us",
        "asia",
        "europe",
    ]
    assert share_traffic({"a": 34, "b": 33, "c": 33, "d": 0}, 50) == {"0": 50, "a": 17, "b": 17, "c": 16}
    assert share_traffic({"a": 60, "b": 40}, 100) == {"0": 100}
