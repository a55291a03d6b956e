"""Asks the interpreter that stands for the image whether it has all that the spec names, before a node is started."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import yaml
from google.protobuf import json_format

from pipeline.contract import UserError
from runners.vertex.rehearsal import probe
from runners.vertex.rehearsal.spec import Node, Spec
from runners.vertex.rehearsal.substitution import EXECUTOR_FLAG, nested

OURS = {"models", "pipeline", "runners"}
THEIRS = {"tfx", "kfp"}
"""Top-level packages: of the project, and of TFX."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_FUNCTIONS = ("run_fn", "preprocessing_fn", "trainer_fn", "tuner_fn")
_TIMEOUT_S = 60
_KNOWN_TYPES = ("tfx.", "system.", "google.")


class _Name(NamedTuple):
    """Something that the image must have: a module, or an attribute of one."""

    node: str
    image: str
    module: str
    attribute: str | None

    @property
    def text(self) -> str:
        return f"{self.module}.{self.attribute}" if self.attribute else self.module


def check(specs: Sequence[Spec], python: str, environment: Mapping[str, str]) -> None:
    """Checks that an interpreter has every class, function and module that specs name.

    Args:
      specs: as compiled, and as substituted.
      python: interpreter that stands for the image.
      environment: variables of the nodes.

    Raises:
      UserError: it cannot be started, has no project at all, or lacks a name.
    """
    nodes = [node for spec in specs for node in spec.nodes.values()]
    ours = {*OURS, *(_top(found) for node in nodes for key in _FUNCTIONS for found in _dotted(node, key))} - THEIRS
    names = list(dict.fromkeys(name for node in nodes for name in _names(node, ours)))
    tops = {_top(name.module) for name in names} - THEIRS
    missing = _missing(names, tops, python, environment)
    if tops and all(f"{top}:" in missing for top in tops):
        raise UserError(
            expected=f"{python} to have the project installed, as the image has: {', '.join(sorted(tops))}",
            received="an image without the project: none of these can be found from an empty folder",
            todo="install the project there (pip install), or name another interpreter with --python",
        )
    for name in names:
        if why := missing.get(f"{name.module}:{name.attribute or ''}"):
            raise UserError(
                expected=f"node {name.node}: {name.text} in image {name.image}",
                received=f"{why} in {python}, which stands for it",
                todo="correct the name, or install what it is in, there and in the image",
            )


def _top(module: str) -> str:
    return module.partition(".")[0]


# --- what a node names -----------------------------------------------------------------------------------


def _names(node: Node, ours: set[str]) -> Iterator[_Name]:
    container = node.executor.container
    words = [*container.command, *container.args]
    for before, word in pairwise(words):
        if before == "-m":
            yield _Name(node.name, container.image, word, None)
        if before == EXECUTOR_FLAG:
            yield _split(node, word)
    if node.kind != "container":
        return
    for defined in (node.component.input_definitions, node.component.output_definitions):
        for artifact in defined.artifacts.values():
            yield from _custom_type(node, artifact.artifact_type)
    for key in node.task.inputs.parameters:
        yield from (_split(node, value) for value in _dotted(node, key) if key in _FUNCTIONS or _top(value) in ours)


def _custom_type(node: Node, kind: object) -> Iterator[_Name]:
    """TFX's container imports a type that is not TFX's own by its title."""
    title = type_title(kind)
    if _DOTTED.fullmatch(title) and not title.startswith(_KNOWN_TYPES):
        yield _split(node, title)


def _dotted(node: Node, key: str) -> Iterator[str]:
    """Yields what reads like a dotted path in a parameter."""
    if key in node.task.inputs.parameters:
        content = json_format.MessageToDict(node.task.inputs.parameters[key].runtime_value)
        yield from (value for value in nested(content) if isinstance(value, str) and _DOTTED.fullmatch(value))


def _split(node: Node, dotted: str) -> _Name:
    module, _, attribute = dotted.rpartition(".")
    return _Name(node.name, node.executor.container.image, module, attribute)


def type_title(kind: object) -> str:
    """Returns the title of an ArtifactTypeSchema."""
    schema = getattr(kind, "instance_schema", "")
    content = yaml.safe_load(schema) if schema else {}
    return str(content.get("title") or getattr(kind, "schema_title", ""))


# --- the interpreter -------------------------------------------------------------------------------------


def _missing(names: Sequence[_Name], tops: set[str], python: str, environment: Mapping[str, str]) -> dict[str, str]:
    source = Path(probe.__file__).read_text(encoding="utf-8")
    asked = json.dumps([*([top, None] for top in sorted(tops)), *([name.module, name.attribute] for name in names)])
    with tempfile.TemporaryDirectory() as empty:
        try:
            answer = subprocess.run(
                [python, "-c", source],
                input=asked,
                env=dict(environment),
                cwd=empty,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            raise UserError(
                expected=f"a Python interpreter that stands for the image: {python}",
                received=said[-1] if said else type(error).__name__,
                todo="correct --python",
            ) from error
    missing: dict[str, str] = json.loads(answer.stdout)
    return missing
