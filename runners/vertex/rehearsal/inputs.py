"""What a node is given: parameters and artifacts of the nodes before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from runners.vertex.rehearsal import conditions, values
from runners.vertex.rehearsal.spec import Node, producer
from runners.vertex.rehearsal.store import Artifact


@dataclass
class Result:
    """What a node made: artifacts by output, and values of output parameters."""

    artifacts: dict[str, list[Artifact]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


def artifacts(node: Node, made: Mapping[str, Result]) -> dict[str, list[Artifact]]:
    """Returns a node's input artifacts by key; none where a resolver found none."""
    sources = {key: given.task_output_artifact for key, given in node.task.inputs.artifacts.items()}
    return {
        key: made[source.producer_task].artifacts.get(source.output_artifact_key, []) for key, source in sources.items()
    }


def parameters(node: Node, runtime: Mapping[str, Any], made: Mapping[str, Result]) -> dict[str, Any]:
    """Returns a node's parameters by name: constants, the pipeline's runtime parameters, outputs of other nodes."""
    defined = node.component.input_definitions.parameters
    found = values.defaults(defined)
    for name, given in node.task.inputs.parameters.items():
        if asked := values.runtime_name(given):
            found[name] = runtime[asked]
        elif source := producer(given):
            found[name] = made[source].parameters[given.task_output_parameter.output_parameter_key]
        else:
            found[name] = values.constant(given.runtime_value)
    return {name: values.as_type(value, defined[name]) for name, value in found.items()}


def hold(node: Node, made: Mapping[str, Result], given: Mapping[str, Any]) -> bool:
    """Returns whether a node's trigger condition holds for its inputs.

    Raises:
      NotUnderstood: it asks for what is not there.
    """
    seen = {
        key: [SimpleNamespace(uri=found.uri, metadata=found.metadata) for found in listed]
        for key, listed in artifacts(node, made).items()
    }
    return conditions.holds(node.task.trigger_policy.condition, {"artifacts": seen, "parameter_values": given})


def executor_input(node: Node, made: Mapping[str, Result], parameters: Mapping[str, Any], *, plain: bool) -> Any:
    """Returns a node's ExecutorInput, without outputs.

    Args:
      node: the node.
      made: what the nodes before it made.
      parameters: its own, by name.
      plain: whether parameters are passed as JSON values (schema 2.1).
    """
    given = pb.ExecutorInput()
    for key, listed in artifacts(node, made).items():
        given.inputs.artifacts[key].artifacts.extend(_runtime(artifact) for artifact in listed)
    for name, value in parameters.items():
        if plain:
            given.inputs.parameter_values[name].CopyFrom(values.struct(value))
        else:
            given.inputs.parameters[name].CopyFrom(values.legacy(value))
    return given


def _runtime(artifact: Artifact) -> Any:
    content = {"name": artifact.name, "uri": artifact.uri, "type": artifact.type, "metadata": artifact.metadata}
    return json_format.ParseDict(content, pb.RuntimeArtifact())
