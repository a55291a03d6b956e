"""Whether a server of another TensorFlow, such as one of Vertex AI's prebuilt containers, can take a pushed model.

Without that TensorFlow, the operations of the saved graph are looked up in a record of those that it knows: what is
missing there fails for certain. With an interpreter that has it, the model is loaded and asked by it.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import UserError
from runners.serving.drawn import drawn_rows
from runners.serving.loaded import Columns, LoadedModel, quiet_tensorflow

RECORDS = Path(__file__).parent / "tensorflow_ops"
"""A file a version, `prebuilt_probe.operations` as it was told there."""
PROBE = Path(__file__).with_name("prebuilt_probe.py")
ROWS = 3
TOLERANCE = 1e-4
"""Greatest difference between two answers, relative to the greatest value in them."""
LOADING_S = 600


class Finding(NamedTuple):
    """What was looked at, whether it is as it must be, and what was seen."""

    name: str
    good: bool
    message: str


class Known(NamedTuple):
    """What a TensorFlow can load: the version of graphs that it writes itself, and attributes by operation."""

    graphs: int
    operations: dict[str, frozenset[str]]


def recorded() -> list[str]:
    """Versions of TensorFlow whose operations are known here."""
    return sorted(path.stem for path in RECORDS.glob("*.txt"))


def known_to(version: str) -> Known:
    """Returns what a version knows.

    Raises:
      UserError: there is no record of it.
    """
    if version not in recorded():
        raise UserError(
            expected=f"a version of TensorFlow whose operations are recorded: {', '.join(recorded())}",
            received=version,
            todo="name one of these, or an interpreter that has that version with --python",
        )
    first, *lines = (RECORDS / f"{version}.txt").read_text().splitlines()
    return Known(int(first), {words[0]: frozenset(words[1:]) for words in map(str.split, lines)})


def compare_graph(folder: Path, known: Known) -> Iterator[Finding]:
    """Yields what can be said of a SavedModel without loading it."""
    quiet_tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    oldest = max(graph.graph_def.versions.min_consumer for graph in saved.meta_graphs)
    message = f"loaders of graphs from version {oldest} on may load it; that one is at {known.graphs}"
    yield Finding("graph version", oldest <= known.graphs, message)
    used = _used(saved)
    missing = sorted(name for name in used if name not in known.operations)
    yield Finding("operations", not missing, _found(f"all {len(used)} are known", missing))
    extra = [
        f"{name}({attribute})"
        for name, attributes in sorted(used.items())
        for attribute in sorted(attributes - known.operations.get(name, attributes))
    ]
    yield Finding("attributes", not extra, _found("all are known", extra))


def _used(saved: Any) -> dict[str, set[str]]:
    """Attributes by operation, of all nodes that are no calls of the graph's own functions."""
    used: dict[str, set[str]] = {}
    for graph in saved.meta_graphs:
        functions = graph.graph_def.library.function
        own = {function.signature.name for function in functions}
        nodes = [*graph.graph_def.node, *(node for function in functions for node in function.node_def)]
        for node in nodes:
            if node.op not in own:
                # Those with a leading underscore are notes, which no loader looks at.
                used.setdefault(node.op, set()).update(name for name in node.attr if not name.startswith("_"))
    return used


def _found(nothing: str, missing: list[str]) -> str:
    return f"not known there: {', '.join(missing)}" if missing else nothing


def ask_elsewhere(model: LoadedModel, python: str, version: str) -> Iterator[Finding]:
    """Has another interpreter load a model as a C++ server does, and yields how its answers differ from those here.

    Args:
      model: what is asked.
      python: the interpreter.
      version: of its TensorFlow, such as 2.15.

    Raises:
      UserError: the interpreter cannot be started, has no TensorFlow, or another one.
    """
    questions, here = _questions(model)
    packed = {name: {key: _packed(value) for key, value in columns.items()} for name, columns in questions.items()}
    told = _told(python, version, model.folder, json.dumps(packed))
    if "error" in told:
        yield Finding("loading", False, told["error"])
        return
    yield Finding("loading", True, f"TensorFlow {told['tensorflow']} loads it as a C++ server does")
    for name in questions:
        there = {key: _unpacked(value) for key, value in told["answers"][name].items()}
        yield difference(name, here[name], there)
    for name in sorted(set(model.signatures) - set(questions)):
        yield Finding(name, True, "was not asked: it answers no drawn rows")


def _told(python: str, version: str, folder: Path, questions: str) -> dict[str, Any]:
    done = _run([python, str(PROBE), str(folder)], questions)
    told: dict[str, Any] = {} if done.returncode else json.loads(done.stdout)
    found = told.get("tensorflow", _last_line(done.stderr))
    if not f"{found}.".startswith(f"{version}."):
        raise UserError(
            expected=f"an interpreter that has TensorFlow {version}, {python}",
            received=found,
            todo="name the bin/python of an environment into which it is installed, with --python",
        )
    return told


def _run(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=LOADING_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(
            expected=f"an interpreter of Python that loads TensorFlow within {LOADING_S} s, {command[0]}",
            received=str(error)[:300],
            todo="correct --python",
        ) from error


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1][:300] if text.strip() else "it ended without a word"


def _questions(model: LoadedModel) -> tuple[dict[str, Columns], dict[str, Columns]]:
    """Drawn rows for each signature that answers such, and its answers here."""
    draw = np.random.default_rng(1)
    questions: dict[str, Columns] = {}
    answers: dict[str, Columns] = {}
    for name, signature in model.signatures.items():
        columns = drawn_rows(signature, draw, ROWS)
        try:
            answers[name] = model.ask(name, columns)
        except ValueError:  # Such as a tf.Example without the picture that it must have.
            continue
        questions[name] = columns
    return questions, answers


def difference(name: str, here: Columns, there: Columns) -> Finding:
    """Compares what a signature answers here and there, tensor by tensor."""
    greatest = max((_relative(value, there.get(key)), key) for key, value in here.items())
    message = f"answers to {ROWS} drawn rows differ by {greatest[0]:.2g} at most"
    if greatest[0] > TOLERANCE:
        message += f", in {greatest[1]}; {TOLERANCE:g} is allowed"
    return Finding(name, greatest[0] <= TOLERANCE, message)


def _relative(here: NDArray[Any], there: NDArray[Any] | None) -> float:
    if there is None or here.shape != there.shape:
        return float("inf")
    if here.dtype.kind in "OSU":
        return 0.0 if here.tolist() == there.tolist() else float("inf")
    ours, theirs = here.astype(np.float64), there.astype(np.float64)
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return float("inf")
    apart = np.nanmax(np.abs(ours - theirs), initial=0.0)
    return float(apart / max(np.nanmax(np.abs(ours), initial=0.0), 1e-9))


def _packed(value: NDArray[Any]) -> str:
    return base64.b64encode(quiet_tensorflow().make_tensor_proto(value).SerializeToString()).decode()


def _unpacked(text: str) -> NDArray[Any]:
    tf = quiet_tensorflow()
    from tensorflow.core.framework import tensor_pb2

    array: NDArray[Any] = tf.make_ndarray(tensor_pb2.TensorProto.FromString(base64.b64decode(text)))
    return array
