"""`pipelines teardown --env vertex`, on a Vertex AI and a bucket on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from gcp_storage_emulator.server import create_server
from google.cloud import storage
from local_api import Api, Asked
from typer.testing import CliRunner, Result

from pipeline.contract import UserError
from runners.cli import app
from runners.vertex.settings import MADE_BY

PARENT = "projects/my-project/locations/europe-west4"
OBJECTS = ("artifacts/clv/model", "artifacts/clv/examples", "artifacts-of-others/model", "models/1/saved_model.pb")
MADE: list[dict[str, Any]] = [
    {"name": "schedules/1", "createPipelineJobRequest": {"pipelineJob": {"labels": MADE_BY}}, "displayName": "nightly"},
    {"name": "pipelineJobs/1", "labels": MADE_BY, "state": "PIPELINE_STATE_RUNNING", "displayName": "clv-1"},
    {"name": "pipelineJobs/2", "labels": MADE_BY, "state": "PIPELINE_STATE_SUCCEEDED", "displayName": "clv-2"},
    {"name": "customJobs/1", "labels": MADE_BY, "state": "JOB_STATE_RUNNING"},
    {"name": "endpoints/1", "labels": MADE_BY, "deployedModels": [{"id": "7", "displayName": "clv"}]},
    {"name": "models/1", "labels": MADE_BY},
]
FOREIGN: list[dict[str, Any]] = [
    {"name": "pipelineJobs/3", "labels": {"made-by": "somebody"}, "state": "PIPELINE_STATE_RUNNING"},
    {"name": "endpoints/2"},
]


class Region(Api):
    """What is there, page by page; deletions are operations that are done when they are asked for again."""

    def __init__(self) -> None:
        super().__init__()
        self.there = {
            f"{PARENT}/{each['name']}": {**each, "name": f"{PARENT}/{each['name']}"} for each in (*MADE, *FOREIGN)
        }
        self.changes: list[str] = []
        for method, path, handler in (
            ("GET", "/v1/{parent}/{plural}", self._list),
            ("GET", "/v1/{parent}/operations/{id}", lambda _: {"done": True}),
            ("GET", "/v1/{parent}/{plural}/{id}", lambda asked: self.there[asked.path[4:]]),
            ("DELETE", "/v1/{parent}/{plural}/{id}", self._delete),
            ("POST", "/v1/{parent}/{plural}/{id}:cancel", self._cancel),
            ("POST", "/v1/{parent}/{plural}/{id}:undeployModel", self._undeploy),
        ):
            self.route(method, path)(handler)

    def _list(self, asked: Asked) -> dict[str, Any]:
        plural, page = asked.groups["plural"], int(asked.query.get("pageToken", 0))
        found = [each for name, each in self.there.items() if name.startswith(f"{PARENT}/{plural}/")]
        more = {"nextPageToken": str(page + 1)} if page + 1 < len(found) else {}
        return {plural: found[page : page + 1], **more}

    def _delete(self, asked: Asked) -> dict[str, Any]:
        gone = self.there.pop(asked.path[4:])
        assert not gone.get("state", "").endswith("RUNNING")
        assert not gone.get("deployedModels")
        return self._note("delete", asked)

    def _cancel(self, asked: Asked) -> dict[str, Any]:
        self._note("cancel", asked)
        job = self.there[f"{PARENT}/{asked.groups['plural']}/{asked.groups['id']}"]
        job["state"] = job["state"].replace("RUNNING", "CANCELLED")
        return {}

    def _undeploy(self, asked: Asked) -> dict[str, Any]:
        endpoint = self.there[f"{PARENT}/endpoints/{asked.groups['id']}"]
        endpoint["deployedModels"] = [
            each for each in endpoint["deployedModels"] if each["id"] != asked.body["deployedModelId"]
        ]
        return self._note("undeploy", asked)

    def _note(self, verb: str, asked: Asked) -> dict[str, Any]:
        self.changes.append(f"{verb} {asked.groups.get('plural', 'endpoints')}/{asked.groups['id']}")
        return {"name": f"{PARENT}/operations/{len(self.changes)}"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    with create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket"):
        made = storage.Client().bucket("bucket")
        for name in OBJECTS:
            made.blob(name).upload_from_string(b"x" * 100_000)
        yield made


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: storage.Bucket) -> Iterator[Region]:
    monkeypatch.setattr("runners.vertex.teardown.POLL_S", 0.01)
    monkeypatch.chdir(tmp_path)
    api = Region()
    with api.serving():
        write(api.url, "gs://bucket/artifacts")
        yield api


def write(url: str, root: str) -> None:
    vertex = {"project": "my-project", "region": "europe-west4", "root": root, "image": "tiny:1", "api_endpoint": url}
    file = Path("deploy/environments/vertex.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"vertex": vertex, "clv": {"gates": {"destination": "gs://bucket/models"}}}))


def teardown(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["teardown", "--env", "vertex", *arguments], input=typed)


def names(bucket: storage.Bucket) -> set[str]:
    return {blob.name for blob in bucket.list_blobs()}


def test_a_dry_run_lists_what_is_ours_and_changes_nothing(region: Region, bucket: storage.Bucket) -> None:
    before = dict(region.there)
    answer = teardown("--dry-run", "--models")
    assert answer.exit_code == 0
    *listed, kept = answer.output.splitlines()
    assert listed == [
        f"schedule: {PARENT}/schedules/1 (nightly)",
        f"pipeline job: {PARENT}/pipelineJobs/1 (clv-1, running)",
        f"pipeline job: {PARENT}/pipelineJobs/2 (clv-2, succeeded)",
        f"training job: {PARENT}/customJobs/1 (running)",
        f"endpoint: {PARENT}/endpoints/1 (serves clv)",
        f"registered model: {PARENT}/models/1 ()",
        "files: gs://bucket/artifacts/ (2 objects, 0.2 MB)",
    ]
    assert "terraform destroy" in kept
    assert (region.there, region.changes, names(bucket)) == (before, [], set(OBJECTS))


def test_what_is_ours_is_stopped_then_removed_in_order(region: Region, bucket: storage.Bucket) -> None:
    answer = teardown(typed="my-project\n")
    assert answer.exit_code == 0
    assert region.changes == [
        "delete schedules/1",
        "cancel pipelineJobs/1",
        "delete pipelineJobs/1",
        "delete pipelineJobs/2",
        "cancel customJobs/1",
        "delete customJobs/1",
        "undeploy endpoints/1",
        "delete endpoints/1",
    ]
    assert {name.removeprefix(f"{PARENT}/") for name in region.there} == {"models/1", "pipelineJobs/3", "endpoints/2"}
    assert names(bucket) == {"artifacts-of-others/model", "models/1/saved_model.pb"}
    assert f"removed endpoint {PARENT}/endpoints/1" in answer.output
    assert "Nothing of this project's runs is left" in teardown("--dry-run").output


def test_registered_models_go_only_when_asked_for(region: Region) -> None:
    assert teardown("--models", "--yes", "my-project").exit_code == 0
    assert {name.removeprefix(f"{PARENT}/") for name in region.there} == {"pipelineJobs/3", "endpoints/2"}


@pytest.mark.parametrize(("arguments", "typed"), [(["--yes", "other-project"], ""), ([], "yes\n")])
def test_another_projects_id_removes_nothing(
    region: Region, bucket: storage.Bucket, arguments: list[str], typed: str
) -> None:
    answer = teardown(*arguments, typed=typed)
    assert isinstance(answer.exception, UserError)
    assert answer.exception.expected == "my-project"
    assert (region.changes, names(bucket)) == ([], set(OBJECTS))


def test_pushed_models_below_the_root_are_left(region: Region, bucket: storage.Bucket) -> None:
    write(region.url, "gs://bucket")
    assert "files: gs://bucket/ (3 objects, 0.3 MB)" in teardown("--dry-run").output
    assert teardown("--yes", "my-project").exit_code == 0
    assert names(bucket) == {"models/1/saved_model.pb"}


def test_a_refusal_says_what_to_do(region: Region, bucket: storage.Bucket) -> None:
    region.refuse(403, "Permission 'aiplatform.endpoints.delete' denied", "DELETE .*/endpoints/1")
    answer = teardown("--yes", "my-project")
    assert isinstance(answer.exception, UserError)
    assert "aiplatform.endpoints.delete" in answer.exception.received
    assert f"removed training job {PARENT}/customJobs/1" in answer.output
    assert names(bucket) == set(OBJECTS)
