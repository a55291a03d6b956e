"""A compiled pipeline as the protos that Vertex AI reads: what it says, and whether it hangs together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from pipeline.contract import UserError
from runners.vertex.rehearsal import conditions, placeholders, values

OUTPUT_PARAMETER_SUFFIX = "_task"
"""TFX names the producer of an output parameter so, and only there; no task has that name."""

_UNKNOWN = ("artifact_iterator", "parameter_iterator", "iterator_policy")


@dataclass(frozen=True)
class Node:
    """A task of the pipeline with all that is said of it elsewhere in the spec."""

    name: str
    task: pb.PipelineTaskSpec
    component: pb.ComponentSpec
    executor: pb.PipelineDeploymentConfig.ExecutorSpec

    @property
    def kind(self) -> str:
        """Returns container, importer or resolver."""
        return str(self.executor.WhichOneof("spec"))

    @property
    def upstream(self) -> set[str]:
        """Names of the nodes that it waits for."""
        artifacts = (found.task_output_artifact.producer_task for found in self.task.inputs.artifacts.values())
        parameters = (producer(found) for found in self.task.inputs.parameters.values())
        return {*self.task.dependent_tasks, *artifacts, *filter(None, parameters)}


@dataclass(frozen=True)
class Spec:
    """A pipeline.

    Attributes:
      pipeline: its name, within which artifacts are looked up and nodes are cached.
      root: folder of its artifacts.
      nodes: by name, each after those that it waits for.
      parameters: values of its runtime parameters.
      failure_policy: fast starts no more nodes once one failed; slow goes on with those that do not wait for it.
      plain_values: whether nodes get parameters as JSON values (schema 2.1) and not as typed ones (2.0).
    """

    pipeline: str
    root: str
    nodes: Mapping[str, Node]
    parameters: Mapping[str, Any]
    plain_values: bool
    failure_policy: Literal["fast", "slow"]


def producer(given: pb.TaskInputsSpec.InputParameterSpec) -> str:
    """Returns the name of the node that a parameter's value comes from, or nothing."""
    return str(given.task_output_parameter.producer_task).removesuffix(OUTPUT_PARAMETER_SUFFIX)


def read(spec: Mapping[str, Any], parameters: Mapping[str, Any]) -> Spec:
    """Returns a compiled pipeline that hangs together.

    Args:
      spec: PipelineJob as JSON, as TFX's compiler writes it.
      parameters: values of runtime parameters, over those in the spec.

    Raises:
      UserError: a field that Vertex AI does not know, or a node that says what another one contradicts.
    """
    # The protos that kfp brings do not know this field, which Vertex AI does.
    config = {**spec.get("runtimeConfig", {})}
    policy = str(config.pop("failurePolicy", ""))
    job = _parsed({**spec, "runtimeConfig": config}, pb.PipelineJob(), "the spec")
    pipeline = _parsed(spec.get("pipelineSpec") or {}, pb.PipelineSpec(), "pipelineSpec")
    deployment = _parsed(
        json_format.MessageToDict(pipeline.deployment_spec), pb.PipelineDeploymentConfig(), "deploymentSpec"
    )
    nodes = {name: _node(name, task, pipeline, deployment) for name, task in pipeline.root.dag.tasks.items()}
    if not nodes:
        raise _wrong("at least one task in pipelineSpec.root.dag", "none")
    given = values.runtime_parameters(pipeline.root.input_definitions, job.runtime_config, parameters)
    for node in nodes.values():
        _check(node, nodes, set(given))
    return Spec(
        pipeline=pipeline.pipeline_info.name,
        root=job.runtime_config.gcs_output_directory or pipeline.default_pipeline_root,
        nodes={name: nodes[name] for name in _sorted(nodes)},
        parameters=given,
        plain_values=pipeline.schema_version >= "2.1",
        failure_policy="slow" if policy.endswith("SLOW") else "fast",
    )


def _parsed(content: Any, message: Any, where: str) -> Any:
    try:
        return json_format.ParseDict(content, message)
    except json_format.ParseError as error:
        raise _wrong(f"{where} to hold only what Vertex AI knows", str(error)) from error


