"""What all pages have, and the form of a model without one, in a real browser, against real servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import Open, browser_path
from playwright.sync_api import expect
from serving_server import running

from pipeline.contract import find_model
from runners.serving import pages


@pytest.fixture(scope="module")
def plain_url(clv_destination: Path) -> Iterator[str]:
    with running(clv_destination, find_model("clv").model_copy(update={"page": None})) as url:
        yield url


def test_a_model_without_a_page_is_asked_by_a_form(plain_url: str, opened: Open) -> None:
    page = opened(plain_url, flawless=False).page
    page.get_by_label("n_purchases int64").fill("3")
    page.get_by_label("past_monetary_value float").fill("100")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#answer")).to_contain_text('"total_monetary_value": 130')
    page.get_by_label("past_monetary_value float").fill("1e200")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_contain_text("The server refused (400): instances[0].past_monetary_value")
    expect(page.locator("#answer")).to_be_empty()
    page.get_by_label("Signature").select_option("serving_examples")
    page.get_by_label("examples string").fill("no example")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_contain_text("The server refused (400)")


# --- all of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("server", ["clv_url", "colorizer_url", "plain_url"])
def test_pages_fit_a_telephone(request: pytest.FixtureRequest, opened: Open, server: str, scheme: str) -> None:
    url = request.getfixturevalue(server)
    page = opened(url, viewport={"width": 375, "height": 667}, color_scheme=scheme).page
    expect(page.locator("#about")).to_contain_text("digest")
    if server == "clv_url":
        expect(page.locator(".bar")).to_have_count(13)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")


@pytest.mark.parametrize("server", ["clv_url", "colorizer_url", "plain_url"])
def test_every_control_has_a_name_and_is_reached_by_the_keyboard(
    request: pytest.FixtureRequest, opened: Open, server: str
) -> None:
    page = opened(request.getfixturevalue(server)).page
    expect(page.locator("#about")).to_contain_text("digest")
    controls = page.locator("input:visible, select:visible, textarea:visible, button:visible, summary:visible")
    for control in controls.all():
        named = "one => (one.labels?.[0]?.innerText || one.ariaLabel || one.innerText || '').trim()"
        assert control.evaluate(named), control.evaluate("one => one.outerHTML")
    page.locator("body").press("Tab")
    reached = set()
    for _ in range(40):
        reached.add(page.evaluate("document.activeElement.outerHTML"))
        page.keyboard.press("Tab")
    assert {control.evaluate("one => one.outerHTML") for control in controls.all()} <= reached


def _luminance(colour: str) -> float:
    levels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_text_stands_out_as_accessibility_guidelines_want_it() -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least, in the light and in the dark."""
    style = (pages.HERE / "page.css").read_text()
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{([^}]*#[^}]*)\}", style)]
    assert len(schemes) >= 2
    for colours in schemes[:2]:
        for text in ("text", "quiet", "accent", "problem", "warning"):
            for ground in ("ground", "surface"):
                darker, lighter = sorted((_luminance(colours[text]), _luminance(colours[ground])))
                assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground)


def test_words_of_a_model_are_text_and_no_html() -> None:
    model = find_model("clv").model_copy(update={"title": "a <b>bold</b> claim", "page": None})
    assert "a &lt;b&gt;bold&lt;/b&gt; claim" in pages.page(model)
    assert "<b>" not in pages.page(model)


def test_a_page_that_the_package_does_not_have_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="no_such"):
        pages.page(find_model("clv").model_copy(update={"page": "models.clv:no_such.html"}))


def test_it_is_said_how_to_get_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"to do: `\.ci/browser \.browser` on Debian"):
        browser_path(None, tmp_path)
