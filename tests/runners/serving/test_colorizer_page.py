"""The page of the model of pictures, in a real browser, against a real server."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from browsing import Open
from PIL import Image
from playwright.sync_api import Page, expect
from serving_server import running

from pipeline.contract import find_model


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