def _node(name: str, task: Any, pipeline: Any, deployment: Any) -> Node:
    called = task.component_ref.name
    if called not in pipeline.components:
        raise _wrong(f"node {name}: a component {called!r} in pipelineSpec.components", "none")
    component = pipeline.components[called]
    label = component.executor_label
    if label not in deployment.executors:
        received = "a DAG of its own, which cannot be rehearsed" if component.HasField("dag") else "none"
        raise _wrong(f"node {name}: an executor {label!r} in deploymentSpec.executors", received)
    return Node(name, task, component, deployment.executors[label])


def _sorted(nodes: Mapping[str, Node]) -> list[str]:
    try:
        return list(TopologicalSorter({name: sorted(nodes[name].upstream) for name in sorted(nodes)}).static_order())
    except CycleError as error:
        raise _wrong("nodes that do not wait for each other", f"a cycle: {' -> '.join(error.args[1])}") from error


# --- what a node says ----------------------------------------------------------------------------------


def _check(node: Node, nodes: Mapping[str, Node], parameters: set[str]) -> None:
    for problem in (*_own(node), *_interface(node), *_upstream(node, nodes), *_parameters(node, nodes, parameters)):
        raise _wrong(f"node {node.name}: {problem[0]}", problem[1])


def _own(node: Node) -> Iterator[tuple[str, str]]:
    for field in _UNKNOWN:
        if node.task.HasField(field):
            yield "one task, not a loop", f"{field}, which cannot be rehearsed"
    if node.kind not in ("container", "importer", "resolver"):
        yield "a container, importer or resolver", node.kind
    if node.kind == "container" and not node.executor.container.image:
        yield "an image for its container", "none"
    for text in (*node.executor.container.command, *node.executor.container.args):
        for unknown in placeholders.unknown(text):
            yield "placeholders that Vertex AI fills in", unknown
    try:
        conditions.parse(node.task.trigger_policy.condition)
    except conditions.NotUnderstood as error:
        yield "a trigger condition that can be evaluated", str(error)


def _interface(node: Node) -> Iterator[tuple[str, str]]:
    """What is passed must be what the component defines, and the reverse."""
    defined, passed = node.component.input_definitions, node.task.inputs
    for kind in ("parameters", "artifacts"):
        known, given = getattr(defined, kind), getattr(passed, kind)
        for name in sorted(set(given) - set(known)):
            yield f"{kind} that its component defines ({', '.join(sorted(known)) or 'none'})", repr(name)
        for name in sorted(set(known) - set(given)):
            if not (known[name].is_optional or (kind == "parameters" and known[name].HasField("default_value"))):
                yield f"a value for each of the {kind} that its component defines", f"none for {name!r}"


def _upstream(node: Node, nodes: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    for name in sorted(node.upstream - set(nodes)):
        yield f"to wait for tasks that exist ({', '.join(nodes)})", repr(name)
    for key, given in node.task.inputs.artifacts.items():
        if not given.HasField("task_output_artifact"):
            yield f"input {key!r} from a task", str(given.WhichOneof("kind"))
        source = given.task_output_artifact
        made = (
            nodes[source.producer_task].component.output_definitions.artifacts if source.producer_task in nodes else {}
        )
        if source.output_artifact_key not in made:
            yield (
                f"input {key!r} from an output of {source.producer_task} ({', '.join(sorted(made)) or 'it has none'})",
                repr(source.output_artifact_key),
            )


def _parameters(node: Node, nodes: Mapping[str, Node], runtime: set[str]) -> Iterator[tuple[str, str]]:
    for key, given in node.task.inputs.parameters.items():
        kind = given.WhichOneof("kind")
        if kind not in ("runtime_value", "component_input_parameter", "task_output_parameter"):
            yield f"parameter {key!r} as a value, a runtime parameter or an output of a task", str(kind)
        asked = values.runtime_name(given)
        if asked and asked not in runtime:
            yield f"parameter {key!r} from one of the pipeline's ({', '.join(sorted(runtime)) or 'none'})", repr(asked)
        made = nodes.get(producer(given))
        output = given.task_output_parameter.output_parameter_key
        if made and output not in made.component.output_definitions.parameters:
            yield f"parameter {key!r} from an output parameter of {made.name}", repr(output)


def _wrong(expected: str, received: str) -> UserError:
    return UserError(expected=expected, received=received, todo="compile the spec again, or correct the pipeline")
