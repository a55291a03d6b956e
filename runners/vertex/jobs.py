"""Pipeline jobs on Vertex AI: submitted, looked at, cancelled. One request each; nothing is kept on this machine."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from google.api_core.retry import Retry
from google.cloud import aiplatform_v1 as v1
from google.protobuf.field_mask_pb2 import FieldMask
from pydantic import BaseModel, ConfigDict

from pipeline.contract import UserError
from runners.vertex import experiment
from runners.vertex.google_api import client, understood
from runners.vertex.settings import VertexSettings
from runners.vertex.spec import parent, pipeline_job

POLL_S = 5.0
"""Between two looks at a job that somebody waits for, in seconds."""
PATIENCE_S = 600.0
"""So long is asked again for a job that somebody waits for, if Google does not answer or has too much to do."""
LISTED = 10
"""So many jobs are listed."""
LISTED_FIELDS = ("name", "display_name", "state", "create_time", "start_time", "end_time", "error", "schedule_name")
"""What is asked for of a job in a list: whole jobs, with their specs, would be megabytes."""
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "PAUSED")
CONSOLE = "https://console.cloud.google.com/vertex-ai"


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True)


class Node(_Plain):
    """A node of a job.

    Attributes:
      name: in the DAG.
      state: such as RUNNING, SUCCEEDED, FAILED, or SKIPPED if it was taken from the cache.
      started: when.
      seconds: how long it ran, or has been running.
      error: why it failed.
      task: id of the custom job in which its container runs, under which its log is found.
    """

    name: str
    state: str
    started: datetime | None
    seconds: float | None
    error: str | None
    task: str | None


class Job(_Plain):
    """A pipeline job.

    Attributes:
      id: as `pipelines status` takes it.
      name: of the pipeline.
      state: such as PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED.
      created: when.
      seconds: how long it ran, or has been running.
      error: why it failed.
      schedule: id of the schedule that started it.
      console: address of the job in the console.
      tensorboard: address of the TensorBoard instances in the console, if training writes to one.
      nodes: in the order in which they started; empty in a list of jobs.
    """

    id: str
    name: str
    state: str
    created: datetime | None
    seconds: float | None
    error: str | None
    schedule: str | None
    console: str
    tensorboard: str | None
    nodes: tuple[Node, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


def request(
    spec: Mapping[str, Any],
    vertex: VertexSettings,
    *,
    job_id: str | None = None,
    parameters: Mapping[str, str] = {},
) -> v1.CreatePipelineJobRequest:
    """Returns what `submit` asks Vertex AI for. Asks nothing, and needs no credentials.

    Args:
      spec: of `pipelines compile`.
      vertex: settings.
      job_id: of the job; the pipeline's name and the time if None.
      parameters: runtime parameter -> value.
    """
    job = pipeline_job(spec, vertex, parameters)
    name = re.sub("[^a-z0-9]+", "-", job.display_name.lower()).strip("-")
    fresh = f"{name[:100]}-{datetime.now(timezone.utc):%Y%m%d%H%M%S}"
    return v1.CreatePipelineJobRequest(parent=parent(vertex), pipeline_job=job, pipeline_job_id=job_id or fresh)


def submit(
    spec: Mapping[str, Any],
    vertex: VertexSettings,
    *,
    job_id: str | None = None,
    parameters: Mapping[str, str] = {},
) -> Job:
    """Starts a pipeline job, and lists it under the experiment if the settings name one.

    Args:
      spec: of `pipelines compile`.
      vertex: settings.
      job_id: of the job; the pipeline's name and the time if None.
      parameters: runtime parameter -> value.

    Raises:
      UserError: a mistake in the spec, or Vertex AI refused.
    """
    asked = request(spec, vertex, job_id=job_id, parameters=parameters)
    group = experiment.ensure(vertex)
    with understood(vertex):
        made = client(vertex, v1.PipelineServiceClient).create_pipeline_job(asked)
    if group:
        experiment.add(vertex, group, made.name)
    return _job(vertex, made)


def status(vertex: VertexSettings, job: str) -> Job:
    """Returns a job with its nodes.

    Raises:
      UserError: no such job, or Vertex AI refused.
    """
    return _get(vertex, job, retry=None)


def recent(vertex: VertexSettings, count: int = LISTED) -> list[Job]:
    """Returns the last jobs, the newest first, without their nodes.

    Raises:
      UserError: Vertex AI refused.
    """
    asked = v1.ListPipelineJobsRequest(
        parent=parent(vertex), order_by="create_time desc", page_size=count, read_mask=FieldMask(paths=LISTED_FIELDS)
    )
    with understood(vertex):
        pages = client(vertex, v1.PipelineServiceClient).list_pipeline_jobs(asked).pages
        return [_job(vertex, job) for job in next(iter(pages)).pipeline_jobs]


def cancel(vertex: VertexSettings, job: str) -> None:
    """Asks Vertex AI to stop a job. Nodes that run are ended within a minute or so.

    Raises:
      UserError: no such job, it has ended, or Vertex AI refused.
    """
    found = status(vertex, job)
    if found.ended:
        raise UserError(
            expected="a job that is still going on", received=f"{job}: {found.state}", todo="nothing is left to cancel"
        )
    with understood(vertex):
        client(vertex, v1.PipelineServiceClient).cancel_pipeline_job(name=_full(vertex, job))


def watch(vertex: VertexSettings, job: str) -> Iterator[Job]:
    """Looks at a job every few seconds, until it has ended: the last one yielded has.

    Raises:
      UserError: no such job, or Vertex AI refused.
    """
    # Whoever waits for hours does not want to lose the job by one request that fails.
    patient = Retry(initial=POLL_S, maximum=60.0, timeout=PATIENCE_S)
    while True:
        found = _get(vertex, job, patient)
        yield found
        if found.ended:
            return
        time.sleep(POLL_S)


def _get(vertex: VertexSettings, job: str, retry: Retry | None) -> Job:
    with understood(vertex):
        service = client(vertex, v1.PipelineServiceClient)
        return _job(vertex, service.get_pipeline_job(name=_full(vertex, job), retry=retry))


def _full(vertex: VertexSettings, job: str) -> str:
    return job if "/" in job else f"{parent(vertex)}/pipelineJobs/{job}"


def _job(vertex: VertexSettings, job: v1.PipelineJob) -> Job:
    name = job.name.rpartition("/")[2]
    return Job(
        id=name,
        name=job.display_name,
        state=job.state.name.removeprefix("PIPELINE_STATE_"),
        created=job.create_time or None,
        seconds=_seconds(job),
        error=_error(job),
        schedule=job.schedule_name.rpartition("/")[2] or None,
        console=f"{CONSOLE}/locations/{vertex.region}/pipelines/runs/{name}?project={vertex.project}",
        tensorboard=vertex.tensorboard and f"{CONSOLE}/experiments/tensorboard-instances?project={vertex.project}",
        nodes=tuple(_nodes(job.job_detail.task_details)),
    )


def _nodes(tasks: Iterable[v1.PipelineTaskDetail]) -> Iterator[Node]:
    """Tasks that have others below them are the DAG itself, and no nodes."""
    found = sorted(tasks, key=lambda task: (not task.start_time, task.start_time and task.start_time.timestamp()))
    groups = {task.parent_task_id for task in found}
    for task in found:
        if task.task_id not in groups:
            detail = task.executor_detail
            container = detail.container_detail.main_job or detail.custom_job_detail.job
            yield Node(
                name=task.task_name,
                state=task.state.name,
                started=task.start_time or None,
                seconds=_seconds(task),
                error=_error(task),
                task=container.rpartition("/")[2] or None,
            )


def _seconds(timed: v1.PipelineJob | v1.PipelineTaskDetail) -> float | None:
    if not timed.start_time:
        return None
    return float(((timed.end_time or datetime.now(timezone.utc)) - timed.start_time).total_seconds())


def _error(told: v1.PipelineJob | v1.PipelineTaskDetail) -> str | None:
    return " ".join(told.error.message.split()) or None
