"""Where and how pipelines run on Vertex AI: the `vertex` section of an environment's file. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.contract import UserError
from pipeline.push.registry_settings import Push

SECTION = "vertex"
"""Name of the section, beside those of the models."""

MADE_BY = {"made-by": "tfx-pipelines"}
"""Label of everything that is made on Vertex AI, so that a teardown finds it."""

Bucket = Annotated[str, Field(pattern=r"^gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/.*)?$")]
"""Address of a bucket or of a folder in one."""
Label = Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,63}$")]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Beam(_Plain):
    """Where nodes that use Beam do their work.

    Attributes:
      runner: `in_process` in the node's own container, or `dataflow` on workers with the same image.
      machine: of Dataflow's workers.
      max_workers: of them.
      subnetwork: `regions/REGION/subnetworks/NAME`, in which workers have no public address; the default one if None.
    """

    runner: Literal["in_process", "dataflow"] = "in_process"
    machine: str = "n1-standard-4"
    max_workers: int = Field(default=4, ge=1)
    subnetwork: str | None = None


class Training(_Plain):
    """Where the Trainer trains.

    Attributes:
      place: `container` in the node's own container, or `job` in a Vertex custom job of its own.
      machine: of the job.
      accelerator: type such as NVIDIA_TESLA_T4, with either place; none if None.
      accelerators: how many of them.
      replicas: machines of the job.
    """

    place: Literal["container", "job"] = "container"
    machine: str = "n1-standard-8"
    accelerator: str | None = None
    accelerators: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=1)


class VertexSettings(_Plain):
    """Where and how pipelines run on Vertex AI.

    Attributes:
      project: id of the Google Cloud project.
      region: of Vertex AI, of the buckets and of the image, such as europe-west4.
      root: `gs://` folder that receives all artifacts.
      image: of every node, with a tag other than latest, or a digest: the same spec must mean the same code.
      sources: model -> where its raw data is: `project.dataset.table` in BigQuery, or a `gs://` folder or archive.
      bigquery_location: of the data sets, such as EU; the region if None.
      service_account: e-mail of the account that nodes run as; the project's default one if None.
      network: full name of the VPC that nodes are peered with.
      encryption_key: full name of a customer-managed key.
      tensorboard: full name of a TensorBoard instance.
      experiment: of Vertex Experiments that runs are listed under.
      labels: of every resource that is made.
      cache: whether unchanged nodes are taken from earlier runs.
      failure_policy: `fast` stops at the first node that fails; `slow` lets those go on that do not depend on it.
      cpus, memory_gb: limits of each node's container; Vertex's own if None.
      beam: where nodes that use Beam do their work.
      training: where the Trainer trains.
      push: what becomes of a model beyond its folder.
      api_endpoint: address in the place of https://*.googleapis.com, of Google's APIs other than Cloud Storage and
        BigQuery: a private one, or a local stand-in (on loopback, which is asked without credentials).
    """

    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")
    region: str = Field(pattern=r"^[a-z]+(-[a-z]+)+\d+$")
    root: Bucket
    image: str = Field(pattern=r"^[a-z0-9][a-zA-Z0-9._/:-]*(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})$")
    sources: dict[str, str] = {}
    bigquery_location: str | None = None
    service_account: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    network: str | None = None
    encryption_key: str | None = None
    tensorboard: str | None = None
    experiment: str | None = None
    labels: dict[Label, Label] = {}
    cache: bool = True
    failure_policy: Literal["fast", "slow"] = "fast"
    cpus: float | None = Field(default=None, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)
    beam: Beam = Beam()
    training: Training = Training()
    push: Push = Push()
    api_endpoint: str | None = Field(default=None, pattern=r"^https?://")

    @property
    def failure_policy_name(self) -> str:
        """The failure policy as Vertex AI calls it."""
        return f"PIPELINE_FAILURE_POLICY_FAIL_{self.failure_policy.upper()}"

    @field_validator("image")
    @classmethod
    def _image_is_pinned(cls, image: str) -> str:
        if image.endswith(":latest"):
            raise ValueError("a tag other than latest, or a digest: the same spec must mean the same code")
        return image


def has_vertex(file: Path) -> bool:
    """Whether an environment's file has a `vertex` section; of a file that cannot be read, `read_vertex` says why."""
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return True
    return isinstance(content, dict) and SECTION in content


def read_vertex(file: Path) -> VertexSettings:
    """Returns the `vertex` section of an environment's file.

    Raises:
      UserError: no such file or section, or a setting in it that is none.
    """
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(
            expected=f"an environment file {file}", received=str(error), todo="correct --env, or write that file"
        ) from error
    section = content.get(SECTION) if isinstance(content, dict) else None
    if section is None:
        raise UserError(
            expected=f"a section `{SECTION}` in {file}, with project, region, root and image",
            received="none",
            todo="name an environment of Vertex AI with --env, or add it, as in deploy/environments/vertex.yaml",
        )
    try:
        return VertexSettings.model_validate(section)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([SECTION, *(str(step) for step in first["loc"])])
        missing = first["type"] == "missing"
        raise UserError(
            expected=f"{key}: {first['msg']}",
            received="nothing" if missing else repr(first["input"]),
            todo=f"{'add' if missing else 'correct'} {key} in {file}",
        ) from error
