"""The contact sheet: what stands where on the page."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.colorizer.sheet import GAP, MARGIN, contact_sheet

TITLES = ("gray", "predicted", "true")
SIDE = 64
TOP = MARGIN + 16
"""Where pictures begin, below a line of titles."""


def plain(colour: str, width: int = 20, height: int = 20) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def middle(page: Image.Image, column: int, row: int = 0) -> object:
    """The colour in the middle of a cell of the first block."""
    left = MARGIN + column * (SIDE + GAP)
    top = TOP + row * (SIDE + 16 + GAP)
    return page.getpixel((left + SIDE // 2, top + SIDE // 2))


def ink(page: Image.Image, box: tuple[int, int, int, int]) -> int:
    """How many pixels of a part of the page are not white."""
    return int((np.asarray(page.crop(box)).min(axis=-1) < 250).sum())


def test_versions_lie_side_by_side_and_pictures_below_each_other() -> None:
    rows: list[list[Image.Image | None]] = [
        [plain("gray"), plain("red"), plain("blue")],
        [plain("gray"), plain("lime"), None],
    ]
    page = contact_sheet(rows, TITLES, ["a.png", "b.png"], SIDE)
    assert page.size == (2 * MARGIN + 3 * SIDE + 2 * GAP, 2 * MARGIN + 16 + 2 * (SIDE + 16) + GAP)
    assert [middle(page, column) for column in range(3)] == [(128, 128, 128), (255, 0, 0), (0, 0, 255)]
    assert [middle(page, column, 1) for column in range(3)] == [(128, 128, 128), (0, 255, 0), (255, 255, 255)]


def test_margins_are_white_and_titles_stand_above_each_column() -> None:
    page = contact_sheet([[plain("gray"), plain("red"), plain("blue")]], TITLES, ["a.png"], SIDE)
    assert ink(page, (0, 0, page.width, MARGIN)) == 0
    assert ink(page, (0, 0, MARGIN, page.height)) == 0
    for column in range(3):
        left = MARGIN + column * (SIDE + GAP)
        assert ink(page, (left, MARGIN, left + SIDE, TOP)) > 20


def test_the_name_stands_below_and_a_long_one_is_cut() -> None:
    cells = [[plain("gray"), plain("red"), plain("blue")]]
    below = (MARGIN, TOP + SIDE + 1, 2 * MARGIN + 3 * SIDE + 2 * GAP, TOP + SIDE + 16)
    assert ink(contact_sheet(cells, TITLES, None, SIDE), below) == 0
    short, long = (contact_sheet(cells, TITLES, [name], SIDE) for name in ("a.png", "a very long name " * 20))
    assert 10 < ink(short, below) < ink(long, below)
    assert ink(long, (long.width - MARGIN, 0, long.width, long.height)) == 0


def test_names_that_cannot_be_printed_do_no_harm() -> None:
    page = contact_sheet([[plain("red")]], ["true"], ["two\nlines\udcff.png"], SIDE)
    assert middle(page, 0) == (255, 0, 0)


def test_copies_keep_their_proportions_whatever_their_mode() -> None:
    wide, high = plain("red", 40, 10), plain("blue", 500, 1000).convert("P")
    page = contact_sheet([[wide, high]], ["wide", "high"], None, SIDE)
    drawn = np.asarray(page).astype(int)
    red = (drawn[..., 0] > 200) & (drawn[..., 2] < 100)
    blue = (drawn[..., 2] > 200) & (drawn[..., 0] < 100)
    assert [int(side.sum()) for side in (red.any(axis=0), red.any(axis=1))] == [SIDE, SIDE // 4]
    assert [int(side.sum()) for side in (blue.any(axis=0), blue.any(axis=1))] == [SIDE // 2, SIDE]


@pytest.mark.parametrize(("width", "height"), [(2000, 3), (3, 2000)])
def test_of_very_wide_and_very_narrow_pictures_a_line_is_left(width: int, height: int) -> None:
    page = contact_sheet([[plain("red", width, height)]], ["line"], None, SIDE)
    red = np.asarray(page)[..., 1] == 0
    assert sorted([red.any(axis=0).sum(), red.any(axis=1).sum()]) == [1, SIDE]


@pytest.mark.parametrize("count", [1, 2, 7, 12, 48])
def test_the_page_is_never_long_and_thin_and_shows_every_picture(count: int) -> None:
    page = contact_sheet([[plain("red")] * 3] * count, TITLES, None, 40)
    assert 0.4 < page.width / page.height < 2.5
    assert (np.asarray(page)[..., 1] == 0).sum() == count * 3 * 40 * 40


@pytest.mark.parametrize(
    ("rows", "names"),
    [([], []), ([[plain("red")]], ["a.png"]), ([[plain("red")] * 3], ["a.png", "b.png"])],
)
def test_rows_that_do_not_fit_are_refused(rows: list[list[Image.Image]], names: list[str]) -> None:
    with pytest.raises(ValueError, match="a name for each row and a cell for each title"):
        contact_sheet(rows, TITLES, names)
