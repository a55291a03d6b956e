"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_form import write_published_form

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"
LONGEST = (
    "runners/test_clv.py",
    "pipeline/test_dag.py",
    "runners/test_two_lines.py",
    "runners/vertex/test_rehearsal.py",
    "runners/vertex/test_whole_commands.py",
    "runners/test_cli.py",
    "runners/test_colorizer.py",
    "runners/test_your_own_data.py",
    "runners/test_progress.py",
    "runners/backtest/test_backtest.py",
    "models/colorizer/test_trainer.py",
    "models/clv/test_trainer.py",
    "runners/test_training_job.py",
    "models/colorizer/test_distribution.py",
)
"""Files that take a minute or so, the longest first: begun last, one would run on alone while the other core waits."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--other-line",
        type=Path,
        help="environment (its folder) of the other line of TFX, to share a root with; without it, such tests skip",
    )
    parser.addoption(
        "--real-data",
        type=Path,
        help=f"folder of the public data sets; without it, {REAL_DATA}, or tests that need them skip",
    )
    parser.addoption(
        "--browser",
        type=Path,
        help="Chromium or Chrome for tests of web pages; without it, the one on the PATH or in .browser/",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the order within a file, and that of the others, stays."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """Folder of the public data sets."""
    given: Path | None = request.config.getoption("--real-data")
    if given is None and not REAL_DATA.is_dir():
        pytest.skip(f"no public data sets at {REAL_DATA} (see --real-data)")
    return given or REAL_DATA


@pytest.fixture(scope="session")
def published_xlsx(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real transactions as the .xlsx that UCI publishes."""
    path = tmp_path_factory.mktemp("xlsx") / "online_retail.xlsx"
    write_published_form(real_data / "online_retail" / "online_retail.parquet", path)
    return path


@pytest.fixture(scope="session")
def other_line(request: pytest.FixtureRequest) -> Path:
    """Environment of the other line of TFX."""
    given: Path | None = request.config.getoption("--other-line")
    if given is None:
        pytest.skip("no environment of the other line of TFX (see --other-line)")
    return given.absolute()
