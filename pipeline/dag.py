"""The DAG, once: every runner calls `create_pipeline`, for every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.components import Evaluator, ExampleValidator, Pusher, StatisticsGen, Trainer, Transform, Tuner
from tfx.dsl.components.base import base_component, base_node, executor_spec
from tfx.dsl.components.common.resolver import Resolver, ResolverStrategy
from tfx.dsl.input_resolution.strategies.latest_artifact_strategy import LatestArtifactStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts

from pipeline.contract import REQUIRED, Model, Settings, learnt_besides
from pipeline.data_gate import DataGate
from pipeline.fingerprint import digest_code
from pipeline.model_gate import eval_config
from pipeline.packaged_schema import PackagedSchema
from pipeline.serving_gate import ServingGate
from pipeline.verdict import JUDGED_SPLIT

TRAINING_SPLIT = "train"


@dataclass(frozen=True)
class Choices:
    """What a runner chooses; everything else about the DAG is the same wherever it runs.

    Attributes:
      ingestion: example generator; output `examples` with the splits train, eval and test.
      champion: strategy that finds the model to beat, and the artifacts it looks at besides models.
      reference: strategy that finds the statistics of the last pushed run, and the artifacts it looks at besides
        statistics. None where the orchestrator runs no strategy of ours, as on Vertex: no drift is judged there, and
        the data gate's report says so.
      push_destination: folder that receives pushed models.
      push_executor: how it is pushed.
      push_config: what the push executor is told.
      trainer_executor: how training is run; TFX's generic executor if None.
      trainer_config: what that executor is told.
      checkpoints: folder where the trainer may leave what an interrupted training goes on from; none if None.
      beam_args: Beam pipeline arguments of every component that uses Beam.
      metadata: connection of the metadata store; None where the orchestrator has its own.
      use_cache: whether unchanged nodes are taken from the cache.
    """

    ingestion: base_component.BaseComponent
    champion: tuple[type[ResolverStrategy], Mapping[str, type]]
    push_destination: str
    push_executor: executor_spec.ExecutorSpec
    push_config: Mapping[str, Any]
    reference: tuple[type[ResolverStrategy], Mapping[str, type]] | None = None
    trainer_executor: executor_spec.ExecutorSpec | None = None
    trainer_config: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: str | None = None
    beam_args: Sequence[str] = field(default_factory=list)
    metadata: metadata_store_pb2.ConnectionConfig | None = None
    use_cache: bool = True


def create_pipeline(model: Model, settings: Settings, *, name: str, root: str, choices: Choices) -> Pipeline:
    """Returns the pipeline of a model, in the order in which data flows.

    Args:
      model: the contract.
      settings: of this run, resolved against its data.
      name: of the pipeline; runs of one name share champion and cache.
      root: folder of the pipeline's artifacts.
      choices: what the runner chooses.
    """
    examples = choices.ingestion.with_id("ExampleGen").outputs["examples"]
    unjudged = list(learnt_besides(model.source))
    statistics = StatisticsGen(examples=examples, exclude_splits=unjudged)
    importer = PackagedSchema(model.schema_file).with_id("ImportSchemaGen")
    schema = importer.outputs["schema"]
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema, exclude_splits=unjudged)
    reference = _reference(choices)
    data_gate = DataGate(
        examples=examples,
        statistics=statistics.outputs["statistics"],
        schema=schema,
        anomalies=validator.outputs["anomalies"],
        reference=reference and reference.outputs["statistics"],
        gates=settings.gates,
    )
    transform = _transform(model, settings, examples, schema)
    transform.add_upstream_node(data_gate)
    tuned = _tuned(model, settings, transform, schema)
    hyperparameters = tuned and tuned.outputs["best_hyperparameters"]
    trainer = _trainer(model, settings, transform, schema, hyperparameters, choices)
    trained = trainer.outputs["model"]
    serving_gate = ServingGate(
        examples=examples,
        schema=schema,
        trained=trained,
        hyperparameters=hyperparameters,
        model=model,
        settings=settings,
    )
    champion = _lookup("Champion", choices.champion, model=standard_artifacts.Model)
    champion.add_upstream_node(serving_gate)
    evaluator = Evaluator(
        examples=examples,
        model=trained,
        baseline_model=champion.outputs["model"],
        eval_config=eval_config(model, settings),
        example_splits=[JUDGED_SPLIT],
        schema=schema,
    )
    evaluator.add_upstream_node(serving_gate)
    pusher = Pusher(
        model=trained,
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=serving_gate.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=choices.push_destination)
        ),
        custom_config=dict(choices.push_config),
        custom_executor_spec=choices.push_executor,
    )
    return Pipeline(
        pipeline_name=name,
        pipeline_root=root,
        components=[
            choices.ingestion,
            statistics,
            importer,
            validator,
            *filter(None, [reference]),
            data_gate,
            transform,
            *filter(None, [tuned]),
            trainer,
            serving_gate,
            champion,
            evaluator,
            pusher,
        ],
        enable_cache=choices.use_cache,
        metadata_connection_config=choices.metadata,
        beam_pipeline_args=list(choices.beam_args),
    )


def _transform(model: Model, settings: Settings, examples: Channel, schema: Channel) -> Transform:
    """Only what is learnt from is materialized: the gates ask the exported model, which holds the same graph."""
    return Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn=model.preprocessing_fn,
        splits_config=transform_pb2.SplitsConfig(analyze=[TRAINING_SPLIT], transform=_learnt(model)),
        custom_config={
            "features": settings.features.model_dump(mode="json"),
            "code": digest_code(_module(model.preprocessing_fn)),
        },
        # Both double the Beam graph, whose construction is what Transform's time goes to, and neither is used.
        disable_statistics=True,
        disable_analyzer_cache=True,
    )


def _tuned(model: Model, settings: Settings, transform: Transform, schema: Channel) -> base_node.BaseNode | None:
    """What finds hyper-parameters: a search, or a look for what the last one of this pipeline left; None for neither.

    The search never sees the eval split, which the gates judge: it cross-validates inside of the training split.
    """
    if settings.training.tuning == "reuse":
        return _lookup(
            "LastSearch", (LatestArtifactStrategy, {}), best_hyperparameters=standard_artifacts.HyperParameters
        )
    if settings.training.tuning == "off" or model.tuner_fn is None:
        return None
    return Tuner(
        tuner_fn=model.tuner_fn,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        train_args=trainer_pb2.TrainArgs(splits=_learnt(model)),
        eval_args=trainer_pb2.EvalArgs(splits=[TRAINING_SPLIT]),
        custom_config={
            "training": _training(settings),
            "trials": settings.training.tuning_trials,
            "features": settings.features.model_dump(mode="json"),
            "code": digest_code(_module(model.tuner_fn)),
        },
    )


def _trainer(
    model: Model,
    settings: Settings,
    transform: Transform,
    schema: Channel,
    hyperparameters: Channel | None,
    choices: Choices,
) -> Trainer:
    """The trainer never sees the eval split, which the gates judge: it carves its own out of the training split."""
    return Trainer(
        run_fn=model.run_fn,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        hyperparameters=hyperparameters,
        train_args=trainer_pb2.TrainArgs(splits=_learnt(model)),
        eval_args=trainer_pb2.EvalArgs(splits=[TRAINING_SPLIT]),
        custom_config={
            **training_config(model, settings, choices.checkpoints),
            **({REQUIRED: True} if hyperparameters else {}),
            **choices.trainer_config,
        },
        custom_executor_spec=choices.trainer_executor,
    )


def training_config(model: Model, settings: Settings, checkpoints: str | None) -> dict[str, Any]:
    """Returns what a model's `run_fn` is told, as `custom_config`, beside its examples; also outside of the DAG."""
    return {
        "training": _training(settings),
        "features": settings.features.model_dump(mode="json"),
        "code": digest_code(_module(model.run_fn)),
        "checkpoints": checkpoints,
    }


def _learnt(model: Model) -> list[str]:
    """The splits that are learnt from, by Trainer and Tuner alike."""
    return [TRAINING_SPLIT, *learnt_besides(model.source)]


def _training(settings: Settings) -> dict[str, Any]:
    """How hyper-parameters are come by is no part of it: the same ones give the same model, from the cache."""
    return settings.training.model_dump(mode="json", exclude={"tuning", "tuning_trials"})


def _reference(choices: Choices) -> Resolver | None:
    if choices.reference is None:
        return None
    return _lookup("Reference", choices.reference, statistics=standard_artifacts.ExampleStatistics)


def _lookup(name: str, choice: tuple[type[ResolverStrategy], Mapping[str, type]], **wanted: type) -> Resolver:
    strategy, kinds = choice
    channels = {key: Channel(type=kind) for key, kind in {**wanted, **kinds}.items()}
    return Resolver(strategy_class=strategy, **channels).with_id(name)


def _module(dotted: str) -> str:
    return dotted.rpartition(".")[0]
