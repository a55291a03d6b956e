"""What stands for the cloud in a rehearsal: folders for buckets, and classes that work without Google Cloud."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.contract import UserError
from runners.beam import BEAM_ARGS

EXECUTORS = {
    "tfx.extensions.google_cloud_ai_platform.trainer.executor.GenericExecutor": (
        "tfx.components.trainer.executor.GenericExecutor"
    ),
    "pipeline.push.registry.RegistryPushExecutor": "pipeline.push.executor.AtomicPushExecutor",
}
"""Executors that call Google Cloud -> those that do the same work in the node itself."""

EXECUTOR_FLAG = "--executor_class_path"
BIGQUERY_HOST = "BIGQUERY_EMULATOR_HOST"
_DATAFLOW = "--runner=Dataflow"
_ADDRESS = re.compile(r"gs://[^\s\"'\\<>|,;)}\]]*")


@dataclass(frozen=True)
class Substitutions:
    """What a user has stand for parts of the cloud.

    Attributes:
      folders: `gs://` address -> folder or file that stands for it and for all below it.
      environment: variables of every node, such as the address of a stand-in for BigQuery.
      notes: a line for people on each thing that `environment` brings about.
    """

    folders: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Substituted:
    """A spec that needs no cloud.

    Attributes:
      spec: PipelineJob as JSON, rewritten.
      folders: `gs://` address -> what stands for it: the user's, the pipeline's root and the push destinations.
      notes: a line for people on each substitution.
    """

    spec: dict[str, Any]
    folders: Mapping[str, Path]
    notes: tuple[str, ...]

    def address(self, path: str) -> str | None:
        """Returns the `gs://` address that a local path stands for, if it does."""
        for prefix, folder in self.folders.items():
            if path == str(folder) or path.startswith(f"{folder}/"):
                return prefix + path[len(str(folder)) :]
        return None


def substitute(spec: Mapping[str, Any], given: Substitutions, buckets: Path) -> Substituted:
    """Returns a spec that runs on this machine, and what was put in the place of what.

    Args:
      spec: PipelineJob as JSON that hangs together (`spec.read`); stays as it is.
      given: what the user has stand for parts of the cloud.
      buckets: folder below which the pipeline's root and push destinations get a place.

    Raises:
      UserError: a node needs a part of the cloud that nothing stands for.
    """
    result = copy.deepcopy(dict(spec))
    notes = [*_executors(result), *_beam(result)]
    folders = {**_own(result, buckets), **{_trimmed(prefix): path.resolve() for prefix, path in given.folders.items()}}
    _check_folders(given.folders)
    _check_bigquery(result, given)
    by_length = sorted(folders.items(), key=lambda pair: -len(pair[0]))
    for node, strings in _strings(result):
        for text in strings:
            _check_mapped(node, text, folders)
    result = _rewritten(result, lambda text: _ADDRESS.sub(lambda found: _local(found.group(), by_length), text))
    notes += [f"{path} stands for {prefix}" for prefix, path in folders.items()]
    return Substituted(result, folders, (*notes, *given.notes))


def _local(address: str, folders: list[tuple[str, Path]]) -> str:
    for prefix, path in folders:
        if _is_below(address, prefix):
            return str(path) + address[len(prefix) :]
    return address


def _is_below(address: str, prefix: str) -> bool:
    return address.rstrip("/") == prefix or address.startswith(f"{prefix}/")


def _trimmed(address: str) -> str:
    if not address.startswith("gs://"):
        raise UserError(
            expected="--map gs://BUCKET/FOLDER=FOLDER", received=address, todo="begin it with a gs:// address"
        )
    return address.rstrip("/")


# --- what the spec mentions ------------------------------------------------------------------------------


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the nodes that are containers."""
    executors = spec["pipelineSpec"]["deploymentSpec"]["executors"]
    for name, task in spec["pipelineSpec"]["root"]["dag"]["tasks"].items():
        label = spec["pipelineSpec"]["components"][task["componentRef"]["name"]]["executorLabel"]
        if "container" in executors[label]:
            yield name, executors[label]["container"]


