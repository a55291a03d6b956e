"""A real browser, for the pages of servers and of reports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import Open, browser_path, browsing, opening
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A real browser. It keeps an event loop in this thread, so not for longer than a module."""
    with browsing(browser_path(request.config.getoption("--browser"))) as started:
        yield started


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens pages, which must not complain in their console."""
    with opening(browser) as visit:
        yield visit
