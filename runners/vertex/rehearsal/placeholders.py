"""Placeholders in commands, arguments and resolvers' filters: what Vertex AI writes in the place of `{{$…}}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format

from runners.vertex.rehearsal import values

_PLACEHOLDER = re.compile(r"\{\{\$(.*?)\}\}")
_OF_NODE = re.compile(
    r"(?P<whole>)"
    r"|\.(?P<side>inputs|outputs)\.artifacts\['(?P<artifact>[^']+)'\]"
    r"(\.(?P<field>uri|path|name|value)|\.metadata\['(?P<property>[^']+)'\])"
    r"|\.inputs\.parameters\['(?P<parameter>[^']+)'\]"
    r"|\.outputs\.parameters\['(?P<output>[^']+)'\]\.output_file"
    r"|\.(?P<plain>outputs\.output_file|pipeline_job_name|pipeline_job_uuid|pipeline_task_name|pipeline_root)"
)


def unknown(text: str) -> Iterator[str]:
    """Yields the placeholders in a text that are not known."""
    for found in _PLACEHOLDER.finditer(text):
        if not _OF_NODE.fullmatch(found.group(1)):
            yield found.group()


def fill(text: str, executor_input: Any, job: dict[str, str]) -> str:
    """Returns a text with its placeholders filled in.

    Args:
      text: of a command, an argument or a filter.
      executor_input: ExecutorInput of the node.
      job: `pipeline_job_name` and the like -> value.

    Raises:
      KeyError: it names an input, an output or a property that the node does not have.
    """
    return _PLACEHOLDER.sub(lambda found: _filled(found.group(1), executor_input, job), text)


def _filled(path: str, given: Any, job: dict[str, str]) -> str:
    found = _OF_NODE.fullmatch(path)
    if found is None:
        raise KeyError(path)
    if found["artifact"]:
        return _of_artifact(found, given)
    if found["parameter"]:
        return str(_parameter(found["parameter"], given.inputs))
    if found["output"]:
        return str(given.outputs.parameters[found["output"]].output_file)
    if found["plain"] == "outputs.output_file":
        return str(given.outputs.output_file)
    return job[found["plain"]] if found["plain"] else json_format.MessageToJson(given, indent=None)


def _parameter(name: str, inputs: Any) -> Any:
    return values.plain(inputs.parameter_values[name] if name in inputs.parameter_values else inputs.parameters[name])


def _of_artifact(found: re.Match[str], given: Any) -> str:
    listed = getattr(given, found["side"]).artifacts[found["artifact"]].artifacts
    if not listed:
        raise KeyError(found["artifact"])
    if found["property"]:
        return str(json_format.MessageToDict(listed[0].metadata)[found["property"]])
    if found["field"] == "value":
        with open(listed[0].uri, encoding="utf-8") as file:  # noqa: PTH123 -- a uri, which may be a mapped one
            return file.read()
    return str(listed[0].name if found["field"] == "name" else listed[0].uri)
