"""What holds of every report, looked at in a real browser."""

from __future__ import annotations

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from browsing import Open
from playwright.sync_api import Page, ViewportSize, expect

SCREEN: ViewportSize = {"width": 1280, "height": 720}
TELEPHONE: ViewportSize = {"width": 400, "height": 800}


def looked_at(opened: Open, path: Path) -> Page:
    """Opens a report and returns the page, on dark and on light ground free of what axe-core finds wrong.

    The verdict, the gates and the first reason are on the first screen, no part of the report could not be made,
    nothing is wider than the page, on a telephone neither, and no link leads nowhere.
    """
    pages = [opened(path.as_uri(), viewport=SCREEN, color_scheme=ground).page for ground in ("dark", "light")]
    for page in pages:
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page = pages[-1]
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport(ratio=1)
    expect(page.locator(".gates")).to_be_in_viewport(ratio=1)
    for reason in page.locator(".missed li, .verdict .problem").all()[:1]:
        expect(reason).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("alert")).to_have_count(0)
    for screen in (TELEPHONE, SCREEN):
        page.set_viewport_size(screen)
        assert page.evaluate("document.documentElement.scrollWidth") <= screen["width"]
    dangling = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.getAttribute('href')))"
    )
    assert page.evaluate(f"{dangling}.map(a => a.outerHTML)") == []
    return page


def words(page: Page) -> str:
    """Returns all that the head of the report says."""
    return page.locator(".verdict").inner_text()
