"""Small models, and pushes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.push import Pushed, Told, draft, publish


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "served"


@pytest.fixture
def make_model() -> Callable[..., Path]:
    """Writes a folder like a SavedModel's, whose weights are `content` padded to `size` bytes."""

    def make_model(folder: Path, content: str = "weights", size: int = 1000) -> Path:
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"graph")
        (folder / "variables" / "variables.index").write_bytes(b"index")
        (folder / "variables" / "variables.data-00000-of-00001").write_text(content.ljust(size))
        return folder

    return make_model


@pytest.fixture
def push() -> Callable[..., Pushed]:
    """Pushes a folder without TFX."""

    def push(destination: Path | str, model: Path, wait_s: float = 10) -> Pushed:
        told = Told(model="tiny", pipeline="tiny-main", data_digest="d" * 16, settings={}, bounds={})
        return publish(str(destination), model, draft(told, model, run="", model_uri=str(model), metrics={}), wait_s)

    return push
