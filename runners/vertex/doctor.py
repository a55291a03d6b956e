"""Looks at everything that a run on Vertex AI needs, before anything is paid for. It only reads.

Each check is on its own: one that may not look says so, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from urllib.parse import quote

from google.api_core.exceptions import NotFound

from pipeline.contract import Model, Query, Settings, UserError
from pipeline.ingestion import bigquery
from runners.doctor import Finding
from runners.vertex.buckets import bucket, bucket_roles, buckets
from runners.vertex.google_api import call, credentials
from runners.vertex.needs import APPLY, ENOUGH, PERMISSIONS, apis, roles
from runners.vertex.quota import quota
from runners.vertex.settings import VertexSettings
from runners.vertex.sources import table_of


def examine(vertex: VertexSettings, models: Mapping[str, tuple[Model, Settings]]) -> list[Finding]:
    """Returns what was found, in the order in which problems are best mended.

    Args:
      vertex: the environment's settings.
      models: name -> model and its settings in this environment.
    """
    found = list(_regions(vertex))
    try:
        found.append(_credentials(vertex))
    except UserError as error:
        return [*found, Finding("credentials", "problem", error.received, error.todo)]
    used = buckets(vertex, models)
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("project", partial(_project, vertex)),
        ("APIs", partial(_apis, vertex)),
        ("permissions", partial(_permissions, vertex)),
        ("service account", partial(_service_account, vertex)),
        ("image", partial(_image, vertex)),
        ("quota", partial(quota, vertex)),
        *((f"bucket {name}", partial(bucket, vertex, name, use)) for name, use in used.items()),
        *((f"bucket {name}", partial(bucket_roles, vertex, name)) for name, written in used.items() if written),
        *((f"table of {name}", partial(_table, vertex, model)) for name, (model, _) in models.items()),
        *((name, partial(_exists, vertex, name, *place)) for name, place in _resources(vertex).items()),
    ]
    return [*found, *(finding for name, check in checks for finding in _tried(name, check))]


def _tried(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except UserError as error:
        if isinstance(error.__cause__, NotFound):
            return [Finding(name, "problem", f"does not exist: {error.received}", error.todo)]
        return [Finding(name, "warning", f"could not look: {error.received}", error.todo)]


def _regions(vertex: VertexSettings) -> Iterator[Finding]:
    """What the settings say by themselves: an image from another region is slow, paid for, and perhaps out of reach."""
    host = vertex.image.partition("/")[0]
    if host.endswith("-docker.pkg.dev") and host.removesuffix("-docker.pkg.dev") != vertex.region:
        yield Finding("image", "warning", f"{host} is not in {vertex.region}", "push it to a repository of the region")
    if vertex.service_account and not vertex.service_account.endswith(f"@{vertex.project}.iam.gserviceaccount.com"):
        yield Finding(
            "service account",
            "warning",
            f"{vertex.service_account} is not of the project {vertex.project}",
            "correct vertex.service_account, unless it was let in from another project",
        )


def _credentials(vertex: VertexSettings) -> Finding:
    found = credentials(vertex)
    whose = getattr(found, "service_account_email", None) or getattr(found, "account", None) or "yours"
    return Finding("credentials", "ok", f"found: {whose}")


def _project(vertex: VertexSettings) -> Iterator[Finding]:
    state = call(vertex, "cloudresourcemanager", "GET", f"/v3/projects/{vertex.project}").get("state")
    active = state == "ACTIVE"
    yield Finding(
        "project",
        "ok" if active else "problem",
        f"{vertex.project} is {state}",
        "" if active else "correct vertex.project, or restore the project",
    )


def _apis(vertex: VertexSettings) -> Iterator[Finding]:
    needed = apis(vertex)
    project = f"projects/{vertex.project}"
    names = [f"{project}/services/{api}.googleapis.com" for api in needed]
    answer = call(vertex, "serviceusage", "GET", f"/v1/{project}/services:batchGet", params={"names": names})
    enabled = {service["config"]["name"] for service in answer["services"] if service["state"] == "ENABLED"}
    missing = [api for api in needed if f"{api}.googleapis.com" not in enabled]
    for api in missing:
        todo = f"run `gcloud services enable {api}.googleapis.com --project {vertex.project}`, or {APPLY}"
        yield Finding("APIs", "problem", f"{api} is not enabled; it {needed[api]}", todo)
    if not missing:
        yield Finding("APIs", "ok", f"enabled: {', '.join(needed)}")


def _permissions(vertex: VertexSettings) -> Iterator[Finding]:
    path = f"/v3/projects/{vertex.project}:testIamPermissions"
    answer = call(vertex, "cloudresourcemanager", "POST", path, body={"permissions": list(PERMISSIONS)})
    missing = [permission for permission in PERMISSIONS if permission not in answer.get("permissions", [])]
    for permission in missing:
        yield Finding(
            "permissions",
            "problem",
            f"you lack {permission}, which `pipelines {PERMISSIONS[permission]}` needs",
            "have Vertex AI User, BigQuery Job User and Logs Viewer granted to you in the project",
        )
    if not missing:
        yield Finding("permissions", "ok", "yours cover all commands")


def _service_account(vertex: VertexSettings) -> Iterator[Finding]:
    account = vertex.service_account
    if account is None:
        message = "none is set: nodes run as the project's default account, which may do far more than they need"
        yield Finding("service account", "warning", message, f"{APPLY}, and set vertex.service_account")
        return
    project = account.partition("@")[2].partition(".")[0]
    known = call(vertex, "iam", "GET", f"/v1/projects/{project}/serviceAccounts/{account}")
    if known.get("disabled"):
        yield Finding("service account", "problem", f"{account} is disabled", "enable it")
    policy = call(vertex, "cloudresourcemanager", "POST", f"/v3/projects/{vertex.project}:getIamPolicy", body={})
    member = f"serviceAccount:{account}"
    held = {binding["role"] for binding in policy.get("bindings", []) if member in binding["members"]}
    missing = [] if held & set(ENOUGH) else [role for role in roles(vertex) if role not in held]
    for role in missing:
        message = f"{account} does not hold {role} in the project; it {roles(vertex)[role]}"
        # A role of the project's own may contain what it needs.
        custom = any(not role.startswith("roles/") for role in held)
        yield Finding("service account", "warning" if custom else "problem", message, APPLY)
    if not missing:
        yield Finding("service account", "ok", f"{account} holds the roles that it needs in the project")


def _image(vertex: VertexSettings) -> Iterator[Finding]:
    host, _, path = vertex.image.partition("/")
    if not host.endswith("-docker.pkg.dev"):
        yield Finding(
            "image", "warning", f"could not look: {host} is no Artifact Registry", "see that it can be pulled"
        )
        return
    project, repository, name = path.split("/", 2)
    kind, separator = ("versions", "@") if "@" in name else ("tags", ":")
    name, _, mark = name.partition(separator)
    location = host.removesuffix("-docker.pkg.dev")
    package = f"projects/{project}/locations/{location}/repositories/{repository}/packages/{quote(name, safe='')}"
    try:
        call(vertex, "artifactregistry", "GET", f"/v1/{package}/{kind}/{mark}")
    except UserError as error:
        yield Finding(
            "image", "problem", f"{vertex.image}: {error.received}", "build and push it: deploy/cloudbuild.yaml"
        )
        return
    yield Finding("image", "ok", f"{vertex.image} is there")


def _table(vertex: VertexSettings, model: Model) -> Iterator[Finding]:
    if not isinstance(model.source, Query):
        return
    table = table_of(model, vertex)
    label = f"table of {model.name}"
    try:
        bigquery.find_table(table.project, table.location, table.address, model.source)
        with bigquery.understood(table):
            client = bigquery.connect(table.project, table.location)
            data_set = client.get_dataset(table.address.rpartition(".")[0])
    except UserError as error:
        yield Finding(label, "problem", f"{table.address}: expected {error.expected}; {error.received}", error.todo)
        return
    agrees = data_set.location.lower() == table.location.lower()
    yield Finding(
        label,
        "ok" if agrees else "problem",
        f"{table.address} is in {data_set.location}",
        "" if agrees else f"set vertex.bigquery_location to {data_set.location}",
    )


def _resources(vertex: VertexSettings) -> dict[str, tuple[str, str]]:
    """What is set besides -> the API and the path under which it would be."""
    places = {
        "TensorBoard": vertex.tensorboard and (f"{vertex.region}-aiplatform", f"/v1/{vertex.tensorboard}"),
        "encryption key": vertex.encryption_key and ("cloudkms", f"/v1/{vertex.encryption_key}"),
        "network": vertex.network and ("compute", f"/compute/v1/{vertex.network}"),
    }
    return {name: place for name, place in places.items() if place}


def _exists(vertex: VertexSettings, name: str, service: str, path: str) -> Iterator[Finding]:
    if "/locations/" in path and f"/locations/{vertex.region}/" not in path:
        yield Finding(name, "problem", f"{path[4:]} is not in {vertex.region}", f"use one in {vertex.region}")
        return
    call(vertex, service, "GET", path)
    yield Finding(name, "ok", f"{path.rpartition('/')[2]} is there")
