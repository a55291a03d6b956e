"""Looks at everything that a run on Vertex AI needs, before anything is paid for. It only reads.

Each check is on its own: one that may not look says so, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from pipeline.contract import Model, Query, Settings, UserError
from pipeline.ingestion import bigquery
from runners.doctor import Finding
from runners.vertex.google_api import call, credentials, understood
from runners.vertex.needs import PERMISSIONS, apis, roles
from runners.vertex.settings import VertexSettings
from runners.vertex.sources import table_of

BUCKET_PERMISSIONS = ("storage.objects.create", "storage.objects.get", "storage.objects.list")
APPLY = "run `terraform apply` in deploy/terraform, see docs/vertex.md"


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
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("project", partial(_project, vertex)),
        ("APIs", partial(_apis, vertex)),
        ("permissions", partial(_permissions, vertex)),
        ("service account", partial(_service_account, vertex)),
        ("image", partial(_image, vertex)),
        ("quota", partial(_quota, vertex)),
        *((f"bucket {name}", partial(_bucket, vertex, name)) for name in _buckets(vertex, models)),
        *((f"table of {name}", partial(_table, vertex, model)) for name, (model, _) in models.items()),
        *((name, partial(_exists, vertex, name, *place)) for name, place in _resources(vertex).items()),
    ]
    return [*found, *(finding for name, check in checks for finding in _tried(name, check))]


def _tried(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except UserError as error:
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
    missing = [role for role in roles(vertex) if role not in held]
    for role in missing:
        message = f"{account} does not hold {role} in the project; it {roles(vertex)[role]}"
        yield Finding("service account", "warning", message, f"{APPLY}, unless a bucket or a data set grants it")
    if not missing:
        yield Finding("service account", "ok", f"{account} holds the roles that it needs")


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


def _quota(vertex: VertexSettings) -> Iterator[Finding]:
    """Looks at the quota that training needs; what of it is in use at the moment, Google does not tell here."""
    kinds = ["cpus"]
    if vertex.training.accelerator:
        kinds.append(vertex.training.accelerator.lower().replace("tesla_", "") + "_gpus")
    for kind in kinds:
        metric = f"aiplatform.googleapis.com/custom_model_training_{kind}"
        path = f"/v1beta1/projects/{vertex.project}/services/aiplatform.googleapis.com/consumerQuotaMetrics/"
        limit = _limit(call(vertex, "serviceusage", "GET", path + quote(metric, safe="")), vertex.region)
        if limit == 0:
            todo = "ask for more under IAM & Admin > Quotas, or use another region or accelerator"
            yield Finding("quota", "problem", f"{metric} is 0 in {vertex.region}", todo)
        else:
            yield Finding("quota", "ok", f"{metric} in {vertex.region}: {'unlimited' if limit < 0 else limit}")


def _limit(metric: Mapping[str, Any], region: str) -> int:
    """The region's own limit, or that of all regions that have none of their own; -1 is none."""
    buckets = [bucket for limit in metric.get("consumerQuotaLimits", []) for bucket in limit.get("quotaBuckets", [])]
    own = [bucket for bucket in buckets if bucket.get("dimensions", {}).get("region") == region]
    shared = [bucket for bucket in buckets if not bucket.get("dimensions")]
    found: list[dict[str, Any]] = own or shared
    return int(found[0].get("effectiveLimit", 0)) if found else 0


def _buckets(vertex: VertexSettings, models: Mapping[str, tuple[Model, Settings]]) -> list[str]:
    destinations = [settings.gates.destination or "" for _, settings in models.values()]
    sources = [vertex.sources[name] for name in models]
    addresses = [vertex.root, *destinations, *sources]
    names = (address.removeprefix("gs://").partition("/")[0] for address in addresses if address.startswith("gs://"))
    return list(dict.fromkeys(names))


def _bucket(vertex: VertexSettings, name: str) -> Iterator[Finding]:
    from google.cloud import storage  # Google's client takes seconds to import.

    label = f"bucket {name}"
    with understood(vertex):
        bucket = storage.Client(project=vertex.project, credentials=credentials(vertex)).lookup_bucket(name)
        if bucket is None:
            yield Finding(label, "problem", "there is no such bucket, or it is not yours", APPLY)
            return
        missing = set(BUCKET_PERMISSIONS) - set(bucket.test_iam_permissions(list(BUCKET_PERMISSIONS)))
    if missing:
        todo = "have Storage Object Admin granted to you on it"
        yield Finding(label, "problem", f"you lack {', '.join(sorted(missing))}", todo)
    yield _placed(label, bucket.location.lower(), vertex.region)


def _placed(label: str, location: str, region: str) -> Finding:
    if location == region:
        return Finding(label, "ok", f"is in {region}")
    if location in ("eu", "us", "asia") and region.startswith({"eu": "europe"}.get(location, location)):
        message = f"is in the multi-region {location}, and the pipelines in {region}: reading costs network traffic"
        return Finding(label, "warning", message, f"a bucket in {region} is cheaper")
    return Finding(label, "problem", f"is in {location}, the pipelines in {region}", f"make one in {region}")


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
