"""`pipelines doctor --env vertex`, asked of Google's APIs as they are played on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cloud_project import ACCOUNT, BUCKET, COLUMNS, IMAGE, Cloud, place, storage, write
from typer.testing import CliRunner

from runners.cli import app
from runners.vertex.needs import APIS, BUCKET_ROLES, DATAFLOW_APIS, DATAFLOW_ROLES, PLACED_ROLES, ROLES

TERRAFORM = Path(__file__).parents[3] / "deploy" / "terraform" / "main.tf"


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a storage server, which Google's client finds."""
    with storage() as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        yield url


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buckets: str) -> Iterator[Cloud]:
    api = Cloud()
    with api.serving() as url:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", url)
        monkeypatch.chdir(tmp_path)
        write(url)
        yield api


def doctor() -> tuple[int, list[str]]:
    """Exit code, and the lines that are not ok."""
    answer = CliRunner().invoke(app, ["doctor", "--env", "vertex"], catch_exceptions=False)
    lines = [line.strip() for line in answer.output.splitlines() if line.strip()]
    return answer.exit_code, [line for line in lines if not line.startswith("ok ")]


def test_all_is_well(cloud: Cloud) -> None:
    answer = CliRunner().invoke(app, ["doctor", "--env", "vertex"], catch_exceptions=False)
    assert (answer.exit_code, doctor()) == (0, (0, []))
    for told in (
        "project: my-project is ACTIVE",
        "permissions: yours cover all commands",
        f"image: {IMAGE} is there",
        "custom_model_training_cpus in europe-west4: 42, of which 4 are needed",
        f"bucket {BUCKET}: is in europe-west4",
        "table of clv: my-project.shop.transactions is in europe-west4",
    ):
        assert told in answer.output
    # Looking costs and changes nothing.
    asked = {(each.method, each.path.rpartition(":")[2]) for each in cloud.asked if each.method != "GET"}
    assert asked == {("POST", "testIamPermissions"), ("POST", "getIamPolicy")}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"state": "DELETE_REQUESTED"}, "problem  project: my-project is DELETE_REQUESTED"),
        ({"disabled": {"aiplatform"}}, "problem  APIs: aiplatform is not enabled; it runs pipelines"),
        (
            {"denied": {"aiplatform.pipelineJobs.create"}},
            "problem  permissions: you lack aiplatform.pipelineJobs.create, which `pipelines submit` needs",
        ),
        ({"account": {"disabled": True}}, f"problem  service account: {ACCOUNT} is disabled"),
        (
            {"roles": list(ROLES)[1:]},
            f"problem  service account: {ACCOUNT} does not hold roles/aiplatform.user in the project",
        ),
        (
            {"limits": {"custom_model_training_cpus": "2"}},
            "problem  quota: aiplatform.googleapis.com/custom_model_training_cpus is 2 in europe-west4, and 4 are",
        ),
        ({"columns": dict(list(COLUMNS.items())[1:])}, "problem  table of clv: my-project.shop.transactions: expected"),
        ({"location": "US"}, "problem  table of clv: my-project.shop.transactions is in US"),
    ],
)
def test_each_problem_is_told_with_what_to_do(cloud: Cloud, change: dict[str, Any], told: str) -> None:
    for name, value in change.items():
        setattr(cloud, name, value)
    code, lines = doctor()
    assert code == 1
    assert [line for line in lines if line.startswith(told) and " -> " in line], lines


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ("GET .*/tags/0.1.0", "problem  image: "),
        ("GET .*/serviceAccounts/.*", "problem  service account: does not exist: "),
        ("GET .*/tensorboards/7", "problem  TensorBoard: does not exist: "),
        ("GET .*/tables/transactions", "problem  table of clv: "),
    ],
)
def test_what_is_not_there_is_a_problem(cloud: Cloud, requests: str, told: str) -> None:
    write(cloud.url, tensorboard="projects/my-project/locations/europe-west4/tensorboards/7")
    cloud.refuse(404, "it was not found", requests)
    code, lines = doctor()
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(told)
    assert "it was not found" in lines[0]


def test_what_may_not_be_looked_at_is_a_warning_and_stops_nothing(cloud: Cloud) -> None:
    cloud.refuse(403, "you may not", "(GET .*/services:batchGet|POST .*:getIamPolicy)")
    code, lines = doctor()
    assert code == 0
    assert all("could not look: " in line and "you may not" in line for line in lines)
    assert [line.partition(": could")[0] for line in lines] == ["warning  APIs", "warning  service account"]


def test_quota_follows_what_the_environment_asks_for(cloud: Cloud) -> None:
    cloud.limits |= {"custom_model_training_nvidia_t4_gpus": "0", "custom_model_serving_n2_cpus": "-1"}
    training = {"place": "job", "machine": "n1-standard-16", "replicas": 3, "accelerator": "NVIDIA_TESLA_T4"}
    write(cloud.url, training=training, push={"registry": True, "endpoint": "clv", "machine": "n2-standard-4"})
    code, lines = doctor()
    assert code == 1
    assert [line.partition("custom_model_")[2].partition(" ->")[0] for line in lines] == [
        "training_cpus is 42 in europe-west4, and 48 are needed",
        "training_nvidia_t4_gpus is 0 in europe-west4, and 3 are needed",
    ]


@pytest.mark.parametrize(
    ("location", "code", "told"),
    [
        ("EU", 0, "warning  bucket my-project-pipelines: is in the multi-region eu"),
        ("EUR4", 0, None),
        ("US", 1, "problem  bucket my-project-pipelines: is in us, the pipelines in europe-west4"),
        ("EUROPE-WEST1", 1, "problem  bucket my-project-pipelines: is in europe-west1"),
    ],
)
def test_a_bucket_belongs_where_the_pipelines_run(
    cloud: Cloud, buckets: str, location: str, code: int, told: str | None
) -> None:
    place(buckets, location)
    found, lines = doctor()
    assert found == code
    assert [line.startswith(told or "") for line in lines] == ([True] if told else [])


def test_a_missing_bucket_is_a_problem(cloud: Cloud) -> None:
    write(cloud.url, root="gs://absent-bucket/artifacts")
    code, lines = doctor()
    assert code == 1
    assert [line.partition(" ->")[0] for line in lines] == [
        "problem  bucket absent-bucket: there is no such bucket, or it is not yours"
    ]


def test_an_account_that_may_not_write_to_the_bucket_is_a_warning(cloud: Cloud, buckets: str) -> None:
    requests.put(f"{buckets}/storage/v1/b/{BUCKET}/iam", json={"bindings": []}, timeout=5).raise_for_status()
    code, lines = doctor()
    assert code == 0
    assert len(lines) == 1
    assert f"{ACCOUNT} does not hold roles/storage.objectAdmin on it" in lines[0]


def test_without_credentials_only_the_settings_are_looked_at(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "absent.json")
    write(None, image="us-central1-docker.pkg.dev/my-project/pipelines/tfx-pipelines:0.1.0")
    code, lines = doctor()
    assert code == 1
    assert cloud.asked == []
    assert [line.partition(":")[0] for line in lines] == ["warning  image", "problem  credentials"]
    assert "gcloud auth application-default login" in lines[1]


def test_terraform_makes_what_the_doctor_looks_for() -> None:
    made = TERRAFORM.read_text(encoding="utf-8")
    apis = [f"{api}.googleapis.com" for api in (*APIS, *DATAFLOW_APIS)]
    assert [
        need for need in (*apis, *ROLES, *DATAFLOW_ROLES, *BUCKET_ROLES, *PLACED_ROLES) if f'"{need}"' not in made
    ] == []
