"""Trains outside of the DAG's Trainer, with the same `run_fn`: what a training job on Vertex AI runs.

Raw data go through the DAG itself, up to Transform, data gate included; what a Transform wrote before is taken as it
is. Nothing is pushed: only a whole run, with all its gates, does that.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tfx.components import ImportExampleGen
from tfx.components.trainer import fn_args_utils
from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.proto import example_gen_pb2, trainer_pb2
from tfx.types import standard_artifacts
from tfx.types import standard_component_specs as keys
from tfx.utils import json_utils

from pipeline.contract import Model, Settings, UserError, load, resource
from pipeline.dag import TRAINING_SPLIT, Choices, create_pipeline, training_config
from pipeline.gate import GateRefusal
from pipeline.ingestion.example_files import describe
from pipeline.push.executor import AtomicPushExecutor
from pipeline.settings import make_settings, pipeline_name
from runners.beam import BEAM_ARGS
from runners.dag_runner import NodeFailed, ObservedDagRunner
from runners.events import NodeEvent, Observer, training_told_to
from runners.execution import ingestion
from runners.local import locked, scratch
from runners.run import prepare
from runners.training_options import Places, Records, Transformed

LAST_NODE = "Transform"
TRAINER = "Trainer"


def run_job(
    model: Model,
    source: Transformed | Records | Path | None,
    layers: tuple[Mapping[str, Any], ...],
    *,
    root: Path,
    places: Places,
    observe: Observer,
) -> None:
    """Trains a model and saves it.

    Args:
      model: the contract.
      source: what to train on; a path is raw data, None the model's generated sample.
      layers: settings over the model's defaults, the last on top.
      root: folder for what leads to the training: ingested and transformed examples.
      places: where model, logs and checkpoints go.
      observe: told of each node of the DAG that is run, and of the epochs.

    Raises:
      GateRefusal: the data gate refused the data.
      NodeFailed: another node of the DAG raised.
      UserError: another run holds the root, or data or settings that cannot be used.
    """
    if isinstance(source, Transformed):
        settings, transformed = make_settings(model, *layers), _checked(source)
    else:
        with locked(root), scratch(root):
            settings, transformed = _transform(model, source, layers, root, observe)
    told = fn_args(model, settings, transformed, places)
    with training_told_to(lambda epoch: observe(NodeEvent(TRAINER, "training", epoch=epoch))):
        load(model.run_fn)(told)


def fn_args(model: Model, settings: Settings, transformed: Transformed, places: Places) -> fn_args_utils.FnArgs:
    """Returns what TFX's Trainer would hand to `run_fn`, with `places` in the place of its artifacts' folders."""
    examples, graph = standard_artifacts.Examples(), standard_artifacts.TransformGraph()
    examples.uri, graph.uri = transformed.examples, transformed.graph
    describe(examples, [TRAINING_SPLIT])
    split = trainer_pb2.TrainArgs(splits=[TRAINING_SPLIT])
    properties = {
        keys.TRAIN_ARGS_KEY: json_format.MessageToJson(split),
        keys.EVAL_ARGS_KEY: json_format.MessageToJson(split),
        keys.CUSTOM_CONFIG_KEY: json_utils.dumps(training_config(model, settings, places.checkpoints)),
    }
    told = fn_args_utils.get_common_fn_args(
        {keys.EXAMPLES_KEY: [examples], keys.TRANSFORM_GRAPH_KEY: [graph]}, properties
    )
    told.transform_output = told.transform_graph_path
    told.schema_path = told.schema_file = str(resource(model.schema_file))
    told.serving_model_dir, told.model_run_dir = places.model, places.logs
    return told


def _checked(source: Transformed) -> Transformed:
    for folder in (f"{source.examples}/Split-{TRAINING_SPLIT}", f"{source.graph}/transform_fn"):
        if not fileio.isdir(folder):
            raise UserError(
                expected=f"a folder {folder}, as Transform writes it",
                received="none there",
                todo="name a folder below Transform/transformed_examples with --examples, and the one of the same "
                "number below Transform/transform_graph with --transform-graph",
            )
    return source


def _transform(
    model: Model,
    source: Records | Path | None,
    layers: tuple[Mapping[str, Any], ...],
    root: Path,
    observe: Observer,
) -> tuple[Settings, Transformed]:
    """Runs the DAG up to Transform: of what comes after it, nothing is used."""
    if isinstance(source, Records):
        settings, examples = make_settings(model, *layers), _import(source)
    else:
        prepared = prepare(model, root, data=source, layers=layers)
        settings, examples = prepared.settings, ingestion(prepared)
    # A name of its own: what a run finds in its pipeline's past is no business of a training job's, nor the reverse.
    name = f"{pipeline_name(model, settings)}-training"
    runner = ObservedDagRunner(run_id=datetime.datetime.now().isoformat(), observe=observe, until=LAST_NODE)
    choices = _choices(examples, root)
    try:
        runner.run(create_pipeline(model, settings, name=name, root=str(root / "artifacts" / name), choices=choices))
    except NodeFailed as failed:
        if isinstance(failed.__cause__, (GateRefusal, UserError)):
            raise failed.__cause__ from failed
        raise
    outputs = runner.outputs[LAST_NODE]
    return settings, Transformed(outputs["transformed_examples"][0].uri, outputs["transform_graph"][0].uri)


def _import(records: Records) -> ImportExampleGen:
    folder, patterns = records.below()
    splits = [example_gen_pb2.Input.Split(name=name, pattern=pattern) for name, pattern in patterns.items()]
    return ImportExampleGen(input_base=folder, input_config=example_gen_pb2.Input(splits=splits))


def _choices(examples: base_component.BaseComponent, root: Path) -> Choices:
    return Choices(
        ingestion=examples,
        champion=(LatestBlessedModelStrategy, {"model_blessing": standard_artifacts.ModelBlessing}),
        push_destination=str(root / "pushed"),
        push_executor=executor_spec.ExecutorClassSpec(AtomicPushExecutor),
        push_config={},
        beam_args=list(BEAM_ARGS),
        metadata=metadata.sqlite_metadata_connection_config(str(root / "metadata.sqlite")),
    )
