"""What runs on Vertex AI need: APIs, permissions of whoever types the commands, roles of the account that nodes run as.

`pipelines doctor --env vertex` looks for it, deploy/terraform makes it, and docs/vertex.md explains it.
"""

from __future__ import annotations

from runners.vertex.settings import VertexSettings

APIS = {
    "aiplatform": "runs pipelines, trains and serves",
    "artifactregistry": "holds the image",
    "bigquery": "holds raw tables and runs the models' queries",
    "cloudresourcemanager": "tells who may do what",
    "iam": "knows the account that nodes run as",
    "logging": "keeps what nodes print",
    "serviceusage": "tells which APIs are enabled, and the quota",
    "storage": "keeps artifacts and pushed models",
}
DATAFLOW_APIS = {"compute": "runs Dataflow's workers", "dataflow": "runs Beam"}
"""Those that `beam.runner: dataflow` needs besides."""

PERMISSIONS = {
    "aiplatform.pipelineJobs.create": "submit",
    "aiplatform.pipelineJobs.get": "status",
    "aiplatform.pipelineJobs.cancel": "cancel",
    "aiplatform.schedules.create": "schedule create",
    "aiplatform.customJobs.create": "train --env",
    "bigquery.jobs.create": "compile with a cut-off `auto`, load-bigquery",
    "logging.logEntries.list": "logs",
}
"""Permission in the project -> the command that needs it."""

ROLES = {
    "roles/aiplatform.user": "keeps the metadata of runs, starts training jobs, registers and deploys models",
    "roles/bigquery.jobUser": "runs the models' queries",
    "roles/bigquery.dataViewer": "reads raw tables",
    "roles/storage.objectAdmin": "reads and writes artifacts and pushed models",
    "roles/artifactregistry.reader": "pulls the image",
    "roles/logging.logWriter": "writes what nodes print",
}
DATAFLOW_ROLES = {
    "roles/dataflow.admin": "starts Dataflow jobs",
    "roles/dataflow.worker": "is the account of Dataflow's workers",
}


def apis(vertex: VertexSettings) -> dict[str, str]:
    """Returns the APIs that an environment needs, and what for."""
    return {**APIS, **(DATAFLOW_APIS if vertex.beam.runner == "dataflow" else {})}


def roles(vertex: VertexSettings) -> dict[str, str]:
    """Returns the roles that the service account needs, and what for."""
    return {**ROLES, **(DATAFLOW_ROLES if vertex.beam.runner == "dataflow" else {})}
