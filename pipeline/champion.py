"""The champion, which a candidate must not be worse than: the last model pushed, not the last one blessed.

A model that was blessed and then not pushed (the push failed or was refused) serves nobody, and does not
raise the bar; nor does one that was rolled back: the champion is the model that serves then. The same run's
data is the reference for drift: a refused run, repeated, is refused again.
"""

from __future__ import annotations

from collections.abc import Iterable

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx import types
from tfx.dsl.components.common import resolver

from pipeline.push.history import MODEL_URI, Push, champion

MODEL = "model"
PUSHED_MODEL = "pushed_model"
STATISTICS = "statistics"
"""Names of the resolvers' channels."""

Artifacts = dict[str, list[types.Artifact]]


class LatestPushedModelStrategy(resolver.ResolverStrategy):
    """Resolves the last pushed Model, and its PushedModel, of the pipeline that the channels belong to.

    Where a person chose that another version serves at its destination, it is that version's Model.

    Example:
      Resolver(
          strategy_class=LatestPushedModelStrategy,
          model=Channel(type=standard_artifacts.Model),
          pushed_model=Channel(type=standard_artifacts.PushedModel),
      ).with_id("champion")
    """

    def resolve_artifacts(self, store: object, input_dict: Artifacts) -> Artifacts:
        """Returns one Model and its PushedModel, or empty lists: a first run has no champion.

        Args:
          store: not used.
          input_dict: the pipeline's Model and PushedModel artifacts, under `model` and `pushed_model`.
        """
        models = {model.uri: model for model in input_dict[MODEL]}
        pushes = {push.id: push for push in input_dict[PUSHED_MODEL]}
        found = champion(told for told in map(_told, pushes.values()) if told.model_uri in models)
        if found is None:
            return {MODEL: [], PUSHED_MODEL: []}
        return {MODEL: [models[found.model_uri]], PUSHED_MODEL: [pushes[found.id]]}


class PushedStatisticsStrategy(resolver.ResolverStrategy):
    """Resolves the ExampleStatistics of the examples that the last pushed Model was trained on.

    Example:
      Resolver(
          strategy_class=PushedStatisticsStrategy,
          statistics=Channel(type=standard_artifacts.ExampleStatistics),
          model=Channel(type=standard_artifacts.Model),
          pushed_model=Channel(type=standard_artifacts.PushedModel),
      ).with_id("reference")
    """

    def resolve_artifacts(self, store: MetadataStore, input_dict: Artifacts) -> Artifacts:
        """Returns one ExampleStatistics, the Model and its PushedModel, or empty lists: a first run has no reference.

        Args:
          store: the metadata, which says what a model was trained on.
          input_dict: the pipeline's artifacts, under `statistics`, `model` and `pushed_model`.
        """
        pushed = LatestPushedModelStrategy().resolve_artifacts(store, input_dict)
        sources = _ancestors(store, {model.id for model in pushed[MODEL]})
        found = [
            statistics
            for statistics in sorted(input_dict[STATISTICS], key=lambda statistics: statistics.id)
            if _parents(store, {statistics.id}) & sources
        ]
        return {**pushed, STATISTICS: found[-1:]}


def _told(artifact: types.Artifact) -> Push:
    """Returns what a PushedModel says of itself."""
    return Push(
        artifact.id,
        ok=artifact.get_int_custom_property("pushed") == 1,
        address=artifact.get_string_custom_property("pushed_destination"),
        model_uri=artifact.get_string_custom_property(MODEL_URI),
    )


def _ancestors(store: MetadataStore, artifacts: set[int]) -> set[int]:
    """Returns the ids of all artifacts that others were made from, directly or not."""
    found: set[int] = set()
    while artifacts:
        artifacts = _parents(store, artifacts) - found
        found |= artifacts
    return found


def _parents(store: MetadataStore, artifacts: Iterable[int]) -> set[int]:
    """Returns the ids of the artifacts that went into the executions which made others."""
    made = [event for event in store.get_events_by_artifact_ids(list(artifacts)) if event.type == mlmd.Event.OUTPUT]
    events = store.get_events_by_execution_ids([event.execution_id for event in made])
    return {event.artifact_id for event in events if event.type == mlmd.Event.INPUT}
