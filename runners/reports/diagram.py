"""Draws a directed graph as a picture inside a page: labelled boxes in layers, and arrows down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from runners.reports.layers import Box, Edge, lay_out
from runners.reports.pages import render

TITLE, LINE = 8.6, 6.6
"""Pixels that a letter takes of a title, and of a line below it, at most on average."""
PADDING = 10.0
HEADING, SPACING = 21.0, 15.0
"""Pixels from a box's upper side to its title's foot, and between lines."""


class Shape(NamedTuple):
    """What a box says.

    Attributes:
      name: its identity.
      title: its first line.
      lines: what stands below, small.
      kind: word for the style, such as `failed`.
      link: anchor in the page that a click leads to, if any.
    """

    name: str
    title: str
    lines: tuple[str, ...] = ()
    kind: str = ""
    link: str | None = None


class Drawn(NamedTuple):
    """A shape in its place."""

    shape: Shape
    box: Box


def draw(shapes: Sequence[Shape], edges: Iterable[Edge], *, label: str) -> Markup:
    """Returns the picture, as wide as it is; a page lets it scroll.

    Args:
      shapes: the boxes; earlier ones come first where the arrows decide nothing.
      edges: names, from and to. Without cycles.
      label: what it shows, for those who cannot see it.
    """
    layout = lay_out({shape.name: _size(shape) for shape in shapes}, edges)
    drawn = [Drawn(shape, layout.boxes[shape.name]) for shape in shapes]
    lines = list(layout.arrows.values())
    return render(
        "diagram.html",
        layout=layout,
        drawn=drawn,
        arrows=[_path(points) for points in lines],
        ends=[points[-1] for points in lines],
        label=label,
        heading=HEADING,
        spacing=SPACING,
    )


def _size(shape: Shape) -> tuple[float, float]:
    width = max([TITLE * len(shape.title), *(LINE * len(line) for line in shape.lines)])
    return width + 2 * PADDING, HEADING + SPACING * len(shape.lines) + 9


def _path(points: Sequence[tuple[float, float]]) -> str:
    """A line whose parts leave and enter layers upright."""
    (x, y), *others = points
    parts = [f"M{x:.1f} {y:.1f}"]
    for next_x, next_y in others:
        middle = (y + next_y) / 2
        straight = abs(next_x - x) < 0.5
        parts.append(
            f"L{next_x:.1f} {next_y:.1f}"
            if straight
            else f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {next_y:.1f}"
        )
        x, y = next_x, next_y
    return " ".join(parts)
