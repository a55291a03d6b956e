"""Submits a training as a custom job of Vertex AI: `pipelines train` in this project's image."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from google.cloud.aiplatform_v1.services.job_service import JobServiceClient
from google.cloud.aiplatform_v1.types import (
    ContainerSpec,
    CustomJob,
    CustomJobSpec,
    EncryptionSpec,
    GcsDestination,
    MachineSpec,
    WorkerPoolSpec,
)

from pipeline.contract import Model, Settings, UserError
from pipeline.settings import PARTS, make_settings
from runners.training_options import Transformed
from runners.vertex.google_api import client, understood
from runners.vertex.settings import MADE_BY, VertexSettings
from runners.vertex.spec import parent

COMMAND = ["pipelines"]
CONTAINER_ROOT = "/tmp/runs"
"""Where the job's container, whose own folder is nobody's, may write."""


def submit(
    model: Model,
    vertex: VertexSettings,
    layers: tuple[Mapping[str, Any], ...],
    source: Transformed | str | None,
    *,
    dry_run: bool,
    echo: Callable[[str], None],
) -> None:
    """Makes a custom job that trains a model, and says where to follow it; it is not waited for.

    Args:
      model: the contract.
      vertex: where.
      layers: settings over the model's defaults, the last on top.
      source: what to train on; a string is the `gs://` address of raw data.
      dry_run: whether the request is only shown.
      echo: prints a line.

    Raises:
      UserError: settings that do not go together, no credentials, or a refusal of Vertex AI's.
    """
    job = custom_job(model, vertex, layers, source)
    if dry_run:
        echo(
            json.dumps(
                CustomJob.to_dict(job, use_integers_for_enums=False, including_default_value_fields=False), indent=1
            )
        )
        return
    with understood(vertex):
        made = client(vertex, JobServiceClient).create_custom_job(parent=parent(vertex), custom_job=job)
    number = made.name.rpartition("/")[2]
    echo(f"Submitted {made.name}")
    echo(f"Model, when it is trained: {job.job_spec.base_output_directory.output_uri_prefix}/model")
    echo(
        f"Follow it: https://console.cloud.google.com/ai/platform/locations/{vertex.region}/training/{number}"
        f"?project={vertex.project}"
    )


def custom_job(
    model: Model, vertex: VertexSettings, layers: tuple[Mapping[str, Any], ...], source: Transformed | str | None
) -> CustomJob:
    """Returns the request.

    Raises:
      UserError: settings that do not go together.
    """
    settings = make_settings(model, *layers)
    _check_replicas(model, settings, vertex, source)
    name = f"{model.name}-training-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    arguments = ["train", model.name, "--root", CONTAINER_ROOT, *_source(model, vertex, source), *_assignments(layers)]
    spec = CustomJobSpec(
        worker_pool_specs=_pools(vertex, arguments),
        base_output_directory=GcsDestination(output_uri_prefix=f"{vertex.root.rstrip('/')}/training/{name}"),
        service_account=vertex.service_account or "",
        network=vertex.network or "",
        tensorboard=vertex.tensorboard or "",
    )
    key = EncryptionSpec(kms_key_name=vertex.encryption_key) if vertex.encryption_key else None
    return CustomJob(
        display_name=name, job_spec=spec, labels={"model": model.name, **vertex.labels, **MADE_BY}, encryption_spec=key
    )


def _pools(vertex: VertexSettings, arguments: list[str]) -> list[WorkerPoolSpec]:
    """The first pool is the chief and always one machine; the second one has the other workers."""
    training = vertex.training
    machine = MachineSpec(machine_type=training.machine)
    if training.accelerator:
        machine.accelerator_type = training.accelerator
        machine.accelerator_count = training.accelerators
    container = ContainerSpec(image_uri=vertex.image, command=COMMAND, args=arguments)
    counts = [1, training.replicas - 1] if training.replicas > 1 else [1]
    return [WorkerPoolSpec(machine_spec=machine, replica_count=count, container_spec=container) for count in counts]


def _source(model: Model, vertex: VertexSettings, source: Transformed | str | None) -> list[str]:
    """What was typed; else where the environment says that the raw data are; else the sample."""
    if isinstance(source, Transformed):
        return ["--examples", source.examples, "--transform-graph", source.graph]
    address = source or vertex.sources.get(model.name)
    if address is None:
        return []
    if not address.startswith("gs://"):
        table = source is None
        raise UserError(
            expected="training data at a gs:// address",
            received=address + (", a table in BigQuery" if table else ""),
            todo="name --examples and --transform-graph of a run that read the table, or raw data at gs:// with --data"
            if table
            else "copy it to a bucket: `gcloud storage cp`",
        )
    return ["--data", address]


def _assignments(layers: tuple[Mapping[str, Any], ...]) -> list[str]:
    """The settings as `--set` arguments: the job has no environment's file."""
    fields = [
        (f"{part}.{field}", value) for layer in layers for part in PARTS for field, value in layer.get(part, {}).items()
    ]
    return [word for key, value in fields for word in ("--set", f"{key}={json.dumps(value, default=str)}")]


def _check_replicas(model: Model, settings: Settings, vertex: VertexSettings, source: Transformed | str | None) -> None:
    """Workers must know of each other, and share their examples: each would make its own from raw data."""
    replicas, distribution = vertex.training.replicas, getattr(settings.training, "distribution", None)
    together = distribution == "multi_worker"
    if together == (replicas > 1) and (not together or isinstance(source, Transformed)):
        return
    given = "--examples" if isinstance(source, Transformed) else "no --examples"
    raise UserError(
        expected="all or none of: vertex.training.replicas above 1, training.distribution=multi_worker, --examples and "
        "--transform-graph",
        received=f"{replicas} replicas, training.distribution={distribution or f'unknown to {model.name}'}, {given}",
        todo="set vertex.training.replicas to 1, or all of them",
    )
