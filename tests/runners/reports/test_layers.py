"""Graphs of all kinds, placed."""

from __future__ import annotations

import itertools
from graphlib import CycleError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.reports.layers import Edge, Layout, lay_out, reduced

PLANNED = {
    "ExampleGen": [],
    "ImportSchemaGen": [],
    "Reference": [],
    "StatisticsGen": ["ExampleGen"],
    "ExampleValidator": ["ImportSchemaGen", "StatisticsGen"],
    "DataGate": ["ExampleGen", "ExampleValidator", "ImportSchemaGen", "Reference", "StatisticsGen"],
    "Transform": ["DataGate", "ExampleGen", "ImportSchemaGen"],
    "Trainer": ["ImportSchemaGen", "Transform"],
    "ServingGate": ["ExampleGen", "ImportSchemaGen", "Trainer"],
}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[float, float]], list[Edge]]:
    """Boxes of any size, and arrows from earlier names to later ones."""
    sizes = draw(st.lists(st.tuples(st.floats(20, 300), st.floats(10, 90)), min_size=1, max_size=9))
    names = [f"box{number}" for number in range(len(sizes))]
    pairs = list(itertools.combinations(names, 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=16)) if pairs else []
    return dict(zip(names, sizes, strict=True)), edges


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_boxes_do_not_overlap_and_arrows_go_down(graph: tuple[dict[str, tuple[float, float]], list[Edge]]) -> None:
    layout = lay_out(*graph)
    for one, other in itertools.combinations(layout.boxes.values(), 2):
        beside = one.x + one.width < other.x or other.x + other.width < one.x
        below = one.y + one.height < other.y or other.y + other.height < one.y
        assert beside or below
    for (start, end), points in layout.arrows.items():
        upper, lower = layout.boxes[start], layout.boxes[end]
        assert points[0] == pytest.approx((upper.x + upper.width / 2, upper.y + upper.height))
        assert points[-1] == pytest.approx((lower.x + lower.width / 2, lower.y))
        assert all(y <= later for (_, y), (_, later) in itertools.pairwise(points))
    assert all(box.x >= 0 and box.x + box.width <= layout.width for box in layout.boxes.values())
    assert all(box.y >= 0 and box.y + box.height <= layout.height for box in layout.boxes.values())
    assert set(layout.arrows) == set(graph[1])


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_what_is_left_out_is_implied_and_what_stays_is_not(
    graph: tuple[dict[str, tuple[float, float]], list[Edge]],
) -> None:
    edges = set(graph[1])
    kept = set(reduced(edges))
    assert kept <= edges
    for edge in edges:
        assert _leads(kept - {edge}, *edge) == (edge not in kept)


def _leads(edges: set[Edge], start: str, end: str) -> bool:
    return start == end or any(_leads(edges, after, end) for before, after in edges if before == start)


def test_a_pipeline_is_nearly_a_line_and_chains_are_straight() -> None:
    layout = _placed()
    rows = {box.y for box in layout.boxes.values()}
    assert len(rows) == 7
    centres = [layout.boxes[name].x + 50 for name in ("DataGate", "Transform", "Trainer", "ServingGate")]
    assert max(centres) - min(centres) < 1
    assert layout.width < 3 * 100


def test_a_circle_is_refused() -> None:
    with pytest.raises(CycleError):
        lay_out({"a": (1, 1), "b": (1, 1)}, [("a", "b"), ("b", "a")])


def _placed() -> Layout:
    edges = [(before, name) for name, waits in PLANNED.items() for before in waits]
    return lay_out(dict.fromkeys(PLANNED, (100.0, 40.0)), reduced(edges))
