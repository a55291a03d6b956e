"""The colorizer as people type it: compiled to a file, and that file rehearsed to a push, each by its own command."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import pipelines

from models.colorizer.sample import write_sample

ENVIRONMENT = "deploy/environments/vertex.yaml"
SMALL = ("--set", "size=64", "--set", "epochs=6", "--set", "members=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / ENVIRONMENT).parent.mkdir(parents=True)
    shutil.copyfile(Path(__file__).parents[3] / ENVIRONMENT, folder / ENVIRONMENT)
    write_sample(folder / "photos.zip")
    return folder


@pytest.fixture(scope="module")
def compiled(folder: Path) -> subprocess.CompletedProcess[str]:
    return pipelines("compile", "colorizer", *SMALL, "--out", "colorizer.json", cwd=folder)


@pytest.mark.slow
def test_what_is_compiled_is_rehearsed_to_a_push(folder: Path, compiled: subprocess.CompletedProcess[str]) -> None:
    assert compiled.returncode == 0, compiled.stderr
    assert compiled.stdout.startswith("Wrote colorizer.json: colorizer-main-size-64, 12 nodes")
    told = pipelines("rehearse", "colorizer", "--spec", "colorizer.json", "--data", "photos.zip", "--json", cwd=folder)
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr
    result = json.loads(told.stdout.splitlines()[-1])
    assert result["outcome"] == "pushed"
    assert result["destination"].startswith("gs://my-project-pipelines/models/colorizer-main-size-64/")
    assert any("photos.zip stands for gs://my-project-pipelines/photos" in line for line in result["substitutions"])
    assert {check["gate"] for check in result["checks"]} == {"data", "serving", "model"}