def _strings(spec: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yields each node with all text that is said of it."""
    pipeline = spec["pipelineSpec"]
    for name, task in pipeline["root"]["dag"]["tasks"].items():
        component = pipeline["components"][task["componentRef"]["name"]]
        executor = pipeline["deploymentSpec"]["executors"][component["executorLabel"]]
        yield f"node {name}", list(_texts([_told(spec, task), component, executor]))


def _told(spec: Mapping[str, Any], task: Mapping[str, Any]) -> list[Any]:
    """Returns a task with the values of the runtime parameters that it takes."""
    config = spec.get("runtimeConfig", {})
    given = {**config.get("parameters", {}), **config.get("parameterValues", {})}
    asked = [found.get("componentInputParameter") for found in task.get("inputs", {}).get("parameters", {}).values()]
    return [task, *(given[name] for name in asked if name in given)]


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, (dict, list)):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _texts(part)


def _rewritten(content: Any, rewrite: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return rewrite(content)
    if isinstance(content, dict):
        return {key: _rewritten(part, rewrite) for key, part in content.items()}
    return [_rewritten(part, rewrite) for part in content] if isinstance(content, list) else content


def _own(spec: Mapping[str, Any], buckets: Path) -> dict[str, Path]:
    """The pipeline's root and where it pushes to get a folder by themselves."""
    config, pipeline = spec.get("runtimeConfig", {}), spec["pipelineSpec"]
    found = [config.get("gcsOutputDirectory") or pipeline.get("defaultPipelineRoot", "")]
    for task in pipeline["root"]["dag"]["tasks"].values():
        found += _destinations(spec, task)
    addresses = {address.rstrip("/") for address in found if address.startswith("gs://")}
    # A folder above another one stands for that, too.
    outermost = [own for own in sorted(addresses) if not any(_is_below(own, other) for other in addresses - {own})]
    return {address: buckets / address.removeprefix("gs://") for address in outermost}


def _destinations(spec: Mapping[str, Any], task: Mapping[str, Any]) -> list[str]:
    """Returns where a task pushes to, and the folders above that it names, as a manifest's settings do."""
    told = task.get("inputs", {}).get("parameters", {}).get("push_destination", {})
    own = _told(spec, {"inputs": {"parameters": {"push_destination": told}}})
    pushed = [address for text in _texts(own) for address in _ADDRESS.findall(text)]
    named = [address for text in _texts(_told(spec, task)) for address in _ADDRESS.findall(text)]
    above = [name for name in named if any(_is_below(address, name.rstrip("/")) for address in pushed)]
    return [*pushed, *dict.fromkeys(above)]


# --- what must be there ----------------------------------------------------------------------------------


def _check_mapped(node: str, text: str, folders: Mapping[str, Path]) -> None:
    for address in _ADDRESS.findall(text):
        if not any(_is_below(address, prefix) for prefix in folders):
            raise UserError(
                expected=f"a local folder or file for all that a node reads and writes in the cloud: {node} names one",
                received=f"{address}, which nothing here stands for",
                todo=f"add --map {address}=FOLDER",
            )


def _check_folders(folders: Mapping[str, Path]) -> None:
    for address, path in folders.items():
        if not path.exists():
            raise UserError(
                expected=f"a folder or file that stands for {address}", received=f"{path}: none", todo="correct --map"
            )


def _check_bigquery(spec: Mapping[str, Any], given: Substitutions) -> None:
    for name, container in _containers(spec):
        classes = [word for flag, word in pairwise(container.get("args", [])) if flag == EXECUTOR_FLAG]
        asks = any("bigquery" in word.replace("_", "") for word in classes)
        if asks and BIGQUERY_HOST not in given.environment:
            raise UserError(
                expected=f"a stand-in for BigQuery, which node {name} asks ({BIGQUERY_HOST})",
                received="none",
                todo="bring the rows that it is to answer with: --data FILE",
            )


# --- what works without Google Cloud ---------------------------------------------------------------------


def _executors(spec: Mapping[str, Any]) -> Iterator[str]:
    for name, container in _containers(spec):
        args = container.get("args", [])
        for at, arg in enumerate(args):
            if at and args[at - 1] == EXECUTOR_FLAG and arg in EXECUTORS:
                args[at] = EXECUTORS[arg]
                yield f"{args[at]} stands for {arg} of node {name}"


def _beam(spec: Mapping[str, Any]) -> Iterator[str]:
    """Beam's arguments come last, after those of the node."""
    found = False
    for _, container in _containers(spec):
        args = container.get("args", [])
        if any(arg.startswith(_DATAFLOW) for arg in args):
            known = [arg for at, arg in enumerate(args) if _is_of_node(args, at)]
            container["args"], found = [*known, *BEAM_ARGS], True
    if found:
        yield "Beam in each node's own process stands for Dataflow"


def _is_of_node(args: list[str], at: int) -> bool:
    flags = (EXECUTOR_FLAG, "--json_serialized_invocation_args", "--json_serialized_inputs_spec_args")
    return args[at] in flags or (at > 0 and args[at - 1] in flags)


def nested(content: Any) -> Iterator[Any]:
    """Yields all plain values in JSON, also in the JSON that is text in it."""
    if isinstance(content, str) and content[:1] in ("{", "["):
        try:
            yield from nested(json.loads(content))
            return
        except ValueError:
            pass
    if isinstance(content, (dict, list)):
        for part in content.values() if isinstance(content, dict) else content:
            yield from nested(part)
    else:
        yield content
