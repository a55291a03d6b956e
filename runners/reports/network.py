"""A network as a picture: its layers as `models.architecture` describes them in `training.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from runners.reports.diagram import Shape, draw
from runners.reports.layers import Edge
from runners.reports.pages import count

Layer = Mapping[str, Any]
LONGEST = 34
"""Letters of a line in a box."""


class Network(NamedTuple):
    """A network, or one that a layer of it holds.

    Attributes:
      within: name of that layer; empty for the network itself.
      copies: how many of this form there are side by side.
      parameters: of one of them.
      layers: as they were described.
      picture: with layers that only reshape, scale or activate in the box of the one before.
    """

    within: str
    copies: int
    parameters: int
    layers: Sequence[Layer]
    picture: Markup


def networks(layers: Iterable[Layer]) -> list[Network]:
    """Returns the networks that a list of layers describes, the outer one first."""
    groups: dict[tuple[str, int], list[Layer]] = {}
    for layer in layers:
        groups.setdefault((layer.get("within", ""), layer.get("copies", 1)), []).append(layer)
    return [
        Network(within, copies, sum(layer["parameters"] for layer in found), found, _picture(found, within))
        for (within, copies), found in groups.items()
    ]


def shape_text(shape: Sequence[int | None]) -> str:
    """Writes the shape of what one row becomes: `10 x 10 x 24`; a row that is a single number is `1`."""
    return " x ".join("any" if length is None else str(length) for length in shape[1:]) or "1"


def _picture(layers: Sequence[Layer], within: str) -> Markup:
    boxes = _folded(layers)
    home = {layer["name"]: box[0]["name"] for box in boxes for layer in box}
    shapes = [_shape(box) for box in boxes]
    edges: list[Edge] = [(home[name], box[0]["name"]) for box in boxes for name in box[0]["inputs"] if name in home]
    return draw(shapes, edges, label=f"The network inside of {within}" if within else "The network")


def _folded(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Puts each layer that has no shape of its own to learn into the box of the one that it alone reads."""
    readers = Counter(name for layer in layers for name in layer["inputs"])
    boxes: dict[str, list[Layer]] = {}
    for layer in layers:
        inputs = layer["inputs"]
        box = boxes.get(inputs[0]) if len(inputs) == 1 else None
        if box and readers[inputs[0]] == 1 and (not layer["parameters"] or "Normalization" in layer["kind"]):
            box.append(layer)
        else:
            box = [layer]
        boxes[layer["name"]] = box
    return list({id(box): box for box in boxes.values()}.values())


def _shape(box: Sequence[Layer]) -> Shape:
    first, *others = box
    is_input = first["kind"] == "InputLayer"
    title = f"{first['name']} (input)" if is_input else first["kind"]
    parameters = sum(layer["parameters"] for layer in box)
    lines = [*_wrapped([layer["kind"] for layer in others]), f"gives {shape_text(box[-1]['shape'])}"]
    if parameters:
        lines.append(f"{count(parameters)} parameters")
    return Shape(first["name"], title, tuple(lines), "input" if is_input else "weighs" if parameters else "plain")


def _wrapped(kinds: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for kind in kinds:
        if lines and len(lines[-1]) + len(kind) + 2 <= LONGEST:
            lines[-1] += f", {kind}"
        else:
            lines.append(f"+ {kind}" if not lines else kind)
    return lines
