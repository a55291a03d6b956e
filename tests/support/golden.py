"""What a compiled pipeline says, as text that people read in a diff: no digests, no versions of libraries."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
UNSTABLE = ("tfx_version", "tfx_py_version", "tfx_runner")
"""Labels that TFX sets."""


def as_text(spec: dict[str, Any]) -> str:
    """Returns nodes, images, commands, parameters and dependencies of a PipelineJob as YAML."""
    pipeline = spec["pipelineSpec"]
    executors = pipeline["deploymentSpec"]["executors"]
    tasks = pipeline["root"]["dag"]["tasks"]
    told = {
        "name": spec["displayName"],
        "root": spec["runtimeConfig"]["gcsOutputDirectory"],
        "labels": {key: value for key, value in spec["labels"].items() if key not in UNSTABLE},
        "parameters": {key: _value(value) for key, value in spec["runtimeConfig"]["parameters"].items()},
        "nodes": {name: _node(task, executors[f"{name}_executor"]) for name, task in tasks.items()},
    }
    return DIGEST.sub("<digest>", yaml.dump(told, Dumper=_Lines, width=120, allow_unicode=True))


class _Lines(yaml.SafeDumper):
    """Writes a text of several lines, such as SQL, as lines."""

    def represent_str(self, text: str) -> yaml.ScalarNode:
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        return self.represent_scalar("tag:yaml.org,2002:str", lines, style="|" if "\n" in text else None)


_Lines.add_representer(str, _Lines.represent_str)


def _node(task: dict[str, Any], executor: dict[str, Any]) -> dict[str, Any]:
    inputs = task.get("inputs", {})
    return {
        "after": sorted(task.get("dependentTasks", [])),
        "artifacts": {key: _origin(value) for key, value in inputs.get("artifacts", {}).items()},
        "parameters": {key: _parameter(value) for key, value in inputs.get("parameters", {}).items()},
        "cached": task.get("cachingOptions", {}).get("enableCache", False),
        **executor,
    }


def _origin(artifact: dict[str, Any]) -> str:
    origin = artifact["taskOutputArtifact"]
    return f"{origin['producerTask']}.{origin['outputArtifactKey']}"


def _parameter(parameter: dict[str, Any]) -> Any:
    if "componentInputParameter" in parameter:
        return f"= {parameter['componentInputParameter']}"
    return _value(parameter["runtimeValue"]["constantValue"])


def _value(value: dict[str, Any]) -> Any:
    """JSON inside a string is written out, SQL as lines."""
    (content,) = value.values()
    try:
        return json.loads(content)
    except (ValueError, TypeError):
        return content
