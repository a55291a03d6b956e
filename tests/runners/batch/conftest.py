"""A small pushed model, and the command as people type it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from runners import cli
from runners.serving.loaded import LoadedModel


class Screen(NamedTuple):
    """What a command ended with, and what stands on the screen."""

    code: int
    err: str


Predict = Callable[..., Screen]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small model is pushed."""
    from small_servable import push_small_servable

    root = tmp_path_factory.mktemp("batch") / "runs"
    push_small_servable(root / "pushed" / "clv-small")
    return root


@pytest.fixture
def predict(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loaded_once: None
) -> Predict:
    """Types `pipelines predict clv` in an empty folder, with the small model."""
    monkeypatch.chdir(tmp_path)

    def predict(*arguments: object) -> Screen:
        monkeypatch.setattr(sys, "argv", ["pipelines", "predict", "clv", "--root", str(root), *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Screen(int(ended.value.code or 0), capsys.readouterr().err)

    return predict


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps models that were loaded: each test would pay for it anew."""
    load = LoadedModel.load

    def once(folder: Path) -> LoadedModel:
        if folder not in _LOADED:
            _LOADED[folder] = load(folder)
        return _LOADED[folder]

    monkeypatch.setattr(LoadedModel, "load", once)


_LOADED: dict[Path, LoadedModel] = {}
