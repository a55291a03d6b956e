"""Compiling for Vertex AI: the spec that people review in a diff, and what is refused before anything is sent."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
import tiny
from golden import as_text

from pipeline.contract import find_model
from pipeline.settings import make_settings
from runners.vertex.compiling import Spec, compile_spec
from runners.vertex.settings import VertexSettings, read_vertex

GOLDEN = Path(__file__).parent / "golden"
ENVIRONMENT = Path(__file__).parents[3] / "deploy/environments/vertex.yaml"
DESTINATION = {"gates": {"destination": "gs://my-project-pipelines/models"}}
RESOLVED = {"clv": {"features": {"cutoff": "2011-09-01"}}}


def compiled(name: str, **changes: Any) -> Spec:
    vertex = VertexSettings.model_validate({**read_vertex(ENVIRONMENT).model_dump(), **changes})
    model = tiny.MODEL if name == "tiny" else find_model(name)
    return compile_spec(model, make_settings(model, DESTINATION, RESOLVED.get(name, {})), vertex)


@pytest.mark.parametrize("name", ["clv", "colorizer"])
def test_the_spec_is_the_one_that_people_reviewed(name: str, tmp_path: Path) -> None:
    text = as_text(compiled(name))
    golden = GOLDEN / f"{name}.yaml"
    (tmp_path / golden.name).write_text(text)
    expected = golden.read_text() if golden.exists() else ""
    changes = "\n".join(difflib.unified_diff(expected.splitlines(), text.splitlines(), lineterm=""))
    assert not changes, f"the compiled pipeline changed; if it should: cp {tmp_path / golden.name} {golden}\n{changes}"
