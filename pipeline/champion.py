"""The champion, which a candidate must not be worse than: the last model pushed, not the last one blessed.

A model that was blessed and then not pushed (the push failed or was refused) serves nobody, and does not
raise the bar.
"""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.common import resolver

from pipeline.push.executor import MODEL_URI

MODEL = "model"
PUSHED_MODEL = "pushed_model"
"""Names of the resolver's channels."""

Artifacts = dict[str, list[types.Artifact]]


class LatestPushedModelStrategy(resolver.ResolverStrategy):
    """Resolves the last pushed Model, and its PushedModel, of the pipeline that the channels belong to.

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
        for push in sorted(input_dict[PUSHED_MODEL], key=lambda push: push.id, reverse=True):
            model = models.get(push.get_string_custom_property(MODEL_URI))
            if model and push.get_int_custom_property("pushed") == 1:
                return {MODEL: [model], PUSHED_MODEL: [push]}
        return {MODEL: [], PUSHED_MODEL: []}
