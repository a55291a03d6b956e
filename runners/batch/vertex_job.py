"""Batch prediction on Vertex AI, with a model of its registry: submitted, and waited for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from google.api_core.retry import Retry
from google.cloud import aiplatform_v1 as v1

from pipeline.contract import Model, UserError, resource
from pipeline.push.vertex import model_id
from pipeline.serving_inputs import serving_inputs
from runners.vertex.google_api import client, understood
from runners.vertex.jobs import CONSOLE, PATIENCE_S, POLL_S
from runners.vertex.settings import MADE_BY, VertexSettings
from runners.vertex.spec import parent

ENDED = ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


class Machines(NamedTuple):
    """What a job runs on: type, and how many at its start and at most."""

    type: str
    start: int
    most: int


class BatchJob(NamedTuple):
    """A batch prediction job.

    Attributes:
      id: number of the job.
      state: such as PENDING, RUNNING, SUCCEEDED, PARTIALLY_SUCCEEDED.
      predicted, bad: rows so far; 0 while Vertex AI does not say.
      error: why it failed.
      output: where the predictions are, once they are.
      console: its address in the console.
    """

    id: str
    state: str
    predicted: int
    bad: int
    error: str
    output: str
    console: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


def request(
    vertex: VertexSettings,
    pipeline: str,
    source: str,
    output: str,
    *,
    version: str | None = None,
    inputs: Sequence[str] = (),
    machines: Machines,
) -> v1.CreateBatchPredictionJobRequest:
    """Returns what `submit` asks for. Asks nothing of anybody.

    Args:
      vertex: settings.
      pipeline: whose model predicts.
      source: `gs://` address of JSONL, which may have `*`, or `bq://project.dataset.table`.
      output: `gs://` folder, or `bq://project.dataset`.
      version: number of a pushed version; the registry's default one if None.
      inputs: columns that the model is asked with; others are kept beside the predictions. All if empty.
      machines: what it runs on.

    Raises:
      UserError: a source or an output that such a job does not take.
    """
    named = f"{pipeline}-{datetime.now(timezone.utc):%Y%m%d%H%M%S}"
    alias = f"@pushed-{version}" if version else ""
    job = v1.BatchPredictionJob(
        display_name=named[-128:],
        model=f"{parent(vertex)}/models/{model_id(pipeline)}{alias}",
        input_config=_source(source),
        output_config=_destination(output),
        # Rows as objects, by the names of their columns: BigQuery's would be arrays. Lines that are no objects stay so.
        instance_config=v1.BatchPredictionJob.InstanceConfig(instance_type="object", included_fields=inputs)
        if inputs or source.startswith("bq://")
        else None,
        dedicated_resources=v1.BatchDedicatedResources(
            machine_spec=v1.MachineSpec(machine_type=machines.type),
            starting_replica_count=machines.start,
            max_replica_count=machines.most,
        ),
        service_account=vertex.service_account or "",
        labels={**MADE_BY, **vertex.labels},
        encryption_spec=v1.EncryptionSpec(kms_key_name=vertex.encryption_key) if vertex.encryption_key else None,
    )
    return v1.CreateBatchPredictionJobRequest(parent=parent(vertex), batch_prediction_job=job)


def inputs(contract: Model) -> tuple[str, ...]:
    """Returns the columns that `serving_default` is asked with: the schema's; none where it is asked something else."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    default = [one for one in contract.requests if one.signature == "serving_default"]
    if not default or default[0].inputs is not None:
        return ()
    schema = text_format.Parse(resource(contract.schema_file).read_text(encoding="utf-8"), schema_pb2.Schema())
    return serving_inputs(schema)


def submit(vertex: VertexSettings, asked: v1.CreateBatchPredictionJobRequest) -> BatchJob:
    """Starts a job.

    Raises:
      UserError: the model is not in the registry, or Vertex AI refused.
    """
    with understood(vertex):
        client(vertex, v1.ModelServiceClient).get_model(name=asked.batch_prediction_job.model)
        return _job(vertex, client(vertex, v1.JobServiceClient).create_batch_prediction_job(asked))


def watch(vertex: VertexSettings, job: str) -> Iterator[BatchJob]:
    """Looks at a job every few seconds, until it has ended: the last one yielded has.

    Raises:
      UserError: no such job, or Vertex AI refused.
    """
    patient = Retry(initial=POLL_S, maximum=60.0, timeout=PATIENCE_S)
    service = client(vertex, v1.JobServiceClient)
    while True:
        with understood(vertex):
            name = f"{parent(vertex)}/batchPredictionJobs/{job}"
            found = _job(vertex, service.get_batch_prediction_job(name=name, retry=patient))
        yield found
        if found.ended:
            return
        time.sleep(POLL_S)


def _source(source: str) -> v1.BatchPredictionJob.InputConfig:
    if source.startswith("bq://"):
        return v1.BatchPredictionJob.InputConfig(
            instances_format="bigquery", bigquery_source=v1.BigQuerySource(input_uri=source)
        )
    if source.startswith("gs://") and source.endswith(".jsonl"):
        return v1.BatchPredictionJob.InputConfig(instances_format="jsonl", gcs_source=v1.GcsSource(uris=[source]))
    raise UserError(
        expected="an input that Vertex AI can give to the model by the names of its columns: gs://….jsonl or "
        "bq://project.dataset.table",
        received=source,
        todo="write it as JSONL to a bucket (CSV would come as nameless arrays, tf.Examples to the wrong signature), "
        "or leave out --env to predict here",
    )


def _destination(output: str) -> v1.BatchPredictionJob.OutputConfig:
    if output.startswith("bq://"):
        return v1.BatchPredictionJob.OutputConfig(
            predictions_format="bigquery", bigquery_destination=v1.BigQueryDestination(output_uri=output)
        )
    if output.startswith("gs://"):
        return v1.BatchPredictionJob.OutputConfig(
            predictions_format="jsonl", gcs_destination=v1.GcsDestination(output_uri_prefix=output)
        )
    raise UserError(
        expected="an output that Vertex AI writes to: a gs:// folder or bq://project.dataset",
        received=output,
        todo="correct --output, or leave out --env to predict here",
    )


def _job(vertex: VertexSettings, job: v1.BatchPredictionJob) -> BatchJob:
    number = job.name.rpartition("/")[2]
    info = job.output_info
    table = (info.bigquery_output_dataset, info.bigquery_output_table)
    return BatchJob(
        id=number,
        state=job.state.name.removeprefix("JOB_STATE_"),
        predicted=int(job.completion_stats.successful_count),
        bad=int(job.completion_stats.failed_count),
        error=" ".join(job.error.message.split()),
        output=info.gcs_output_directory or ".".join(filter(None, table)),
        console=f"{CONSOLE}/locations/{vertex.region}/batch-predictions/{number}?project={vertex.project}",
    )
