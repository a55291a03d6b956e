"""Whether the environment's buckets are there, lie where the pipelines run, and may be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.contract import Model, Settings
from runners.doctor import Finding
from runners.vertex.google_api import credentials, understood
from runners.vertex.needs import APPLY, BUCKET_ROLES
from runners.vertex.settings import VertexSettings

READING = ("storage.objects.get", "storage.objects.list")
WRITING = (*READING, "storage.objects.create", "storage.objects.delete")
CONTINENTS = {"eu": "europe", "us": "us", "asia": "asia"}
"""Multi-region -> what the names of its regions begin with."""
PAIRS = {
    "eur4": ("europe-north1", "europe-west4"),
    "nam4": ("us-central1", "us-east1"),
    "asia1": ("asia-northeast1", "asia-northeast2"),
}
"""Places that are two regions by name."""
OUTSIDE_EU = ("europe-west2", "europe-west6")
"""London and Zurich: in Europe, and not in the multi-region EU."""


def buckets(vertex: VertexSettings, models: Mapping[str, tuple[Model, Settings]]) -> dict[str, bool]:
    """Returns the name of each bucket that the environment uses -> whether it is written to."""
    written = [vertex.root, *(settings.gates.destination or "" for _, settings in models.values())]
    uses = {address: address in written for address in [*written, *(vertex.sources[name] for name in models)]}
    found: dict[str, bool] = {}
    for address, use in uses.items():
        if address.startswith("gs://"):
            name = address.removeprefix("gs://").partition("/")[0]
            found[name] = found.get(name, False) or use
    return found


def bucket(vertex: VertexSettings, name: str, written: bool) -> Iterator[Finding]:
    """Looks whether a bucket is there, lies where the pipelines run, and may be used by whoever asks.

    Raises:
      UserError: it may not be looked at.
    """
    label = f"bucket {name}"
    needed = WRITING if written else READING
    with understood(vertex):
        found = _client(vertex).lookup_bucket(name)
        if found is None:
            yield Finding(label, "problem", "there is no such bucket, or it is not yours", APPLY)
            return
        missing = set(needed) - set(found.test_iam_permissions(list(needed)))
    if missing:
        role = "Storage Object Admin" if written else "Storage Object Viewer"
        yield Finding(label, "problem", f"you lack {', '.join(sorted(missing))}", f"have {role} granted to you on it")
    yield _placed(label, found, vertex.region)


def bucket_roles(vertex: VertexSettings, name: str) -> Iterator[Finding]:
    """Looks at what the service account may do with a bucket; nothing to say of one that is not there.

    Raises:
      UserError: the bucket's policy may not be read.
    """
    with understood(vertex):
        found = _client(vertex).lookup_bucket(name) if vertex.service_account else None
        bindings = found.get_iam_policy(requested_policy_version=3).bindings if found else []
    if not found:
        return
    member = f"serviceAccount:{vertex.service_account}"
    held = {binding["role"] for binding in bindings if member in binding["members"]}
    for role in () if "roles/storage.admin" in held else BUCKET_ROLES.keys() - held:
        message = f"{vertex.service_account} does not hold {role} on it; it {BUCKET_ROLES[role]}"
        yield Finding(f"bucket {name}", "warning", message, f"{APPLY}, unless the project grants it")


def _client(vertex: VertexSettings) -> Any:
    from google.cloud import storage  # Google's client takes seconds to import.

    return storage.Client(project=vertex.project, credentials=credentials(vertex))


def _placed(label: str, bucket: Any, region: str) -> Finding:
    """Judges a bucket's place: a region, a named pair of them (which tells its regions), or a continent."""
    location = bucket.location.lower()
    if region in (location, *PAIRS.get(location, ()), *(place.lower() for place in bucket.data_locations or ())):
        return Finding(label, "ok", f"is in {region}")
    if location in CONTINENTS and region.startswith(f"{CONTINENTS[location]}-") and region not in OUTSIDE_EU:
        message = f"is in the multi-region {location}, and the pipelines in {region}: reading costs network traffic"
        return Finding(label, "warning", message, f"a bucket in {region} is cheaper")
    return Finding(label, "problem", f"is in {location}, the pipelines in {region}", f"make one in {region}")
