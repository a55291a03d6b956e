"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_form import write_published_form

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real-data",
        type=Path,
        default=REAL_DATA,
        help="folder of the public data sets; tests that need it skip only where it does not exist",
    )


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """Folder of the public data sets."""
    folder: Path = request.config.getoption("--real-data")
    if not folder.is_dir():
        pytest.skip(f"no public data sets at {folder} (see --real-data)")
    return folder


@pytest.fixture(scope="session")
def published_xlsx(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real transactions as the .xlsx that UCI publishes."""
    path = tmp_path_factory.mktemp("xlsx") / "online_retail.xlsx"
    write_published_form(real_data / "online_retail" / "online_retail.parquet", path)
    return path
