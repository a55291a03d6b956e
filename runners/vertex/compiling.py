"""Compiles the one DAG for Vertex AI: what is chosen there, and the pipeline spec that comes out of it.

Offline and without credentials; the same inputs give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components.trainer import executor as trainer_executor
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.extensions.google_cloud_ai_platform import constants as vertex_keys
from tfx.extensions.google_cloud_ai_platform.trainer import executor as job_executor
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from pipeline.contract import Model, Pictures, Settings, UserError, load
from pipeline.dag import Choices, create_pipeline
from pipeline.fingerprint import digest_code
from pipeline.ingestion.bigquery_example_gen import BigQueryTableExampleGen
from pipeline.ingestion.image_example_gen import ImageExampleGen
from pipeline.ingestion.sql import render, split_queries
from pipeline.push import custom_config, say
from pipeline.push.executor import AtomicPushExecutor
from pipeline.push.registry import RegistryPushExecutor
from pipeline.settings import get, pipeline_name
from runners.beam import BEAM_ARGS
from runners.vertex.settings import MADE_BY, VertexSettings
from runners.vertex.sources import source_of, table_of

Spec = dict[str, Any]
"""A PipelineJob as JSON: `pipelineSpec`, `runtimeConfig`, `labels`, `displayName`."""

PARAMETERS = {
    "data_gates": ("DataGate", "gates"),
    "push_destination": ("Pusher", "push_destination"),
    "pictures": ("ExampleGen", "source"),
}
"""Runtime parameter -> node and property whose value it gives. What was compiled is its default."""

UNKNOWN = "unknown"
"""Digest of a source whose state nobody looked at."""

COMMAND = ("python", "-m", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor")


def compile_spec(model: Model, settings: Settings, vertex: VertexSettings, *, state: str | None = None) -> Spec:
    """Returns the pipeline of a model as Vertex AI runs it.

    Args:
      model: the contract.
      settings: resolved; a setting that is still `auto` is resolved by each run, in its query.
      vertex: where and how.
      state: digest of the source's state. None if nobody looked: the ingestion is never taken from the cache then.

    Raises:
      UserError: no source or no `gs://` destination is set, or the model names code that does not exist.
    """
    name = spec_name(model, settings)
    choices = _choices(model, settings, vertex, name, state)
    _check_code(model)
    pipeline = create_pipeline(model, settings, name=name, root=vertex.root.rstrip("/"), choices=choices)
    components = [component for component in pipeline.components if isinstance(component, BaseComponent)]
    for component in components:
        _limit(component, vertex)
    spec = _compiled(pipeline, vertex, _parametrize(components))
    if state is None:
        spec["pipelineSpec"]["root"]["dag"]["tasks"]["ExampleGen"].pop("cachingOptions", None)
    spec["runtimeConfig"]["failurePolicy"] = vertex.failure_policy_name
    spec["labels"] = {**spec.get("labels", {}), **_labels(model, settings), **vertex.labels, **MADE_BY}
    return spec


def spec_name(model: Model, settings: Settings) -> str:
    """Returns the pipeline's name as Vertex AI allows it: without underscores."""
    return pipeline_name(model, settings).replace("_", "-")


def _check_code(model: Model) -> None:
    """A node would only fail in its container, after those before it were paid for."""
    tuner = filter(None, [model.tuner_fn])
    metrics = (metric.function for metric in model.metrics)
    for path in (model.preprocessing_fn, model.run_fn, *tuner, model.naive, *metrics):
        try:
            load(path)
        except ImportError as error:
            raise UserError(
                expected=f"{path}, which model {model.name} names",
                received=str(error),
                todo=f"correct the dotted path in the MODEL of {model.name}",
            ) from error


def _compiled(pipeline: Pipeline, vertex: VertexSettings, parameters: Mapping[str, str]) -> Spec:
    config = KubeflowV2DagRunnerConfig(default_image=vertex.image, default_commands=list(COMMAND))
    compiled: Spec = KubeflowV2DagRunner(config).run(pipeline, dict(parameters), write_out=False)
    return compiled


def _choices(model: Model, settings: Settings, vertex: VertexSettings, name: str, state: str | None) -> Choices:
    """What Vertex AI chooses. It knows only TFX's own resolver strategies: the champion is the last blessed model."""
    destination = settings.gates.destination
    if destination is None or not destination.startswith("gs://"):
        raise UserError(
            expected=f"gates.destination of {model.name} in a bucket, gs://bucket/folder",
            received=destination or "none",
            todo="set it with --set, or in the model's section of the environment's file",
        )
    return Choices(
        ingestion=_ingestion(model, settings, vertex, state),
        champion=(LatestBlessedModelStrategy, {"model_blessing": standard_artifacts.ModelBlessing}),
        push_destination=f"{destination.rstrip('/')}/{name}",
        push_executor=_pusher(vertex),
        push_config=_push_config(model, settings, vertex, name, state),
        trainer_executor=_trainer(vertex),
        trainer_config=_trainer_config(vertex, name),
        checkpoints=f"{vertex.root.rstrip('/')}/checkpoints/{name}",
        beam_args=list(BEAM_ARGS) if vertex.beam.runner == "in_process" else _dataflow(vertex),
        use_cache=vertex.cache,
    )


