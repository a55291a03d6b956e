"""The Vertex AI on loopback itself, where other tests rely on it: models, endpoints, custom jobs, what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1
from vertex_server import VertexServer

from runners.vertex.google_api import client
from runners.vertex.settings import VertexSettings

Ask = Callable[[type[Any]], Any]


@pytest.fixture
def server() -> VertexServer:
    return VertexServer(slow_operations=True)


@pytest.fixture
def ask(server: VertexServer) -> Iterator[Ask]:
    """Returns a client of a class."""
    with server.serving() as url:
        given = {"project": "my-project", "region": "europe-west4", "root": "gs://bucket", "image": "tiny:1"}
        yield lambda kind: client(VertexSettings.model_validate({**given, "api_endpoint": url}), kind)


def test_a_second_upload_is_a_version_of_the_first(server: VertexServer, ask: Ask) -> None:
    models = ask(v1.ModelServiceClient)
    first = models.upload_model(parent=server.parent, model=v1.Model(display_name="clv")).result()
    asked = v1.UploadModelRequest(
        parent=server.parent, parent_model=first.model, model=v1.Model(display_name="clv", version_aliases=["default"])
    )
    second = models.upload_model(asked).result()
    assert (first.model_version_id, second.model, second.model_version_id) == ("1", first.model, "2")
    assert models.get_model(name=first.model).version_id == "2"
    assert models.get_model(name=f"{first.model}@1").version_id == "1"
    assert [each.version_id for each in models.list_model_versions(name=first.model)] == ["1", "2"]
    listed = v1.ListModelsRequest(parent=server.parent, filter='display_name="clv"')
    assert [each.version_id for each in models.list_models(listed)] == ["2"]
    models.delete_model(name=first.model).result()
    with pytest.raises(exceptions.NotFound):
        models.get_model(name=first.model)


def test_traffic_is_split_between_deployed_models(server: VertexServer, ask: Ask) -> None:
    endpoints = ask(v1.EndpointServiceClient)
    made = endpoints.create_endpoint(parent=server.parent, endpoint=v1.Endpoint(display_name="clv")).result()
    for split in ({"0": 100}, {"0": 20, "first": 80}):
        shares = {made.deployed_models[0].id if key == "first" else key: share for key, share in split.items()}
        model = v1.DeployedModel(model=f"{server.parent}/models/1")
        endpoints.deploy_model(endpoint=made.name, deployed_model=model, traffic_split=shares).result()
        made = endpoints.get_endpoint(name=made.name)
    first, second = (each.id for each in made.deployed_models)
    assert dict(made.traffic_split) == {first: 80, second: 20}
    with pytest.raises(exceptions.BadRequest, match="add up to 100"):
        endpoints.deploy_model(endpoint=made.name, deployed_model=model, traffic_split={"0": 20})
    endpoints.undeploy_model(endpoint=made.name, deployed_model_id=first, traffic_split={second: 100}).result()
    assert [each.id for each in endpoints.get_endpoint(name=made.name).deployed_models] == [second]


def test_a_custom_job_is_made_found_and_cancelled(server: VertexServer, ask: Ask) -> None:
    service = ask(v1.JobServiceClient)
    made = service.create_custom_job(parent=server.parent, custom_job=v1.CustomJob(display_name="train"))
    assert [each.name for each in service.list_custom_jobs(parent=server.parent)] == [made.name]
    service.cancel_custom_job(name=made.name)
    assert service.get_custom_job(name=made.name).state == v1.JobState.JOB_STATE_CANCELLED


def test_a_field_that_the_api_does_not_know_is_refused(server: VertexServer) -> None:
    path = f"/v1/{server.parent}/customJobs"
    for body, told in ((b'{"replicas": 2}', '"replicas"'), (b'{"displayName": 2}', "displayName")):
        status, answer = server.answer("POST", path, body)
        assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
        assert told in answer["error"]["message"]
    assert server.answer("GET", "/v1/unheard-of", b"")[0] == 404
