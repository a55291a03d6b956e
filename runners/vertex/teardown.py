"""Finds and removes what runs of this project left on Vertex AI: by its label, and below its root. Nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.contract import UserError
from runners.vertex.google_api import call, credentials, understood
from runners.vertex.settings import MADE_BY, VertexSettings

RUNNING = ("PIPELINE_STATE_QUEUED", "PIPELINE_STATE_PENDING", "PIPELINE_STATE_RUNNING", "PIPELINE_STATE_PAUSED")
KINDS = {"schedules": "schedule", "pipelineJobs": "pipeline job", "customJobs": "training job", "endpoints": "endpoint"}
"""In the order in which they are removed: what starts jobs first, what serves last."""
WAIT_S = 600.0
POLL_S = 2.0


@dataclass(frozen=True)
class Left:
    """Something that is there.

    Attributes:
      kind: in words.
      name: full name, or a bucket's address.
      about: display name, state, or size.
      resource: as Vertex AI tells it; None for files.
    """

    kind: str
    name: str
    about: str
    resource: dict[str, Any] | None = None


def find(vertex: VertexSettings, *, models: bool) -> list[Left]:
    """Returns what is to be removed, in the order of removal.

    Args:
      vertex: settings.
      models: whether registered models go too.

    Raises:
      UserError: Google could not be asked.
    """
    kinds = {**KINDS, **({"models": "registered model"} if models else {})}
    found = [
        Left(words, each["name"], each.get("displayName", ""), each)
        for plural, words in kinds.items()
        for each in _labelled(vertex, plural)
    ]
    return [*found, *_files(vertex)]


def remove(vertex: VertexSettings, left: Sequence[Left]) -> Iterator[Left]:
    """Removes what `find` found, and yields each when it is gone.

    Raises:
      UserError: Google refused one; those before it are gone.
    """
    for each in left:
        if each.resource is None:
            _remove_files(vertex)
        else:
            _quiet(vertex, each.resource)
            _finish(vertex, _ask(vertex, "DELETE", f"/v1/{each.name}"))
        yield each


def _labelled(vertex: VertexSettings, plural: str) -> list[dict[str, Any]]:
    """A schedule has no label of its own: those of the job that it starts count."""
    path = f"/v1/projects/{vertex.project}/locations/{vertex.region}/{plural}"
    found, token = [], None
    while True:
        answer = _ask(vertex, "GET", path, params={"pageToken": token} if token else {})
        found += answer.get(plural, [])
        token = answer.get("nextPageToken")
        if not token:
            return [each for each in found if MADE_BY.items() <= _labels(each).items()]


def _labels(resource: dict[str, Any]) -> dict[str, str]:
    started = resource.get("createPipelineJobRequest", {}).get("pipelineJob", {})
    labels: dict[str, str] = {**started.get("labels", {}), **resource.get("labels", {})}
    return labels


def _quiet(vertex: VertexSettings, resource: dict[str, Any]) -> None:
    """What runs or serves cannot be deleted: it is stopped first."""
    for deployed in resource.get("deployedModels", []):
        body = {"deployedModelId": deployed["id"]}
        _finish(vertex, _ask(vertex, "POST", f"/v1/{resource['name']}:undeployModel", body=body))
    if resource.get("state") in RUNNING:
        _ask(vertex, "POST", f"/v1/{resource['name']}:cancel", body={})
        _until(lambda: _ask(vertex, "GET", f"/v1/{resource['name']}").get("state") not in RUNNING, resource["name"])


def _finish(vertex: VertexSettings, operation: dict[str, Any]) -> None:
    """Waits for a long-running operation."""
    if "name" in operation and not operation.get("done"):
        _until(lambda: bool(_ask(vertex, "GET", f"/v1/{operation['name']}").get("done")), operation["name"])


def _until(over: Any, name: str) -> None:
    ends = time.monotonic() + WAIT_S
    while not over():
        if time.monotonic() > ends:
            raise UserError(
                expected=f"{name} to end within {WAIT_S:g} s",
                received="it goes on",
                todo="type the same command again later: it goes on with what is left",
            )
        time.sleep(POLL_S)


def _files(vertex: VertexSettings) -> list[Left]:
    blobs = _blobs(vertex)
    if not blobs:
        return []
    size = sum(blob.size or 0 for blob in blobs) / 1e6
    return [Left("files", f"{vertex.root.rstrip('/')}/", f"{len(blobs):,} objects, {size:,.1f} MB")]


def _remove_files(vertex: VertexSettings) -> None:
    with understood(vertex):
        for blob in _blobs(vertex):
            blob.delete()


def _blobs(vertex: VertexSettings) -> list[Any]:
    from google.cloud import storage  # Google's client takes seconds to import.

    name, _, folder = vertex.root.removeprefix("gs://").partition("/")
    prefix = f"{folder.rstrip('/')}/" if folder.rstrip("/") else ""
    with understood(vertex):
        bucket = storage.Client(project=vertex.project, credentials=credentials(vertex)).bucket(name)
        return list(bucket.list_blobs(prefix=prefix))


def _ask(vertex: VertexSettings, method: str, path: str, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = call(vertex, f"{vertex.region}-aiplatform", method, path, **more)
    return answer