def _ingestion(model: Model, settings: Settings, vertex: VertexSettings, state: str | None) -> BaseComponent:
    if isinstance(model.source, Pictures):
        size = get(settings, model.source.size)
        return ImageExampleGen(source_of(model, vertex), state or UNKNOWN, size, model.source.splits)
    table = table_of(model, vertex, state or UNKNOWN)
    queries = split_queries(model.source, settings.features, table=table.address)
    whole = render(model.source, settings.features, table=table.address)
    return BigQueryTableExampleGen(queries, whole, table, model.source)


def _pusher(vertex: VertexSettings) -> ExecutorClassSpec:
    return ExecutorClassSpec(RegistryPushExecutor if vertex.push.registry else AtomicPushExecutor)


def _push_config(
    model: Model, settings: Settings, vertex: VertexSettings, name: str, state: str | None
) -> dict[str, Any]:
    said = say(model, generated=False)
    told = custom_config(model.name, settings, pipeline=name, data_digest=state or UNKNOWN, said=said)
    code = digest_code(_pusher(vertex).executor_class.__module__)
    if not vertex.push.registry:
        return {**told, "code": code}
    shared = {"project", "region", "api_endpoint", "labels", "encryption_key", "service_account", "push"}
    if vertex.push.server == "pipelines":
        shared.add("image")
    labelled = vertex.model_copy(update={"labels": {**vertex.labels, **MADE_BY}})
    return {**told, "code": code, "vertex": labelled.model_dump(mode="json", include=shared)}


def _trainer(vertex: VertexSettings) -> ExecutorClassSpec:
    executors = {"container": trainer_executor.GenericExecutor, "job": job_executor.GenericExecutor}
    return ExecutorClassSpec(executors[vertex.training.place])


def _trainer_config(vertex: VertexSettings, name: str) -> dict[str, Any]:
    """What TFX's executor needs to start a custom job, which runs the Trainer's own executor in our image."""
    if vertex.training.place == "container":
        return {}
    workers = {
        "machine_spec": _machine(vertex),
        "replica_count": vertex.training.replicas,
        "container_spec": {"image_uri": vertex.image},
    }
    job = {
        "worker_pool_specs": [workers],
        **{key: value for key in ("service_account", "network", "tensorboard") if (value := getattr(vertex, key))},
    }
    if vertex.tensorboard:
        job["base_output_directory"] = {"output_uri_prefix": f"{vertex.root.rstrip('/')}/training/{name}"}
    encryption = {"encryption_spec": {"kms_key_name": vertex.encryption_key}} if vertex.encryption_key else {}
    return {
        vertex_keys.ENABLE_VERTEX_KEY: True,
        vertex_keys.VERTEX_REGION_KEY: vertex.region,
        job_executor.TRAINING_ARGS_KEY: {
            "project": vertex.project,
            "display_name": f"{name}-trainer",
            "labels": {**vertex.labels, **MADE_BY},
            "job_spec": job,
            **encryption,
        },
    }


def _machine(vertex: VertexSettings) -> dict[str, Any]:
    training = vertex.training
    accelerator = {"accelerator_type": training.accelerator, "accelerator_count": training.accelerators}
    return {"machine_type": training.machine, **(accelerator if training.accelerator else {})}


def _dataflow(vertex: VertexSettings) -> list[str]:
    """Workers run our image, in which Beam and the project are installed."""
    root = vertex.root.rstrip("/")
    optional = {
        "service_account_email": vertex.service_account,
        "subnetwork": vertex.beam.subnetwork,
        "dataflow_kms_key": vertex.encryption_key,
    }
    return [
        "--runner=DataflowRunner",
        f"--project={vertex.project}",
        f"--region={vertex.region}",
        f"--temp_location={root}/dataflow",
        f"--sdk_container_image={vertex.image}",
        "--sdk_location=container",
        "--experiments=use_runner_v2",
        f"--worker_machine_type={vertex.beam.machine}",
        f"--max_num_workers={vertex.beam.max_workers}",
        *(f"--{key}={value}" for key, value in optional.items() if value),
        *(["--no_use_public_ips"] if vertex.beam.subnetwork else []),
        *(f"--labels={key}={value}" for key, value in {**vertex.labels, **MADE_BY}.items()),
    ]


def _limit(component: BaseComponent, vertex: VertexSettings) -> None:
    """Says how much of a machine a node's container may use; an accelerator is for those alone that train."""
    limits = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec(
        cpu_limit=vertex.cpus or 0, memory_limit=vertex.memory_gb or 0
    )
    training = vertex.training
    if component.id in ("Trainer", "Tuner") and training.place == "container" and training.accelerator:
        limits.accelerator.type, limits.accelerator.count = training.accelerator, training.accelerators
    if limits.ByteSize():
        component.with_platform_config(limits)


def _parametrize(components: Sequence[BaseComponent]) -> dict[str, str]:
    """Makes runtime parameters of the properties that `PARAMETERS` lists; returns what was compiled, their default."""
    defaults = {}
    for name, (node, key) in PARAMETERS.items():
        for component in components:
            if component.id == node and key in component.exec_properties:
                defaults[name] = str(component.exec_properties[key])
                component.exec_properties[key] = RuntimeParameter(name, default=defaults[name], ptype=str)
    return defaults


def _labels(model: Model, settings: Settings) -> Mapping[str, str]:
    """Says of a run what it is, and what its settings of the features came to, such as the cut-off."""
    told = {"model": model.name, "line": settings.data.line, **settings.features.model_dump(mode="json")}
    return {_label(key): _label(str(value)) for key, value in told.items()}


def _label(text: str) -> str:
    """Vertex AI takes 63 lower-case letters, digits, `-` and `_`."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]
