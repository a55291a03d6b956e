"""Whether the project's quota admits what the environment asks of Vertex AI."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from runners.doctor import Finding
from runners.vertex.google_api import call
from runners.vertex.settings import VertexSettings

SHARED = ("n1", "e2")
"""Families of machines that count towards one metric; each other family has its own."""
NODE_CPUS = 4
"""Of the e2-standard-4 that Vertex AI gives a node by default."""
MORE = "ask for more under IAM & Admin > Quotas, or use another region or machine"


def quota(vertex: VertexSettings) -> Iterator[Finding]:
    """Looks at the limits that apply; what of them is in use at the moment, Google does not tell here.

    Raises:
      UserError: Google could not be asked.
    """
    for kind, count in _needed(vertex).items():
        metric = f"aiplatform.googleapis.com/custom_model_{kind}"
        path = f"/v1beta1/projects/{vertex.project}/services/aiplatform.googleapis.com/consumerQuotaMetrics/"
        limit = _limit(call(vertex, "serviceusage", "GET", path + quote(metric, safe="")), vertex.region)
        if limit is None:
            yield Finding("quota", "warning", f"Google tells no limit of {metric}", "see IAM & Admin > Quotas")
        elif 0 <= limit < count:
            message = f"{metric} is {limit} in {vertex.region}, and {count} are needed"
            yield Finding("quota", "problem", message, MORE)
        else:
            told = "unlimited" if limit < 0 else f"{limit}, of which {count} are needed"
            yield Finding("quota", "ok", f"{metric} in {vertex.region}: {told}")


def _needed(vertex: VertexSettings) -> dict[str, int]:
    """Kind of quota -> how much of it a run takes."""
    training = vertex.training
    needed = {"training_cpus": NODE_CPUS}
    if training.place == "job":
        kind = _cpus_kind("training", training.machine)
        needed[kind] = max(needed.get(kind, 0), _cpus(training.machine) * training.replicas)
    if training.accelerator:
        name = training.accelerator.lower().replace("tesla_", "")
        replicas = training.replicas if training.place == "job" else 1
        needed[f"training_{name}_gpus"] = training.accelerators * replicas
    if vertex.push.endpoint:
        kind = _cpus_kind("serving", vertex.push.machine)
        needed[kind] = _cpus(vertex.push.machine) * vertex.push.min_replicas
    return needed


def _cpus_kind(use: str, machine: str) -> str:
    family = machine.partition("-")[0]
    return f"{use}_cpus" if family in SHARED else f"{use}_{family}_cpus"


def _cpus(machine: str) -> int:
    """`n1-standard-8` has 8; a machine whose name does not tell counts as one."""
    found = re.search(r"-(\d+)$", machine)
    return int(found[1]) if found else 1


def _limit(metric: Mapping[str, Any], region: str) -> int | None:
    """The region's own limit, or that of all regions that have none of their own; -1 is none at all."""
    buckets = [bucket for limit in metric.get("consumerQuotaLimits", []) for bucket in limit.get("quotaBuckets", [])]
    own = [bucket for bucket in buckets if bucket.get("dimensions", {}).get("region") == region]
    shared = [bucket for bucket in buckets if not bucket.get("dimensions")]
    found: list[dict[str, Any]] = own or shared
    # Google's JSON leaves out a limit of 0.
    return int(found[0].get("effectiveLimit", 0)) if found else None
