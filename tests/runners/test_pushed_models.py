"""`pipelines models`, `promote` and `rollback`: what people type and see. Buckets: tests/pipeline/push."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import pipelines
from typer.testing import CliRunner, Result

from models.clv import MODEL
from pipeline.contract import UserError
from pipeline.push import Told, draft, publish
from runners import cli
from runners.model_commands import find_pushed

Push = Callable[..., int]
METRICS = {"eval": {"gini": 0.7020364, "mae": 187.0, "odd": None}, "test": {"gini": 0.6}}


@pytest.fixture
def push(tmp_path: Path) -> Push:
    """Pushes a stand-in of a model; returns its version."""

    def push(content: str, *, pipeline: str = "clv-main-horizon_days-91") -> int:
        model = tmp_path / "trained" / content
        model.mkdir(parents=True)
        (model / "saved_model.pb").write_text(content)
        name = pipeline.partition("-")[0]
        told = Told(model=name, pipeline=pipeline, data_digest="", settings={}, bounds={"gini": {}, "odd": {}})
        manifest = draft(told, model, run="1", model_uri=content, metrics=METRICS)
        return publish(str(tmp_path / "runs" / "pushed" / pipeline), model, manifest).version.number

    return push


@pytest.fixture(autouse=True)
def wide_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed in the folder that holds `runs`."""
    monkeypatch.chdir(tmp_path)


def typed(*arguments: object) -> Result:
    """Types `pipelines …`; a user's mistake is raised."""
    return CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)


def listed(*arguments: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(typed("models", *arguments, "--json").stdout)
    return found


def test_versions_are_listed_with_what_the_gates_measured(push: Push, tmp_path: Path) -> None:
    older, newer = push("a"), push("b")
    push("gray", pipeline="colorizer-main-size-80")
    said = typed("models", "clv").stdout
    assert "clv-main-horizon_days-91" in said
    assert [line.split()[0] for line in said.splitlines() if line[:1].isdigit()] == [str(older), str(newer)]
    assert "gini 0.702" in said
    assert "odd undefined" in said
    assert "mae" not in said  # It has no bound.
    assert "colorizer" not in said
    assert "None of these is known to this root as the champion" in said
    (line,) = listed("clv")
    assert (line["choice"], line["destination"]) == (None, str(tmp_path / "runs/pushed/clv-main-horizon_days-91"))
    last = line["versions"][-1]
    assert (last["version"], last["serves"], last["champion"], last["state"]) == (newer, True, None, "whole")
    assert last["metrics"] == {"gini": 0.7020364, "odd": None}
    assert len(last["model_digest"]) == 16
    assert [line["name"] for line in listed()] == ["clv-main-horizon_days-91", "colorizer-main-size-80"]


def test_nothing_pushed_is_no_mistake() -> None:
    assert "Nothing was pushed" in typed("models", "clv").stdout
    assert listed("clv") == []


def test_a_rollback_is_typed_seen_and_ended(push: Push) -> None:
    older, newer = push("a"), push("b")
    said = typed("rollback", "clv").stdout
    assert f"Version {older} of " in said
    assert f"serves now, instead of {newer}, until a newer one is pushed." in said
    assert f"Version {older} serves although {newer} is there: rollback of 2" in typed("models").stdout
    assert [version["serves"] for version in listed()[0]["versions"]] == [True, False]
    assert find_pushed(MODEL, Path("runs")).name == str(older)
    assert find_pushed(MODEL, Path("runs"), str(newer)).name == str(newer)
    assert "serves already: nothing was changed" in typed("promote", "clv", older).stdout
    typed("promote", "clv", newer)
    assert "although" not in typed("models").stdout
    assert find_pushed(MODEL, Path("runs")).name == str(newer)


def test_what_is_damaged_or_gone_is_seen(push: Push, tmp_path: Path) -> None:
    older, newer = push("a"), push("b")
    folder = tmp_path / "runs" / "pushed" / "clv-main-horizon_days-91"
    (folder / str(older) / "saved_model.pb").write_text("changed")
    typed_line = typed("models").stdout
    assert "damaged" in typed_line
    assert f"Problem: {folder}/{older} with other content in saved_model.pb" in typed_line
    with pytest.raises(UserError, match="files are as its manifest says"):
        typed("rollback", "clv")
    typed("promote", "clv", newer)
    (folder / "serving.json").write_text(json.dumps({"version": 5, "instead_of": newer, "at": "", "why": "promote"}))
    (line,) = listed()
    assert [version["serves"] for version in line["versions"]] == [False, False]
    assert f"expected version 5 at {folder}" in line["problem"]
    shutil.rmtree(folder / str(older) / "assets.extra")
    assert "has no manifest that can be read" in typed("models").stdout


def test_of_several_lines_one_is_named_or_known_by_the_version(push: Push, tmp_path: Path) -> None:
    for content in "ab":
        push(content)
    sample = "clv-sample-horizon_days-91"
    first = tmp_path / "runs" / "pushed" / sample
    shutil.copytree(first.with_name("clv-main-horizon_days-91"), first)
    with pytest.raises(UserError, match=f"received clv-main-horizon_days-91, {sample}; name one with --line"):
        typed("rollback", "clv")
    with pytest.raises(UserError, match=r"received clv-main-horizon_days-91, .*--line"):
        typed("rollback", "clv", "--line", "other")
    typed("rollback", "clv", "--line", "sample")
    (older,) = [version["version"] for version in listed()[1]["versions"] if version["serves"]]
    assert [version["serves"] for version in listed()[0]["versions"]] == [False, True]
    only = push("c", pipeline=sample)
    assert "serves already" in typed("promote", "clv", only).stdout
    assert typed("promote", "clv", older, "--line", sample).exit_code == 0
    with pytest.raises(UserError, match=r"one pushed folder of colorizer at .*pipelines run colorizer"):
        typed("promote", "colorizer", 5)


def test_a_mistake_is_three_lines_and_exit_code_2(push: Push, tmp_path: Path) -> None:
    push("a")
    done = pipelines("promote", "clv", "5", cwd=tmp_path)
    assert done.returncode == 2
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["Expected", "Received", "What to do"]


def test_listing_imports_nothing_heavy(push: Push) -> None:
    push("a")
    program = "import sys; from runners.cli import app; app(['models'], standalone_mode=False); print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not [name for name in ("tensorflow", "tfx", "google.cloud.storage") if f"'{name}'" in done.stdout]
