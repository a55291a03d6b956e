"""Small pushed models, and servers of them that tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_server import running
from small_models import push_clv, push_colorizer

from pipeline.contract import find_model


@pytest.fixture(scope="session")
def clv_destination(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A destination with one version of a small model of customers; copy it before you change it."""
    folder = tmp_path_factory.mktemp("clv")
    push_clv(folder / "pushed", folder)
    return folder / "pushed"


@pytest.fixture(scope="session")
def colorizer_destination(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A destination with one version of a small model of pictures; copy it before you change it."""
    folder = tmp_path_factory.mktemp("colorizer")
    push_colorizer(folder / "pushed", folder)
    return folder / "pushed"


@pytest.fixture(scope="session")
def clv_url(clv_destination: Path) -> Iterator[str]:
    """Address of a server of customers, with default settings."""
    with running(clv_destination, find_model("clv")) as url:
        yield url


@pytest.fixture(scope="session")
def colorizer_url(colorizer_destination: Path) -> Iterator[str]:
    """Address of a server of pictures, with default settings."""
    with running(colorizer_destination, find_model("colorizer")) as url:
        yield url
