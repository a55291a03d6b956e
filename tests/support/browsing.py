"""A real browser without a window, and pages in it whose console and requests are watched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).parents[2]
COMMANDS = ("chromium-headless-shell", "chromium", "google-chrome", "google-chrome-stable")


class Visit(NamedTuple):
    """A page that is open.

    Attributes:
      page: to look at and act on.
      errors: what its console and its scripts complained of.
      requests: addresses that it asked.
    """

    page: Page
    errors: list[str]
    requests: list[str]


Open = Callable[..., Visit]
"""`(url, *, flawless=True, **options) -> Visit`: opens a page, see `opening`."""


def browser_path(given: Path | None, project: Path = PROJECT) -> Path:
    """Returns the browser that was named, or the one on the PATH, or the one that `make test` unpacks.

    Raises:
      FileNotFoundError: there is none.
    """
    on_path = (Path(found) for found in map(shutil.which, COMMANDS) if found)
    found = given.absolute() if given else next(on_path, project / ".browser" / "chromium")
    if not found.is_file():
        raise FileNotFoundError(
            f"expected a Chromium or Chrome on the PATH or at {found}, received none; to do: `.ci/browser .browser` on "
            "Debian, else install one from your system's packages and pass --browser=PATH (make test BROWSER=PATH)"
        )
    return found


@contextmanager
def browsing(path: Path) -> Iterator[Browser]:
    """Starts a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    """Opens a page in a profile of its own; it must have asked nobody but this machine in the end.

    Args:
      options: of the profile, such as `viewport`.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(15_000)
    visit = Visit(context.new_page(), [], [])
    visit.page.on("console", lambda told: visit.errors.append(told.text) if told.type in ("error", "warning") else None)
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("request", lambda asked: visit.requests.append(asked.url))
    visit.page.goto(url)
    yield visit
    context.close()
    asked = [urlsplit(address) for address in visit.requests if not address.startswith(("data:", "blob:"))]
    # A file asks for itself alone.
    assert {address.hostname or address.path for address in asked} == {
        urlsplit(url).path if url.startswith("file:") else "127.0.0.1"
    }


@contextmanager
def opening(browser: Browser) -> Iterator[Open]:
    """Opens pages, which must have had nothing to complain of in the end, unless `flawless=False`."""
    watched: list[Visit] = []
    with ExitStack() as stack:

        def visit(url: str, *, flawless: bool = True, **options: Any) -> Visit:
            visited = stack.enter_context(visiting(browser, url, **options))
            if flawless:
                watched.append(visited)
            return visited

        yield visit
    assert [error for visited in watched for error in visited.errors] == []
