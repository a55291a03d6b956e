"""The experiment that jobs are listed under: a context of Vertex AI's metadata store, with the jobs' own below it."""

from __future__ import annotations

import time

from google.api_core.exceptions import NotFound
from google.cloud import aiplatform_v1 as v1

from pipeline.contract import UserError
from runners.vertex.google_api import client, understood
from runners.vertex.settings import VertexSettings
from runners.vertex.spec import parent

WAIT_S = 60.0
"""For the context of a job, which Vertex AI makes a while after the job."""
POLL_S = 1.0


def ensure(vertex: VertexSettings) -> str | None:
    """Returns the full name of the settings' experiment, which is made where it is missing; None without one.

    Raises:
      UserError: Google refused.
    """
    if vertex.experiment is None:
        return None
    store = f"{parent(vertex)}/metadataStores/default"
    name = f"{store}/contexts/{vertex.experiment}"
    service = client(vertex, v1.MetadataServiceClient)
    with understood(vertex):
        try:
            service.get_context(name=name)
        except NotFound:
            # What Google's own SDK writes into an experiment, so that the console knows it as one.
            fresh = v1.Context(
                display_name=vertex.experiment,
                schema_title="system.Experiment",
                schema_version="0.0.1",
                metadata={"experiment_deleted": False},
            )
            service.create_context(parent=store, context=fresh, context_id=vertex.experiment)
    return name


def add(vertex: VertexSettings, experiment: str, job: str) -> None:
    """Lists a job under an experiment.

    Args:
      vertex: settings.
      experiment: full name of its context.
      job: full name of the job, which may have been submitted a moment ago.

    Raises:
      UserError: Google refused, or the job got no context in time.
    """
    jobs = client(vertex, v1.PipelineServiceClient)
    ends = time.monotonic() + WAIT_S
    while True:
        with understood(vertex):
            context = jobs.get_pipeline_job(name=job).job_detail.pipeline_run_context.name
        if context or time.monotonic() > ends:
            break
        time.sleep(POLL_S)
    if not context:
        raise UserError(
            expected=f"to list the job under the experiment {vertex.experiment}",
            received=f"no run in the metadata store after {WAIT_S:.0f} s",
            todo=f"nothing is lost: {job} runs; look at it with `pipelines status`",
        )
    with understood(vertex):
        client(vertex, v1.MetadataServiceClient).add_context_children(context=experiment, child_contexts=[context])
