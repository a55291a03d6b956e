"""Parameters: of the pipeline and of its nodes, from JSON, protos and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from pipeline.contract import UserError

_TYPES: dict[str, type] = {
    "INT": int,
    "DOUBLE": float,
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": bool,
}


def runtime_parameters(definitions: Any, config: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a pipeline's runtime parameters.

    Args:
      definitions: of the pipeline's inputs.
      config: PipelineJob.RuntimeConfig, which holds values, too.
      given: by the user, over those; text is read as the parameter's type.

    Raises:
      UserError: a parameter that the pipeline does not have, none for one that it has, or not of its type.
    """
    known = definitions.parameters
    compiled = {name: plain(value) for name, value in {**config.parameters, **config.parameter_values}.items()}
    merged = {**defaults(known), **compiled, **given}
    for name in sorted(set(merged) - set(known)):
        raise _wrong(f"runtime parameters of this pipeline: {', '.join(sorted(known)) or 'it has none'}", repr(name))
    for name in sorted(set(known) - set(merged)):
        raise _wrong(f"a value for runtime parameter {name!r}, which has no default", "none")
    return {name: _typed(name, value, known[name]) for name, value in merged.items()}


def defaults(definitions: Any) -> dict[str, Any]:
    """Returns the values that parameters have by themselves."""
    return {name: plain(spec.default_value) for name, spec in definitions.items() if spec.HasField("default_value")}


def _typed(name: str, value: Any, spec: Any) -> Any:
    kind = type_name(spec)
    wanted = _TYPES.get(kind)
    try:
        if wanted is bool and isinstance(value, str):
            return {"true": True, "false": False}[value.lower()]
        return value if wanted is None else wanted(value)
    except (ValueError, KeyError) as error:
        raise _wrong(f"runtime parameter {name!r} of type {kind}", repr(value)) from error


def _wrong(expected: str, received: str) -> UserError:
    return UserError(expected=expected, received=received, todo="correct --param NAME=VALUE")


def config(parameters: Mapping[str, Any], *, plain: bool) -> dict[str, Any]:
    """Returns the part of RuntimeConfig, as JSON, that gives runtime parameters their values."""
    if plain:
        return {"parameterValues": dict(parameters)}
    return {"parameters": {name: json_format.MessageToDict(legacy(value)) for name, value in parameters.items()}}


def type_name(spec: Any) -> str:
    """Returns the name of a parameter's type, of schema 2.0 or 2.1."""
    legacy = pb.PrimitiveType.PrimitiveTypeEnum.Name(spec.type)
    found: str = pb.ParameterType.ParameterTypeEnum.Name(spec.parameter_type) if spec.parameter_type else legacy
    return found


def runtime_name(given: Any) -> str:
    """Returns the name of the runtime parameter that a node's parameter takes its value from, or nothing."""
    return str(given.component_input_parameter or given.runtime_value.runtime_parameter)


def constant(value: Any) -> Any:
    """Returns a constant of either schema as a plain value."""
    return plain(getattr(value, value.WhichOneof("value")))


def plain(value: Any) -> Any:
    """Returns a proto's value as Python's."""
    if isinstance(value, struct_pb2.Value):
        return json_format.MessageToDict(value)
    if isinstance(value, pb.Value):
        return getattr(value, value.WhichOneof("value"))
    return value


def as_type(value: Any, spec: Any) -> Any:
    """Returns a value as a component's parameter wants it: JSON knows no whole numbers."""
    return int(value) if _TYPES.get(type_name(spec)) is int else value


def legacy(value: Any) -> Any:
    """Returns a value as nodes of schema 2.0 get it."""
    if isinstance(value, str):
        return pb.Value(string_value=value)
    return pb.Value(int_value=value) if isinstance(value, int) else pb.Value(double_value=value)


def struct(value: Any) -> Any:
    """Returns a value as nodes of schema 2.1 get it."""
    return json_format.ParseDict(value, struct_pb2.Value())
