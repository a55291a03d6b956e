"""`pipelines check-container`: whether a server of another TensorFlow can take a pushed model."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.contract import UserError
from pipeline.push import versions
from runners.cli import app
from runners.serving import prebuilt

HERE = ".".join(metadata.version("tensorflow").split(".")[:2])


@pytest.fixture(scope="module")
def folder(clv_destination: Path) -> Path:
    """A pushed version."""
    return Path(versions(str(clv_destination))[0].path)


def check(folder: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["check-container", "clv", "--model", str(folder), *arguments])


def interpreter(path: Path, script: str) -> str:
    """Writes what stands for an interpreter with another TensorFlow."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_what_speaks_against_vertex_ais_newest_container_is_told_without_it(folder: Path) -> None:
    done = check(folder)
    assert done.exit_code == 0
    assert "in a server of TensorFlow 2.15" in done.output
    assert done.output.count("     ok") == 3
    assert "Nothing was loaded" in done.output


def test_operations_and_attributes_that_are_not_known_there_are_named(folder: Path) -> None:
    known = prebuilt.known_to("2.15")
    older = {name: attributes for name, attributes in known.operations.items() if name != "AddV2"}
    older["ReadVariableOp"] = frozenset()
    found = {finding.name: finding for finding in prebuilt.compare_graph(folder, prebuilt.Known(1, older))}
    assert not any(finding.good for finding in found.values())
    assert found["graph version"].message == "loaders of graphs from version 12 on may load it; that one is at 1"
    assert found["operations"].message == "not known there: AddV2"
    assert found["attributes"].message == "not known there: ReadVariableOp(dtype)"


def test_another_interpreter_loads_it_and_answers_the_same(folder: Path) -> None:
    done = check(folder, "--tensorflow", HERE, "--python", sys.executable)
    assert done.exit_code == 0, done.output
    assert "loads it as a C++ server does" in done.output
    assert "serving_default: answers to 3 drawn rows differ by 0 at most" in done.output
    assert "serving_examples: answers" in done.output


def test_a_model_that_it_cannot_load_is_a_problem(folder: Path, tmp_path: Path) -> None:
    told = json.dumps({"tensorflow": "2.15.1", "error": "NotFoundError: Op type not registered BrandNew"})
    python = interpreter(tmp_path / "python", f"echo '{told}'")
    done = check(folder, "--python", python)
    assert done.exit_code == 1
    assert "problem  loading: NotFoundError: Op type not registered BrandNew" in done.output


def test_other_answers_are_a_problem() -> None:
    here = {"total": np.array([1.0, 1000.0], np.float32), "png_bytes": np.array([b"a", b"b"], object)}
    assert prebuilt.difference("serving_default", here, {**here, "total": here["total"] * 1.00001}).good
    other = prebuilt.difference("serving_default", here, {**here, "total": here["total"] + 1})
    assert (other.good, other.message) == (
        False,
        "answers to 3 drawn rows differ by 0.001 at most, in total; 0.0001 is allowed",
    )
    assert not prebuilt.difference("serving_bytes", here, {**here, "png_bytes": here["png_bytes"][::-1]}).good
    assert not prebuilt.difference("serving_bytes", here, {"total": here["total"]}).good
    lost = {"total": np.array([np.nan, 1000.0], np.float32), "future": here["total"]}
    assert not prebuilt.difference("serving_default", {"total": here["total"], "future": here["total"]}, lost).good


@pytest.mark.parametrize(
    ("script", "received"),
    [
        ("echo \"ModuleNotFoundError: No module named 'tensorflow'\" >&2; exit 1", "No module named 'tensorflow'"),
        ('echo \'{"tensorflow": "2.150.0", "answers": {}}\'', "2.150.0"),
        ("exit 1", "it ended without a word"),
    ],
)
def test_an_interpreter_without_that_tensorflow_is_a_mistake(
    script: str, received: str, folder: Path, tmp_path: Path
) -> None:
    done = check(folder, "--python", interpreter(tmp_path / "python", script))
    assert isinstance(done.exception, UserError)
    assert received in done.exception.received
    assert done.exception.expected.startswith("an interpreter that has TensorFlow 2.15")


def test_an_interpreter_that_is_not_there_is_a_mistake(folder: Path, tmp_path: Path) -> None:
    done = check(folder, "--python", str(tmp_path / "nothing"))
    assert isinstance(done.exception, UserError)
    assert done.exception.todo == "correct --python"


def test_a_version_without_a_record_is_a_mistake_that_names_those_with_one(folder: Path) -> None:
    done = check(folder, "--tensorflow", "2.9")
    assert isinstance(done.exception, UserError)
    assert done.exception.expected == "a version of TensorFlow whose operations are recorded: 2.15"
