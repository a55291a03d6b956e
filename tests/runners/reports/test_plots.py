"""Plots and tables as parts of a page: in the page's colours, with what foreign text says escaped."""

from __future__ import annotations

import io
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from pipeline.contract import Listing, Plot, Sheet
from runners.reports import pages, plots
from runners.reports.exhibits import attempt, show

SVG = "{http://www.w3.org/2000/svg}"


def draw_line(figure: Any) -> None:
    axes = figure.subplots()
    axes.plot([1, 2, 3], [1, 4, 9], label="squares")
    axes.set_xlabel("<customers> & more")
    axes.legend()


def test_a_plot_is_svg_with_its_texts_as_texts_in_the_colours_of_the_page() -> None:
    drawn = plots.svg(draw_line, height=4, label='a "line" <of> squares')
    tree = ElementTree.fromstring(str(drawn).replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" xmlns:xlink="x" ', 1))
    assert tree.attrib["aria-label"] == 'a "line" <of> squares'
    texts = {"".join(text.itertext()).strip() for text in tree.iter(f"{SVG}text")}
    assert {"<customers> & more", "squares"} <= texts
    assert "var(--c0)" in drawn
    assert "currentColor" in drawn
    assert not [colour for colour in ("#1f6fb5", "#010203", "#c9d1da") if colour in drawn]


def test_the_same_plot_is_the_same_text_and_two_plots_share_no_id() -> None:
    first, again = (plots.svg(draw_line, height=4, label="a line") for _ in range(2))
    other = plots.svg(lambda figure: figure.subplots().bar([1, 2], [3, 4]), height=4, label="bars")
    assert first == again

    def ids(drawn: str) -> set[str]:
        return {part.split('"')[0] for part in str(drawn).split('id="')[1:]}

    assert ids(first)
    assert not ids(first) & ids(other)


def test_a_table_escapes_and_writes_numbers_for_people() -> None:
    rows: tuple[tuple[str | float | None, ...], ...] = (("<script>alert(1)</script>", 541_909.0, None, 0.1234567),)
    shown = show([Listing("Rows", "What was read.", ("name", "rows", "nothing", "share"), rows)])
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert ">541,909<" in shown
    assert ">-<" in shown
    assert ">0.1235<" in shown


def test_pictures_are_in_the_page_itself() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(file, "PNG")
    shown = show([Sheet("Sheet", "Best first.", ("gray", "true"), (("a.png", (file.getvalue(),) * 2),))])
    assert shown.count('src="data:image/png;base64,iVBOR') == 2
    assert 'alt="a.png, true"' in shown


def test_a_part_that_cannot_be_made_says_why_and_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def fails(figure: Any) -> None:
        raise ValueError("no rows <here>")

    part = attempt("Training", lambda: show([Plot("Loss", "Falls.", fails)]))
    assert part is not None
    assert "Training could not be shown: ValueError: no rows &lt;here&gt;" in part
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "-"), ("text", "text"), (3.0, "3"), (12345.678, "12,346"), (0.00012345, "0.0001234"), (1e20, "1e+20")],
)
def test_entries_of_tables(value: float | str | None, written: str) -> None:
    assert pages.figure(value) == written


@pytest.mark.parametrize(("value", "written"), [(0.41, "0.4 s"), (75.2, "75 s"), (725, "12 min 5 s")])
def test_durations(value: float, written: str) -> None:
    assert pages.seconds(value) == written
