"""Commands that models bring along, and how they find what was pushed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.colorizer import MODEL
from pipeline.contract import UserError
from pipeline.push import Told, draft, publish
from runners.model_commands import find_pushed

HEAVY = ("tensorflow", "keras", "tfx", "models.colorizer.colorize")


LIST_COMMANDS = f"""
import sys
sys.argv[1:] = ["--help"]
from runners.cli import main
try:
    main()
except SystemExit:
    print([module for module in {HEAVY} if module in sys.modules])
"""


def push(root: Path, line: str) -> int:
    """Pushes a stand-in of a model and returns its version."""
    model = root / "trained" / line
    model.mkdir(parents=True)
    (model / "saved_model.pb").write_text(line)
    told = Told(model="colorizer", pipeline=f"colorizer-{line}-size-80", data_digest="", settings={}, bounds={})
    manifest = draft(told, model, run="1", model_uri=str(model), metrics={})
    return publish(str(root / "pushed" / told.pipeline), model, manifest).version.number


def test_the_newest_version_is_found_or_the_one_that_is_named(tmp_path: Path) -> None:
    older = push(tmp_path, "main")
    (tmp_path / "pushed" / "colorizer-main-size-80" / str(older)).rename(
        tmp_path / "pushed" / "colorizer-main-size-80" / "17"
    )
    newer = push(tmp_path, "sample")
    assert find_pushed(MODEL, tmp_path).name == str(newer)
    assert find_pushed(MODEL, tmp_path, "17").parent.name == "colorizer-main-size-80"


def test_a_version_that_is_not_there_is_a_mistake_that_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"received versions there: none; .*pipelines run colorizer"):
        find_pushed(MODEL, tmp_path)
    there = push(tmp_path, "main")
    with pytest.raises(UserError, match=f"version 5; received versions there: {there}"):
        find_pushed(MODEL, tmp_path, "5")


def test_the_folder_of_a_version_will_do_wherever_it_is(tmp_path: Path) -> None:
    push(tmp_path, "main")
    folder = find_pushed(MODEL, tmp_path)
    assert find_pushed(MODEL, tmp_path / "elsewhere", str(folder)) == folder


def test_a_model_that_cannot_be_imported_is_told_and_the_rest_works(tmp_path: Path) -> None:
    (tmp_path / "models" / "unfinished").mkdir(parents=True)
    (tmp_path / "models" / "unfinished" / "__init__.py").write_text("raise RuntimeError('not yet')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    program = f"import models; models.__path__.append({str(tmp_path / 'models')!r})\n{LIST_COMMANDS}"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "Without the commands of models/unfinished: RuntimeError: not yet" in done.stderr
    assert "Colour gray photos" in done.stdout


def test_a_version_that_was_changed_is_never_used(tmp_path: Path) -> None:
    push(tmp_path, "main")
    (find_pushed(MODEL, tmp_path) / "saved_model.pb").write_text("changed")
    with pytest.raises(UserError, match=r"other content in saved_model\.pb"):
        find_pushed(MODEL, tmp_path)


def test_help_lists_the_models_commands_and_imports_none_of_them() -> None:
    done = subprocess.run([sys.executable, "-c", LIST_COMMANDS], capture_output=True, text=True, check=True)
    assert "colorize" in done.stdout
    assert "Colour gray photos with a pushed colorizer." in done.stdout
    assert done.stdout.strip().endswith("[]")
