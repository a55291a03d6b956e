"""The pages for people, in a real browser, against real servers."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from browsing import Visit, browser_path, browsing, visiting
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from serving_server import running

from pipeline.contract import find_model, resource
from runners.serving import pages

Open = Callable[..., Visit]
ROWS = "#attributions tbody tr"


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with browsing(browser_path(request.config.getoption("--browser"))) as started:
        yield started


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
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


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _answered(page: Page) -> dict[str, float]:
    """The page's answer, once it is not about to change."""
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#total")).not_to_have_text("…")
    return {name: _number(page.inner_text(f"#{name}")) for name in ("future", "total")}


def _asked(page: Page) -> dict[str, Any]:
    """What a program would send."""
    body: dict[str, Any] = json.loads(page.locator("#request").text_content() or "")
    return body


def _slider(page: Page, name: str) -> Any:
    return page.get_by_role("slider", name=name)


def _field(page: Page, name: str) -> Any:
    return page.get_by_role("spinbutton", name=name)


# --- customers -----------------------------------------------------------------------------------------


def test_a_moved_slider_is_answered_as_the_server_answers(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    before = _answered(page)
    _slider(page, "Purchases").press("ArrowRight")
    expect(_field(page, "Purchases")).to_have_value("7")
    _slider(page, "Revenue of a purchase").click(position={"x": 150, "y": 5})
    after = _answered(page)
    assert after["total"] > before["total"]
    answer = requests.post(f"{clv_url}/v1/models/clv:predict", json=_asked(page), timeout=20).json()["predictions"][0]
    assert after["future"] == pytest.approx(answer["future_monetary_value"], abs=0.006)
    assert after["total"] == pytest.approx(answer["total_monetary_value"], abs=0.006)


def test_quick_moves_end_with_the_answer_to_the_last_one(clv_url: str, opened: Open) -> None:
    visit = opened(clv_url)
    _answered(visit.page)
    before = len(visit.requests)
    for _ in range(40):
        _slider(visit.page, "Purchases").press("ArrowRight")
    assert _answered(visit.page)["future"] == 460
    assert _asked(visit.page)["instances"][0]["n_purchases"] == 46
    assert len(visit.requests) - before < 40


def test_attributions_are_drawn_sorted_and_sum_to_the_total(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    total = _answered(page)["total"]
    cells = [row.locator("td").last.inner_text() for row in page.locator(ROWS).all()]
    start, *shares, end = map(_number, cells)
    assert len(shares) == 8
    assert shares == sorted(shares, key=abs, reverse=True)
    assert start + sum(shares) == pytest.approx(end, abs=0.06)
    assert end == total
    widths = [bar.evaluate("bar => bar.getBoundingClientRect().width") for bar in page.locator(".bar").all()]
    assert widths[0] > 20
    np.testing.assert_allclose(np.array(widths) / widths[0], np.abs(shares) / abs(shares[0]), atol=0.02)
    expect(page.locator(".start")).to_contain_text("nothing is known")
    expect(page.locator(".why")).to_contain_text("a customer of whom nothing is known")


def test_purchases_stay_in_order_and_impossible_customers_are_warned_of(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    _field(page, "First purchase").first.fill("10")
    expect(_field(page, "Last purchase")).to_have_value("10")
    expect(page.locator("#warning")).to_contain_text("6 days with a purchase do not fit into the 1")
    _answered(page)
    assert (_asked(page)["instances"][0]["customer_age"], _asked(page)["instances"][0]["tenure_days"]) == (0, 10)
    _field(page, "First purchase").first.fill("200")
    expect(page.locator("#warning")).to_be_empty()
    _field(page, "Purchases").fill("1")
    expect(page.locator("#warning")).to_contain_text("A single purchase is the first and the last one")
    _answered(page)
    assert _asked(page)["instances"][0]["tenure_days"] == 10


def test_purchases_elsewhere_count_in_revenue_and_tenure(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    page.get_by_text("also bought in other countries").click()
    _field(page, "Revenue in other countries").fill("50.5")
    _field(page, "First purchase in another country").fill("300")
    page.get_by_label("Country", exact=True).fill(" France ")
    assert _answered(page)["total"] == 1910.5
    sent = _asked(page)["instances"][0]
    told = (sent["past_monetary_value"], sent["tenure_days"], sent["customer_country"])
    assert told == (1850.5, 300, "France")


@pytest.mark.parametrize("typed", ["", "0", "2.5", "5000"])
def test_a_number_that_cannot_be_is_told_and_not_asked(clv_url: str, opened: Open, typed: str) -> None:
    page = opened(clv_url).page
    before = _answered(page)
    _field(page, "Purchases").fill(typed)
    words = "Purchases: a whole number from 1 to 3,660 is needed; the answer still counts with 6."
    expect(page.locator("#warning")).to_have_text(words)
    assert _answered(page) == before
    _field(page, "Purchases").blur()
    expect(_field(page, "Purchases")).to_have_value("6")


def test_what_the_server_refuses_and_that_it_is_gone_is_said_in_words(clv_destination: Path, opened: Open) -> None:
    with running(clv_destination, find_model("clv"), max_body_bytes=100) as url:
        page = opened(url, flawless=False).page
        problem = page.get_by_role("alert")
        expect(problem).to_have_text(re.compile(r"^The server refused \(413\): expected a body of at most 100 bytes"))
        expect(page.locator("#total")).to_have_text("…")
        expect(page.locator(ROWS)).to_have_count(0)
    _field(page, "Purchases").fill("8")
    expect(problem).to_have_text("The server does not answer. Is it still running?")


def test_the_version_that_answers_is_told(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    told = requests.get(f"{clv_url}/about", timeout=20).json()
    expect(page.locator("#about")).to_contain_text(f"Version {told['version']} · digest {told['digest']}")
    expect(page.locator("#answered-by")).to_have_text(f"Answered by version {told['version']}.")
    assert page.get_by_role("link", name="API").first.get_attribute("href") == "/docs"


def test_the_page_offers_the_countries_of_the_schema(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    offered = page.locator("#countries option").evaluate_all("all => all.map(one => one.value)")
    domain = resource("schema.clv:schema.pbtxt").read_text().partition('name: "country"\n')[2]
    assert offered == re.findall(r'^  value: "(.*)"$', domain, re.MULTILINE)


# --- pictures ------------------------------------------------------------------------------------------


def _picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    """Spots of many colours, or of many grays."""
    channels = {"RGB": (3,), "L": ()}[mode]
    spots = np.random.default_rng(4).integers(0, 256, (height, width, *channels), np.uint8)
    file = io.BytesIO()
    Image.fromarray(spots).save(file, kind)
    return file.getvalue()


def _drop(page: Page, *files: tuple[str, bytes]) -> None:
    script = """files => files.reduce((all, [name, b64]) => {
        all.items.add(new File([Uint8Array.from(atob(b64), one => one.charCodeAt(0))], name));
        return all;
    }, new DataTransfer())"""
    transfer = page.evaluate_handle(script, [[name, base64.b64encode(content).decode()] for name, content in files])
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def _choose(page: Page, name: str, content: bytes) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": content})


def _painted(page: Page) -> Any:
    """Pixels of the coloured picture that the page shows."""
    expect(page.locator("#state")).to_contain_text("Coloured in")
    address = page.locator("#coloured").get_attribute("src") or ""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def _captions(page: Page) -> list[str]:
    return [caption.inner_text().strip() for caption in page.locator("figcaption").all()]


def test_a_dropped_picture_is_shown_gray_and_coloured(colorizer_url: str, opened: Open) -> None:
    page = opened(colorizer_url).page
    content = _picture(45, 30)
    _drop(page, ("spots.png", content))
    painted = _painted(page)
    # The small model of the tests inverts the luminance.
    luminance = np.asarray(Image.open(io.BytesIO(content))) @ np.array([0.299, 0.587, 0.114])
    assert painted.shape == (30, 45, 3)
    np.testing.assert_allclose(painted[..., 0], 255 - luminance, atol=1.01)
    sizes = ["Original 45 x 30", "Gray: what the model sees 45 x 30", "Coloured 45 x 30 Download"]
    assert _captions(page) == sizes
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    assert downloading.value.suggested_filename == "spots-colour.png"
    np.testing.assert_array_equal(np.asarray(Image.open(downloading.value.path())), painted)


def test_a_gray_picture_is_not_shown_twice(colorizer_url: str, opened: Open) -> None:
    page = opened(colorizer_url).page
    _choose(page, "gray.jpg", _picture(20, 20, "JPEG", "L"))
    assert _painted(page).shape == (20, 20, 3)
    assert [caption.split(" ")[0] for caption in _captions(page)] == ["Gray:", "Coloured"]


def test_a_large_picture_is_shrunk_and_the_page_says_so(colorizer_url: str, opened: Open) -> None:
    page = opened(colorizer_url).page
    file = io.BytesIO()
    Image.new("L", (2500, 1000), 90).save(file, "PNG")
    _choose(page, "wide.png", file.getvalue())
    assert _painted(page).shape == (894, 2236, 3)
    expect(page.locator("#state")).to_contain_text("Shrunk from 2500 x 1000 to 2236 x 894 pixels.")


def test_what_is_no_picture_is_told_and_the_next_one_is_coloured(
    colorizer_url: str, opened: Open, tmp_path: Path
) -> None:
    page = opened(colorizer_url).page
    problem = page.get_by_role("alert")
    _drop(page, ("notes.txt", b"no picture"))
    expect(problem).to_contain_text("“notes.txt” is no picture that this browser can read.")
    _drop(page)
    expect(problem).to_contain_text("What was dropped is no file.")
    with (tmp_path / "huge.png").open("wb") as huge:
        huge.truncate(65_000_000)
    page.set_input_files("#file", tmp_path / "huge.png")
    expect(problem).to_have_text("“huge.png” has 65 MB: choose a picture of at most 64 MB.")
    _choose(page, "spots.png", _picture(9, 9))
    assert _painted(page).shape == (9, 9, 3)
    expect(problem).to_be_empty()


def test_a_picture_that_the_server_refuses_is_told(colorizer_destination: Path, opened: Open) -> None:
    with running(colorizer_destination, find_model("colorizer"), max_pixels=50) as url:
        page = opened(url, flawless=False).page
        _choose(page, "spots.png", _picture(9, 9))
        words = "The server refused (413): expected at most 50 pixels a request, received 81"
        expect(page.get_by_role("alert")).to_have_text(words)
        expect(page.locator("#progress")).to_be_hidden()


# --- a model without a page ----------------------------------------------------------------------------


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
        _answered(page)
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
