"""Executor of the standard Pusher that also brings a pushed version to Vertex AI: Model Registry and endpoint.

Use it as `pipeline.push.executor.AtomicPushExecutor`, with a destination in a bucket and
`custom_config={**pipeline.push.custom_config(…), "vertex": pipeline.push.registry_settings.Vertex(…).model_dump()}`.
"""

from __future__ import annotations

import logging
from typing import Any

from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils

from pipeline.contract import UserError
from pipeline.push import Manifest, Version
from pipeline.push.executor import Artifacts, AtomicPushExecutor, destination_of
from pipeline.push.registry_settings import Vertex

CONFIG = "vertex"
"""Key of the custom config that holds `Vertex` as plain data."""

REGISTERED_MODEL = "registered_model"
ENDPOINT = "endpoint"
"""Custom properties of a PushedModel, besides those of `pipeline.push.executor`: full names of the model version in
the registry and of the endpoint that it is deployed to."""


class RegistryPushExecutor(AtomicPushExecutor):
    """Pushes a blessed model to a bucket, then registers the version there and deploys it, as the settings say.

    The model's id in the registry is the pipeline's name. What is there already is left as it is, so that a run after
    a failure half way completes it.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Pushes as the parent does; then the registry and the endpoint follow.

        Raises:
          UserError: as the parent; or the destination is no bucket, where nothing is pushed; or the registry or the
            endpoint refused, where the version is pushed and stays.
        """
        config = json_utils.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        vertex = Vertex.model_validate(config[CONFIG])
        if vertex.push.registry:
            _check_bucket(destination_of(exec_properties))
        done = self._push(input_dict, output_dict, exec_properties)
        if done is None or not vertex.push.registry:
            return
        pushed, manifest = done
        output = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        for key, name in bring_to_vertex(vertex, pushed.version, manifest).items():
            output.set_string_custom_property(key, name)
            logging.info("Pushed version %s: %s is %s", pushed.version.path, key, name)


def bring_to_vertex(vertex: Vertex, version: Version, manifest: Manifest) -> dict[str, str]:
    """Sees to it that a pushed version is in the registry and, if one is named, at the endpoint.

    Returns:
      `REGISTERED_MODEL` and, if one is named, `ENDPOINT`, with the full name of each.

    Raises:
      UserError: Vertex AI refused or could not be reached.
    """
    from pipeline.push.vertex import VertexModels  # Google's client takes seconds to import.

    models = VertexModels(vertex, manifest.pipeline)
    found = {REGISTERED_MODEL: models.register(version, manifest)}
    if vertex.push.endpoint:
        found[ENDPOINT] = models.deploy(version)
    return found


def _check_bucket(destination: str) -> None:
    if not destination.startswith("gs://"):
        raise UserError(
            expected="a push destination gs://bucket/folder, from which the Model Registry reads",
            received=destination,
            todo="set gates.destination, or vertex.push.registry to false",
        )
