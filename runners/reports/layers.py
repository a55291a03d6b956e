"""Places the boxes of a directed graph in layers, so that every arrow goes down and few of them cross.

The method is that of Sugiyama, Tagawa & Toda 1981, "Methods for visual understanding of hierarchical system
structures", IEEE Transactions on Systems, Man, and Cybernetics 11(2), 109-125: layers by longest path, bends where an
arrow passes a layer, order within a layer by the mean place of the neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from itertools import pairwise
from typing import NamedTuple

GAP = 16.0
"""Pixels between two boxes of a layer."""
DESCENT = 28.0
"""Pixels between two layers, for the arrows."""
MARGIN = 6.0
SWEEPS = 8
"""How often the layers are ordered, and then moved, after their neighbours; few dozens of boxes settle long before."""

Edge = tuple[str, str]


class Bend(NamedTuple):
    """The place where an edge passes a layer."""

    start: str
    end: str
    layer: int


Cell = str | Bend
"""A box by its name, or a bend."""


class Box(NamedTuple):
    """Where a box is: its upper left corner, and its size, in pixels."""

    x: float
    y: float
    width: float
    height: float


class Layout(NamedTuple):
    """A graph, placed.

    Attributes:
      width, height: of all, in pixels.
      boxes: by name.
      arrows: for each edge the points of its line, from the lower side of a box to the upper side of another.
    """

    width: float
    height: float
    boxes: dict[str, Box]
    arrows: dict[Edge, list[tuple[float, float]]]


def lay_out(sizes: Mapping[str, tuple[float, float]], edges: Iterable[Edge]) -> Layout:
    """Returns where the boxes of a graph go.

    Args:
      sizes: name -> width and height of its box, in pixels. Earlier names come first where nothing else decides.
      edges: pairs of names, from and to.

    Raises:
      CycleError: there is a way from a box back to itself.
    """
    kept = [edge for edge in dict.fromkeys(edges) if edge[0] in sizes and edge[1] in sizes]
    layer = _layers(sizes, kept)
    chains = {edge: _chain(edge, layer) for edge in kept}
    rows = _rows(sizes, layer, chains.values())
    links = [link for chain in chains.values() for link in pairwise(chain)]
    above, below = _neighbours((end, start) for start, end in links), _neighbours(links)
    _order(rows, above, below)
    widths = {cell: sizes[cell][0] if isinstance(cell, str) else 1.0 for row in rows for cell in row}
    centres = _centres(rows, widths, above, below)
    heights = [max([sizes[cell][1] for cell in row if isinstance(cell, str)], default=0.0) for row in rows]
    tops = [MARGIN + sum(heights[:number]) + DESCENT * number for number in range(len(rows))]
    boxes = {name: Box(centres[name] - sizes[name][0] / 2, tops[layer[name]], *sizes[name]) for name in sizes}
    arrows = {edge: _points(chain, boxes, centres, tops, heights, layer) for edge, chain in chains.items()}
    width = max((centres[cell] + widths[cell] / 2 for cell in centres), default=0.0) + MARGIN
    return Layout(width, sum(heights) + DESCENT * max(0, len(rows) - 1) + 2 * MARGIN, boxes, arrows)


def reduced(edges: Iterable[Edge]) -> list[Edge]:
    """Returns the edges less those that longer ways imply: the transitive reduction of an acyclic graph."""
    kept = list(dict.fromkeys(edges))
    after = _neighbours(kept)

    def reached(start: Cell) -> set[Cell]:
        found: set[Cell] = set()
        waiting = list(after.get(start, []))
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting += after.get(name, [])
        return found

    beyond = {name: reached(name) for edge in kept for name in edge}
    return [
        (start, end)
        for start, end in kept
        if not any(end in beyond[other] for other in after[start] if other != end and isinstance(other, str))
    ]


def _layers(names: Iterable[str], edges: list[Edge]) -> dict[str, int]:
    """Name -> layer, 0 at the top: each box as low as the arrows that leave it allow, near to what needs it."""
    after: dict[str, list[str]] = {name: [] for name in names}
    for start, end in edges:
        after[start].append(end)
    depth: dict[str, int] = {}
    for name in TopologicalSorter(after).static_order():
        depth[name] = max((depth[end] + 1 for end in after[name]), default=0)
    deepest = max(depth.values(), default=0)
    return {name: deepest - depth[name] for name in depth}


def _chain(edge: Edge, layer: Mapping[str, int]) -> list[Cell]:
    start, end = edge
    return [start, *(Bend(start, end, level) for level in range(layer[start] + 1, layer[end])), end]


def _rows(names: Iterable[str], layer: Mapping[str, int], chains: Iterable[list[Cell]]) -> list[list[Cell]]:
    rows: list[list[Cell]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in names:
        rows[layer[name]].append(name)
    for chain in chains:
        for cell in chain:
            if isinstance(cell, Bend):
                rows[cell.layer].append(cell)
    return rows


def _neighbours(links: Iterable[tuple[Cell, Cell]]) -> dict[Cell, list[Cell]]:
    found: dict[Cell, list[Cell]] = {}
    for start, end in links:
        found.setdefault(start, []).append(end)
    return found


def _order(rows: list[list[Cell]], above: Mapping[Cell, list[Cell]], below: Mapping[Cell, list[Cell]]) -> None:
    """Orders each layer by the mean place of its neighbours, down and up in turn; the best order found stays."""
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            place = {cell: index / max(1, len(other) - 1) for other in rows for index, cell in enumerate(other)}
            row.sort(key=lambda cell: _mean([place[each] for each in neighbours.get(cell, [])], place[cell]))
        if (crossings := _crossings(rows, below)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _crossings(rows: list[list[Cell]], below: Mapping[Cell, list[Cell]]) -> int:
    place = {cell: index for row in rows for index, cell in enumerate(row)}
    count = 0
    for row in rows:
        ends = [(index, place[end]) for index, cell in enumerate(row) for end in below.get(cell, [])]
        count += sum((a - c) * (b - d) < 0 for n, (a, b) in enumerate(ends) for c, d in ends[:n])
    return count


def _centres(
    rows: list[list[Cell]],
    widths: Mapping[Cell, float],
    above: Mapping[Cell, list[Cell]],
    below: Mapping[Cell, list[Cell]],
) -> dict[Cell, float]:
    """Cell -> x of its middle: near the mean of its neighbours, in the layer's order, nothing over anything else.

    Downwards after those above and upwards after those below, in turn, so that chains become straight.
    """
    centres: dict[Cell, float] = {}
    for row in rows:
        centres |= _spread(row, dict.fromkeys(row, 0.0), widths)
    for sweep in range(SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = {cell: _mean([centres[each] for each in neighbours.get(cell, [])], centres[cell]) for cell in row}
            centres |= _spread(row, wanted, widths)
    left = min((centres[cell] - widths[cell] / 2 for cell in centres), default=0.0)
    return {cell: centre - left + MARGIN for cell, centre in centres.items()}


def _spread(row: list[Cell], wanted: Mapping[Cell, float], widths: Mapping[Cell, float]) -> dict[Cell, float]:
    """Pushes apart what would overlap, and moves the layer back to where it wanted to be on the whole."""
    placed: dict[Cell, float] = {}
    edge = float("-inf")
    for cell in row:
        placed[cell] = max(wanted[cell], edge + widths[cell] / 2)
        edge = placed[cell] + widths[cell] / 2 + GAP
    shift = _mean([wanted[cell] - placed[cell] for cell in row], 0.0)
    return {cell: centre + shift for cell, centre in placed.items()}


def _points(
    chain: list[Cell],
    boxes: Mapping[str, Box],
    centres: Mapping[Cell, float],
    tops: list[float],
    heights: list[float],
    layer: Mapping[str, int],
) -> list[tuple[float, float]]:
    start, end = str(chain[0]), str(chain[-1])
    points = [(centres[start], boxes[start].y + boxes[start].height)]
    # A box may be less high than its layer: the line goes straight down to the layer's lower side.
    points.append((centres[start], tops[layer[start]] + heights[layer[start]]))
    for bend in chain:
        if isinstance(bend, Bend):
            top = tops[bend.layer]
            points += [(centres[bend], top), (centres[bend], top + heights[bend.layer])]
    return [*points, (centres[end], boxes[end].y)]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
