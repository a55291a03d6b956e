"""The curated schema, taken from the installed project: ImportSchemaGen with a resource in the place of a path.

A path is not the same in a checkout and in a container, and TFX's cache key is the path, not what the file holds.
"""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.schema_gen.import_schema_gen import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import standard_component_specs

from pipeline.contract import UserError, resource
from pipeline.fingerprint import digest_file

_KEY = standard_component_specs.SCHEMA_FILE_KEY


class Executor(executor.Executor):  # type: ignore[misc]
    """Copies the schema to the artifact, as its parent does with a path."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the schema `package:file@digest`.

        Raises:
          UserError: the installed project holds another schema than the pipeline was built with.
        """
        reference, _, digest = exec_properties[_KEY].rpartition("@")
        path = resource(reference)
        found = digest_file(path)
        if found != digest:
            raise UserError(
                expected=f"{reference} with the digest {digest}, as the pipeline was built",
                received=f"one with the digest {found} in {path}",
                todo="build the image again from the same commit, or compile the pipeline from the image's",
            )
        super().Do(input_dict, output_dict, {**exec_properties, _KEY: str(path)})


class PackagedSchema(component.ImportSchemaGen):  # type: ignore[misc]
    """ImportSchemaGen of a resource; its cache key is the content."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, reference: str) -> None:
        """Builds the component.

        Args:
          reference: `package:file`, see `pipeline.contract.resource`.

        Raises:
          FileNotFoundError: there is no such file.
        """
        super().__init__(schema_file=f"{reference}@{digest_file(resource(reference))}")
