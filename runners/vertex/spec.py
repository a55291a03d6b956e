"""A compiled spec, as it is sent: runtime parameters, labels and the environment's settings filled in."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

from pipeline.contract import UserError
from runners.vertex.settings import VertexSettings

_READ: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "INT": int,
    "DOUBLE": float,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": {"true": True, "false": False}.__getitem__,
}
"""Type of a runtime parameter -> how its value is read."""


def read_spec(file: Path) -> dict[str, Any]:
    """Returns the spec in a file.

    Raises:
      UserError: no such file, or no spec.
    """
    try:
        spec = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(expected=f"a spec {file}", received=str(error), todo="correct --spec") from error
    if not isinstance(spec, dict) or not {"pipelineSpec", "runtimeConfig"} <= set(spec):
        raise UserError(
            expected=f"a spec {file} with pipelineSpec and runtimeConfig",
            received=", ".join(spec) if isinstance(spec, dict) else type(spec).__name__,
            todo="write one with `pipelines compile MODEL --out FILE`",
        )
    return spec


def parent(vertex: VertexSettings) -> str:
    """Returns the name under which the project's resources in the region stand."""
    return f"projects/{vertex.project}/locations/{vertex.region}"


def pipeline_job(spec: Mapping[str, Any], vertex: VertexSettings, parameters: Mapping[str, str]) -> v1.PipelineJob:
    """Returns the job that runs a compiled spec with an environment's settings.

    Args:
      spec: of `pipelines compile`.
      vertex: settings, over those of the spec.
      parameters: runtime parameter -> value as typed, over those of the spec.

    Raises:
      UserError: no spec, a parameter that it does not have, or a value of another type.
    """
    job = v1.PipelineJob.pb(v1.PipelineJob())
    try:
        json_format.ParseDict(_filled(spec, vertex, parameters), job)
    except json_format.ParseError as error:
        raise UserError(
            expected="a spec that `pipelines compile` wrote", received=str(error), todo="compile it again"
        ) from error
    return v1.PipelineJob.wrap(job)


def as_json(message: Any) -> dict[str, Any]:
    """Returns a request of Vertex AI as it is sent."""
    found: dict[str, Any] = json_format.MessageToDict(type(message).pb(message))
    return found


def _filled(spec: Mapping[str, Any], vertex: VertexSettings, parameters: Mapping[str, str]) -> dict[str, Any]:
    job = copy.deepcopy(dict(spec))
    pipeline = job["pipelineSpec"]
    _set_parameters(pipeline, job["runtimeConfig"], parameters)
    _set_caching(pipeline, vertex.cache)
    job["runtimeConfig"]["failurePolicy"] = vertex.failure_policy_name
    job["displayName"] = job.get("displayName") or pipeline["pipelineInfo"]["name"]
    job["labels"] = {**job.get("labels", {}), **vertex.labels}
    told = {
        "serviceAccount": vertex.service_account,
        "network": vertex.network,
        "encryptionSpec": vertex.encryption_key and {"kmsKeyName": vertex.encryption_key},
    }
    return {**job, **{key: value for key, value in told.items() if value}}


def _set_parameters(pipeline: Mapping[str, Any], runtime: dict[str, Any], given: Mapping[str, str]) -> None:
    declared = pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, typed in given.items():
        if name not in declared:
            raise UserError(
                expected=f"a runtime parameter of this spec: {', '.join(declared) or 'it has none'}",
                received=name,
                todo="correct or leave out --param; other settings are compiled into the spec",
            )
        if kind := declared[name].get("parameterType"):
            runtime.setdefault("parameterValues", {})[name] = _value(name, kind, typed)
        else:  # Specs of version 2.0 say the type once more beside the value: stringValue, intValue, doubleValue.
            kind = declared[name]["type"]
            runtime.setdefault("parameters", {})[name] = {f"{kind.lower()}Value": _value(name, kind, typed)}


def _value(name: str, kind: str, typed: str) -> Any:
    try:
        return _READ[kind](typed)
    except (KeyError, ValueError) as error:
        raise UserError(
            expected=f"a value of type {kind} for {name}", received=typed, todo=f"correct --param {name}={typed}"
        ) from error


def _set_caching(pipeline: Mapping[str, Any], cache: bool) -> None:
    """Only switches it off: nodes that are never to be taken from the cache say so in the spec."""
    if cache:
        return
    for part in (pipeline["root"], *pipeline["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {"enableCache": False}
