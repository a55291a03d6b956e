"""What the nodes of a job wrote: Vertex AI keeps it in Cloud Logging, under the custom job of each node's container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.contract import UserError
from runners.vertex.google_api import call
from runners.vertex.jobs import Job, Node, status, watch
from runners.vertex.settings import VertexSettings

PAGE = 1000
"""Entries that are asked for at a time: the most that Cloud Logging gives."""
LATE = timedelta(minutes=2)
"""Entries arrive as late as this. Those before are not read again: Cloud Logging answers 60 times a minute."""


class Line(BaseModel):
    """An entry of the log.

    Attributes:
      id: of the entry.
      time: when it was written, RFC 3339.
      severity: such as INFO or ERROR.
      node: that wrote it.
      text: what it wrote.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    time: str
    severity: str
    node: str
    text: str


def logs(vertex: VertexSettings, job: str, node: str | None = None, follow: bool = False) -> Iterator[Line]:
    """Returns what a job's nodes wrote, the oldest first.

    Args:
      vertex: settings.
      job: id of the job.
      node: whose log; all nodes' if None.
      follow: whether to go on until the job has ended.

    Raises:
      UserError: no such job or node, or Google refused.
    """
    seen: set[str] = set()
    since = None
    for found in watch(vertex, job) if follow else [status(vertex, job)]:
        looked = datetime.now(timezone.utc)
        for line in _entries(vertex, _chosen(found, node, follow), since or found.created or looked):
            if line.id not in seen:
                seen.add(line.id)
                yield line
        since = looked - LATE


def _chosen(job: Job, node: str | None, follow: bool) -> Sequence[Node]:
    if node is None:
        return job.nodes
    chosen = [found for found in job.nodes if found.name == node]
    if not chosen and (job.ended or not follow):
        started = ", ".join(found.name for found in job.nodes) or "none yet"
        raise UserError(
            expected=f"a node of {job.id} that has started: {started}",
            received=node,
            todo="correct or leave out --node",
        )
    return chosen


def _entries(vertex: VertexSettings, nodes: Sequence[Node], since: datetime) -> Iterator[Line]:
    tasks = {node.task: node.name for node in nodes if node.task}
    if not tasks:
        return
    ids = " OR ".join(f'"{task}"' for task in tasks)
    asked: dict[str, Any] = {
        "resourceNames": [f"projects/{vertex.project}"],
        "filter": f'resource.type="ml_job" AND resource.labels.job_id=({ids}) AND timestamp>="{since.isoformat()}"',
        "orderBy": "timestamp asc",
        "pageSize": PAGE,
    }
    while True:
        answer = call(vertex, "logging", "POST", "/v2/entries:list", body=asked)
        for entry in answer.get("entries", ()):
            yield _line(entry, tasks[entry["resource"]["labels"]["job_id"]])
        if not answer.get("nextPageToken"):
            return
        asked["pageToken"] = answer["nextPageToken"]


def _line(entry: Mapping[str, Any], node: str) -> Line:
    """What a container writes on its screen is text, or JSON with a `message` if it looked like JSON."""
    told = entry.get("jsonPayload", {})
    return Line(
        id=entry["insertId"],
        time=entry["timestamp"],
        severity=entry.get("severity", "DEFAULT"),
        node=node,
        text=str(entry.get("textPayload", told.get("message", told))).rstrip("\n"),
    )
