"""A project of Google Cloud on loopback: what the doctor asks of it, its bucket, and the environment that names it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import requests
import yaml
from gcp_storage_emulator.server import create_server
from local_api import Api, Asked, Refusal

from pipeline.contract import Query, find_model
from pipeline.ingestion.bigquery import TYPES
from runners.vertex.needs import ROLES

BUCKET = "my-project-pipelines"
IMAGE = "europe-west4-docker.pkg.dev/my-project/pipelines/tfx-pipelines:0.1.0"
ACCOUNT = "tfx-pipelines@my-project.iam.gserviceaccount.com"
MEMBERS = [f"serviceAccount:{ACCOUNT}"]
COLUMNS = {column.name: TYPES[column.type][0] for column in cast(Query, find_model("clv").source).columns}


@dataclass
class Cloud(Api):
    """A project in which all is well, until a test changes a field."""

    state: str = "ACTIVE"
    disabled: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    account: dict[str, Any] = field(default_factory=lambda: {"email": ACCOUNT})
    roles: list[str] = field(default_factory=lambda: list(ROLES))
    limits: dict[str, str] = field(default_factory=lambda: {"custom_model_training_cpus": "42"})
    columns: dict[str, str] = field(default_factory=lambda: dict(COLUMNS))
    location: str = "europe-west4"

    def __post_init__(self) -> None:
        routes = {
            "GET /v3/projects/my-project": lambda _: {"state": self.state},
            "POST /v3/projects/my-project:testIamPermissions": self._permissions,
            "POST /v3/projects/my-project:getIamPolicy": lambda _: {
                "bindings": [{"role": role, "members": MEMBERS} for role in self.roles]
            },
            "GET /v1/projects/my-project/services:batchGet": lambda _: {"services": list(self._services())},
            f"GET /v1/projects/my-project/serviceAccounts/{ACCOUNT}": lambda _: self.account,
            "GET /v1/.*/europe-west4/repositories/pipelines/packages/tfx-pipelines/tags/0.1.0": lambda _: {"name": "1"},
            "GET /v1beta1/.*/consumerQuotaMetrics/aiplatform.googleapis.com/(?P<metric>.*)": self._quota,
            "GET /v1/projects/my-project/locations/europe-west4/tensorboards/7": lambda _: {"name": "7"},
            "GET /bigquery/v2/projects/my-project/datasets/shop/tables/transactions": lambda _: self._table(),
            "GET /bigquery/v2/projects/my-project/datasets/shop": lambda _: {
                "datasetReference": {"projectId": "my-project", "datasetId": "shop"},
                "location": self.location,
            },
        }
        for request, handler in routes.items():
            method, _, path = request.partition(" ")
            self.route(method, path)(handler)

    def _permissions(self, asked: Asked) -> dict[str, Any]:
        return {"permissions": [each for each in asked.body["permissions"] if each not in self.denied]}

    def _services(self) -> Iterator[dict[str, Any]]:
        for api in ("aiplatform", "artifactregistry", "bigquery", "cloudresourcemanager", "iam", "logging"):
            yield self._service(api)
        for api in ("serviceusage", "storage", "cloudbuild", "compute"):
            yield self._service(api)

    def _service(self, api: str) -> dict[str, Any]:
        state = "DISABLED" if api in self.disabled else "ENABLED"
        return {"config": {"name": f"{api}.googleapis.com"}, "state": state}

    def _quota(self, asked: Asked) -> dict[str, Any]:
        if asked.groups["metric"] not in self.limits:
            raise Refusal(404, "no such metric")
        bucket = {"effectiveLimit": self.limits[asked.groups["metric"]], "dimensions": {"region": "europe-west4"}}
        return {"consumerQuotaLimits": [{"quotaBuckets": [{"effectiveLimit": "0"}, bucket]}]}

    def _table(self) -> dict[str, Any]:
        return {
            "tableReference": {"projectId": "my-project", "datasetId": "shop", "tableId": "transactions"},
            "type": "TABLE",
            "lastModifiedTime": "1",
            "numRows": "3",
            "numBytes": "9",
            "schema": {"fields": [{"name": name, "type": kind} for name, kind in self.columns.items()]},
        }


@contextmanager
def storage() -> Iterator[str]:
    """Address of a storage server on loopback, with the environment's bucket in the region."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with create_server("127.0.0.1", int(url.rpartition(":")[2]), in_memory=True, default_bucket=BUCKET):
        place(url, "EUROPE-WEST4")
        binding = {"role": "roles/storage.objectAdmin", "members": MEMBERS}
        requests.put(f"{url}/storage/v1/b/{BUCKET}/iam", json={"bindings": [binding]}, timeout=5).raise_for_status()
        yield url


def place(url: str, location: str) -> None:
    """Puts the bucket elsewhere."""
    requests.patch(f"{url}/storage/v1/b/{BUCKET}", json={"location": location}, timeout=5).raise_for_status()


def write(url: str | None, **changes: Any) -> None:
    """Writes the environment."""
    vertex = {
        "project": "my-project",
        "region": "europe-west4",
        "root": f"gs://{BUCKET}/artifacts",
        "image": IMAGE,
        "service_account": ACCOUNT,
        "sources": {"clv": "my-project.shop.transactions", "colorizer": f"gs://{BUCKET}/photos"},
        "api_endpoint": url,
        **changes,
    }
    file = Path("deploy/environments/vertex.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    gates = {"gates": {"destination": f"gs://{BUCKET}/models"}}
    file.write_text(yaml.safe_dump({"vertex": vertex, "clv": gates, "colorizer": gates}))
