"""The contact sheet: small copies of many pictures on one page, for people to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

GAP = 8
"""Pixels between the cells of a row."""
MARGIN = 24
"""Pixels around the page, and between rows that lie side by side."""
INK, PALE = (40, 40, 40), (110, 110, 110)

Row = Sequence[Image.Image | None]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class _Layout(NamedTuple):
    """Where things are on the page: cells of `side` pixels, lines of text of `line`, rows in blocks side by side."""

    side: int
    line: int
    columns: int
    across: int
    down: int

    @property
    def row_width(self) -> int:
        return self.columns * (self.side + GAP) - GAP

    @property
    def size(self) -> tuple[int, int]:
        width = MARGIN + self.across * (self.row_width + MARGIN)
        return width, 2 * MARGIN + self.line + self.down * (self.side + self.line + GAP) - GAP

    def left(self, block: int, column: int = 0) -> int:
        return MARGIN + block * (self.row_width + MARGIN) + column * (self.side + GAP)

    def corners(self, rows: int) -> Iterator[tuple[int, int]]:
        """Block and upper edge of each row, block after block."""
        for index in range(rows):
            block, place = divmod(index, self.down)
            yield block, MARGIN + self.line + place * (self.side + self.line + GAP)


def contact_sheet(
    rows: Sequence[Row], titles: Sequence[str], names: Sequence[str] | None = None, side: int = 160
) -> Image.Image:
    """Returns a white page with a row of small copies for each picture, titles above and names below.

    Many rows are laid side by side, so that the page is about as wide as it is high.

    Args:
      rows: of each picture, its versions in the order of `titles`; None leaves a cell empty.
      titles: of the columns.
      names: of the rows, in Pillow's own font (Latin letters); one that is too long is cut. None for no names.
      side: pixels of a cell. Copies keep their proportions and fill it in one direction.

    Raises:
      ValueError: there is no row, or a row or `names` has another length than the rest.
    """
    names = [""] * len(rows) if names is None else names
    if not rows or len(names) != len(rows) or any(len(row) != len(titles) for row in rows):
        cells = sorted({len(row) for row in rows})
        raise ValueError(f"a name for each row and a cell for each title, not {len(names)} names for {len(rows)} rows "
                         f"of {cells} cells under {len(titles)} titles")  # fmt: skip
    font = ImageFont.load_default(size=max(10, side // 10))
    layout = _layout(len(rows), len(titles), side)
    page = Image.new("RGB", layout.size, "white")
    _write_titles(page, layout, titles, font)
    draw = ImageDraw.Draw(page)
    for (block, top), row, name in zip(layout.corners(len(rows)), rows, names, strict=True):
        for column, image in enumerate(row):
            if image is not None:
                _put(page, image, layout.left(block, column), top, side)
        below = top + side + layout.line // 2
        draw.text((layout.left(block), below), _cut(name, font, layout.row_width), PALE, font, anchor="lm")
    return page


def small_copy(image: Image.Image, side: int) -> Image.Image:
    """Returns a copy in the proportions of the picture whose longer side has `side` pixels, the other at least one."""
    width, height = (max(1, round(length * side / max(image.size))) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _layout(rows: int, columns: int, side: int) -> _Layout:
    across = max(1, round((rows / columns) ** 0.5))
    return _Layout(side, max(16, side // 6), columns, across, -(-rows // across))


def _write_titles(page: Image.Image, layout: _Layout, titles: Sequence[str], font: Font) -> None:
    draw = ImageDraw.Draw(page)
    for block in range(layout.across):
        for column, title in enumerate(titles):
            centre = layout.left(block, column) + layout.side // 2
            draw.text((centre, MARGIN + layout.line // 2), title, INK, font, anchor="mm")


def _put(page: Image.Image, image: Image.Image, left: int, top: int, side: int) -> None:
    """Pastes a copy in the middle of a cell."""
    small = small_copy(image.convert("RGB"), side)
    page.paste(small, (left + (side - small.width) // 2, top + (side - small.height) // 2))


def _cut(text: str, font: Font, width: int) -> str:
    """The text on one line, or as much of its beginning as fits into so many pixels."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
