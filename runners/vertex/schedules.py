"""Schedules on Vertex AI: pipeline jobs that its own scheduler starts, by cron."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from google.cloud import aiplatform_v1 as v1
from pydantic import BaseModel, ConfigDict

from pipeline.contract import UserError
from runners.vertex.google_api import client, understood
from runners.vertex.jobs import CONSOLE
from runners.vertex.settings import VertexSettings
from runners.vertex.spec import parent, pipeline_job


class Schedule(BaseModel):
    """A schedule.

    Attributes:
      id: as `pipelines schedule pause` takes it.
      name: for people.
      state: ACTIVE, PAUSED or COMPLETED.
      cron: when it starts jobs, with the time zone in front.
      runs: how many jobs it has started.
      next: when it starts the next one.
      last: what starting the last one came to.
      console: its address in the console.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    state: str
    cron: str
    runs: int
    next: datetime | None
    last: str | None
    console: str


def request(
    spec: Mapping[str, Any],
    vertex: VertexSettings,
    *,
    name: str,
    cron: str,
    max_concurrent: int = 1,
    parameters: Mapping[str, str] = {},
) -> v1.CreateScheduleRequest:
    """Returns what `create` asks Vertex AI for. Asks nothing, and needs no credentials.

    Args:
      spec: of `pipelines compile`, whose dates are open.
      vertex: settings.
      name: of the schedule, for people.
      cron: minute, hour, day of month, month and day of week, after `CRON_TZ=Europe/Berlin ` if not in UTC.
      max_concurrent: how many of its jobs may run at a time; a firing beyond that is left out.
      parameters: runtime parameter -> value.

    Raises:
      UserError: a mistake in the spec or in `cron`.
    """
    fields = cron.removeprefix("CRON_TZ=").split()
    if len(fields) != (6 if cron.startswith("CRON_TZ=") else 5):
        raise UserError(
            expected="five fields: minute, hour, day of month, month, day of week",
            received=cron,
            todo='correct --cron, such as "0 6 * * 1" for Mondays at six',
        )
    job = v1.CreatePipelineJobRequest(parent=parent(vertex), pipeline_job=pipeline_job(spec, vertex, parameters))
    # The first limit counts jobs that are being started, the second those that still run.
    schedule = v1.Schedule(
        display_name=name,
        cron=cron,
        max_concurrent_run_count=max_concurrent,
        max_concurrent_active_run_count=max_concurrent,
        create_pipeline_job_request=job,
    )
    return v1.CreateScheduleRequest(parent=parent(vertex), schedule=schedule)


def create(vertex: VertexSettings, asked: v1.CreateScheduleRequest) -> Schedule:
    """Makes a schedule, active at once.

    Raises:
      UserError: Vertex AI refused.
    """
    with understood(vertex):
        return _schedule(vertex, client(vertex, v1.ScheduleServiceClient).create_schedule(asked))


def listed(vertex: VertexSettings) -> list[Schedule]:
    """Returns all schedules, the newest first.

    Raises:
      UserError: Vertex AI refused.
    """
    asked = v1.ListSchedulesRequest(parent=parent(vertex), order_by="create_time desc")
    with understood(vertex):
        return [_schedule(vertex, found) for found in client(vertex, v1.ScheduleServiceClient).list_schedules(asked)]


def change(vertex: VertexSettings, schedule: str, verb: Literal["pause", "resume", "delete"]) -> Schedule:
    """Pauses, resumes (without making up for firings that were missed) or deletes a schedule.

    Args:
      vertex: settings.
      schedule: id, or name if only one has it.
      verb: what to do.

    Returns:
      The schedule as it was before.

    Raises:
      UserError: no such schedule, or Vertex AI refused.
    """
    found = _find(vertex, schedule)
    name = f"{parent(vertex)}/schedules/{found.id}"
    service = client(vertex, v1.ScheduleServiceClient)
    with understood(vertex):
        if verb == "pause":
            service.pause_schedule(name=name)
        elif verb == "resume":
            service.resume_schedule(v1.ResumeScheduleRequest(name=name, catch_up=False))
        else:
            service.delete_schedule(name=name).result()
    return found


def _find(vertex: VertexSettings, schedule: str) -> Schedule:
    known = listed(vertex)
    found = [each for each in known if schedule in (each.id, each.name)]
    if len(found) == 1:
        return found[0]
    raise UserError(
        expected="the id of a schedule, or a name that only one has",
        received=f"{schedule}, which {len(found) or 'none'} of {len(known)} has",
        todo="look it up with `pipelines schedule list`",
    )


def _schedule(vertex: VertexSettings, found: v1.Schedule) -> Schedule:
    number = found.name.rpartition("/")[2]
    return Schedule(
        id=number,
        name=found.display_name,
        state=found.state.name,
        cron=found.cron,
        runs=found.started_run_count,
        next=found.next_run_time or None,
        last=found.last_scheduled_run_response.run_response or None,
        console=f"{CONSOLE}/locations/{vertex.region}/pipelines/schedules/{number}?project={vertex.project}",
    )
