"""What a report shows of the colorizer's pictures, drawn as a report draws it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from PIL import Image

from models.colorizer import MODEL
from models.colorizer.exploring import PICTURES, SIDE
from pipeline.contract import Exhibit, Plot, Sheet, Shown, load


def png(side: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, "PNG")
    return file.getvalue()


def pictures(classes: Sequence[str], *, side: int = 16, shown: int = 1000, **columns: Any) -> pa.Table:
    """Pictures of classes, the first few with their pixels."""
    rows = np.arange(len(classes))
    usual: dict[str, Any] = {
        "file": [f"{name}_{row}.jpg" for row, name in zip(rows, classes, strict=True)],
        "class": list(classes),
        "width": 300 + rows % 2,
        "height": np.full(len(rows), 300),
        "colourfulness": np.linspace(20, 60, len(rows)),
        "mean_luminance": np.linspace(0.2, 0.8, len(rows)),
        "gray": [png(side, "L") if row < shown else None for row in rows],
        "colour": [png(side) if row < shown else None for row in rows],
    }
    return pa.table({**usual, **columns})


def exhibits(**tables: pa.Table) -> dict[str, Exhibit]:
    assert MODEL.exhibits.data
    return {exhibit.title: exhibit for exhibit in load(MODEL.exhibits.data)(Shown(tables, {}))}


def drawn(exhibit: Exhibit) -> Figure:
    assert isinstance(exhibit, Plot)
    figure = Figure()
    exhibit.draw(figure)
    figure.canvas.draw_idle()
    return figure


def sheet(exhibit: Exhibit) -> Sheet:
    assert isinstance(exhibit, Sheet)
    return exhibit


def test_the_sheet_has_as_many_of_each_class_and_says_what_they_are() -> None:
    shown = sheet(exhibits(train=pictures(["cat"] * 50 + ["dog"] * 6 + ["bird"]))["Pictures that it learns from"])
    names = [name for name, _ in shown.rows]
    assert len(names) == PICTURES
    assert [sum(animal in name for name in names) for animal in ("bird_", "cat_", "dog_")] == [1, 6, 5]
    assert names[0] == "bird_56.jpg: bird, 300 x 300 pixels"


def test_large_pictures_are_made_smaller_and_those_without_pixels_are_left_out() -> None:
    shown = sheet(exhibits(train=pictures(["cat"] * 9, side=300, shown=4))["Pictures that it learns from"])
    assert len(shown.rows) == 4
    for _, versions in shown.rows:
        assert [Image.open(io.BytesIO(version)).size for version in versions] == [(SIDE, SIDE)] * 2


def test_thirty_seven_breeds_are_readable_and_a_lacking_one_is_named() -> None:
    breeds = [f"breed {number:02} with a very long name indeed $x" for number in range(37)]
    found = exhibits(train=pictures(breeds * 3), eval=pictures(breeds[:-1]))["Classes by split"]
    assert isinstance(found, Plot)
    assert "Lacking: breed 36" in found.says
    figure = drawn(found)
    assert len(figure.axes[0].get_yticklabels()) == 37
    assert figure.axes[0].get_yticklabels()[-1].get_text() == "breed 00 with a very long..."
    assert found.height > 10


def test_sizes_and_looks_say_what_was_found() -> None:
    found = exhibits(train=pictures(["cat"] * 10), eval=pictures(["cat"] * 4, width=[100, 900, 300, 300]))
    sizes, looks = found["Original sizes"], found["Colourfulness and luminance"]
    assert "100 x 300 pixels is the narrowest, 900 x 300 the widest" in sizes.says
    assert "43% are wider than high, 7% higher than wide" in sizes.says
    assert "median colourfulness 40 in train, 40 in eval" in looks.says
    assert len(drawn(sizes).axes) == 1
    assert len(drawn(looks).axes) == 2
    assert "Classes by split" not in found


def test_a_split_without_pictures_is_left_out() -> None:
    assert exhibits(train=pictures([])) == {}
    assert "Original sizes" in exhibits(train=pictures(["cat"]), eval=pictures([]))
