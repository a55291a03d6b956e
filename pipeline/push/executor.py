"""Executor of the standard Pusher: only what both gates blessed, atomically, once, and with a manifest.

Use it as `Pusher(model=…, model_blessing=…, infra_blessing=…, push_destination=…, custom_config=
pipeline.push.custom_config(…), custom_executor_spec=ExecutorClassSpec(AtomicPushExecutor))`.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, proto_utils

from pipeline.push import Manifest, Pushed, Told, draft, publish
from pipeline.push.history import MODEL_URI
from pipeline.push.manifest import EXAMPLES_FILE, INGESTION_FILE, METRICS_FILE, NAIVE_FILE, SLICES_FILE, TUNED_FILE
from pipeline.remote import local_folder

NEW = "new"
MODEL_DIGEST = "model_digest"
"""Custom properties of a PushedModel, besides `MODEL_URI` and TFX's `pushed`, `pushed_destination` and
`pushed_version`: 1 if the push made the version or 0 if it found it there, and digest of the model."""

Artifacts = dict[str, list[types.Artifact]]


class AtomicPushExecutor(executor.Executor):
    """Pushes a model that both gates blessed.

    Unlike TFX's own executor it refuses a model without one of the blessings, never shows a half-written
    version, and does not push again what the destination's newest version already is (`pushed` is 1 then,
    `new` is 0).
    """

    def CheckBlessing(self, input_dict: Artifacts) -> bool:
        """Whether both blessings are there and bless."""
        for key in (standard_component_specs.MODEL_BLESSING_KEY, standard_component_specs.INFRA_BLESSING_KEY):
            if not input_dict.get(key):
                logging.warning("Not pushed: there is no %s.", key)
                return False
        return bool(super().CheckBlessing(input_dict))

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Pushes `model` to `push_destination`, if blessed, and records in `pushed_model` how that ended.

        Raises:
          UserError: the destination cannot be written to, or another push to it did not end in time.
        """
        self._push(input_dict, output_dict, exec_properties)

    def _push(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> tuple[Pushed, Manifest] | None:
        """Does what `Do` says, and returns what is at the destination now; None where a blessing was missing."""
        output = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(output)
            return None
        with local_folder(self.GetModelPath(input_dict)) as folder:
            manifest = self._draft(input_dict, exec_properties, folder)
            pushed = publish(destination_of(exec_properties), folder, manifest)
            io_utils.copy_dir(str(folder), output.uri)  # What PushedModel artifacts hold, by TFX's definition.
        self._record(output, pushed, manifest)
        return pushed, manifest

    def _draft(self, input_dict: Artifacts, exec_properties: dict[str, Any], folder: Path) -> Manifest:
        config = json_utils.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        model = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        return draft(Told(**config["manifest"]), folder, run=self._run(), model_uri=model.uri, **_measured(input_dict))

    def _run(self) -> str:
        """The run's id from the context, where it does not touch the cache key. Vertex gives only a task's id."""
        context = self._context
        return str((context.pipeline_run_id or context._unique_id or "") if context else "")

    def _record(self, output: types.Artifact, pushed: Pushed, manifest: Manifest) -> None:
        self._MarkPushed(output, pushed.version.path, str(pushed.version.number))
        output.set_int_custom_property(NEW, int(pushed.new))
        output.set_string_custom_property(MODEL_URI, manifest.model_uri)
        output.set_string_custom_property(MODEL_DIGEST, manifest.model_digest)


def destination_of(exec_properties: dict[str, Any]) -> str:
    """Returns the address that a Pusher's properties name as the place to push to."""
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
    return str(destination.filesystem.base_directory)


def _measured(input_dict: Artifacts) -> dict[str, Any]:
    """Returns fields of the manifest, as the serving gate left them."""
    blessing = artifact_utils.get_single_instance(input_dict[standard_component_specs.INFRA_BLESSING_KEY])
    files = {"metrics": METRICS_FILE, "slices": SLICES_FILE, "naive": NAIVE_FILE, "examples": EXAMPLES_FILE}
    found = {name: _read(f"{blessing.uri}/{file}") or {} for name, file in files.items()}
    noted = {"ingested": INGESTION_FILE, "tuned": TUNED_FILE}
    return {**found, **{name: _read(f"{blessing.uri}/{file}") for name, file in noted.items()}}


def _read(file: str) -> Any:
    if not fileio.exists(file):
        return None
    with fileio.open(file) as stream:
        return json.load(stream)
