"""What the colorizer adds to a report, from errors made by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from models.colorizer import MODEL
from pipeline.contract import Exhibit, Listing, Plot, Sheet, Shown, load
from runners.reports.exhibits import show

PNG = b"\x89PNG of "


def table(errors: Sequence[float], classes: Sequence[str] = ("Cat", "Dog"), **columns: Any) -> pa.Table:
    """Predictions of pictures whose gray copy is off by .2 and whose tint by .1."""
    rows = len(errors)
    made = {
        "file": [f"{row}.png" for row in range(rows)],
        "class": [classes[row % len(classes)] for row in range(rows)],
        "luminance_band": ["dark"] * rows,
        "error": errors,
        "gray_error": [0.2] * rows,
        "tint_error": [0.1] * rows,
        "ssim": [0.5] * rows,
        "colourfulness": [30.0] * rows,
        "true_colourfulness": [40.0] * rows,
    }
    return pa.table({**made, **columns})


def pictures() -> pa.Table:
    kept = table([0.01, 0.04, 0.3]).append_column("kind", pa.array(["best", "median", "worst"]))
    for name in ("gray", "predicted", "true"):
        kept = kept.append_column(name, pa.array([PNG + f"{name} {row}".encode() for row in range(3)], pa.binary()))
    return kept


def exhibits(illustrations: Any = None, **splits: pa.Table) -> list[Exhibit]:
    assert MODEL.exhibits.evaluation
    return list(load(MODEL.exhibits.evaluation)(Shown(splits, {}, illustrations)))


def plot(found: list[Exhibit], title: str) -> tuple[Plot, Any]:
    """The plot whose title begins so, and its axes, drawn."""
    (chosen,) = [each for each in found if isinstance(each, Plot) and each.title.startswith(title)]
    figure = Figure()
    chosen.draw(figure)
    return chosen, figure.axes[0]


def listing(found: list[Exhibit]) -> Listing:
    (chosen,) = [each for each in found if isinstance(each, Listing)]
    return chosen


def test_the_error_stands_beside_those_of_gray_and_one_tint_for_each_split() -> None:
    found = listing(exhibits(eval=table([0.04, 0.06]), test=table([0.04]), train=table([0.02] * 5)))
    assert [row[:2] for row in found.rows] == [("eval", 2), ("test", 1), ("train", 5)]
    assert found.columns[2:5] == ("error, colorizer", "error, left gray", "error, one tint")
    assert found.rows[0][2:5] == pytest.approx((0.05, 0.2, 0.1))
    assert found.rows[1][5:] == pytest.approx((20, 13.01, 16.02))
    assert "On the eval split the colorizer's error is 0.05, 75% less than left gray and 50% less" in found.says
    assert "trained on it is 0.02: it knows those by heart" in found.says


def test_a_model_that_is_worse_than_one_tint_is_said_to_be() -> None:
    found = listing(exhibits(eval=table([0.15]), train=table([0.14])))
    assert "25% less than left gray and 50% more than one tint" in found.says
    assert "trained on it is 0.14: new ones are as easy" in found.says


def test_records_of_before_there_were_pictures_and_train_predictions() -> None:
    found = exhibits(eval=table([0.04]), test=table([0.05]))
    assert [row[0] for row in listing(found).rows] == ["eval", "test"]
    assert not [each for each in found if isinstance(each, Sheet)]


def test_a_run_without_predictions_shows_nothing() -> None:
    assert exhibits() == []


def test_the_sheets_are_best_median_and_worst_with_the_error_under_each() -> None:
    best, median, worst = (each for each in exhibits(pictures(), eval=table([0.1])) if isinstance(each, Sheet))
    assert [sheet.title.split()[2] for sheet in (best, median, worst)] == ["best", "median", "worst"]
    assert median.columns == ("gray", "predicted", "true")
    ((caption, shown),) = median.rows
    assert caption == "1.png: error 0.04 (gray 0.2)"
    assert shown == (PNG + b"gray 1", PNG + b"predicted 1", PNG + b"true 1")
    assert "Nearer to the truth than one tint: 1 of 1" in best.says
    assert "Nearer to the truth than one tint: 0 of 1" in worst.says


def test_classes_are_sorted_the_worst_on_top_with_the_number_of_their_pictures() -> None:
    chosen, axes = plot(exhibits(eval=table([0.05, 0.3, 0.07, 0.1, 0.1], ["Cat", "Dog", "US$ $1"])), "Error by class")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["US$ $1 (1)", "Cat (2)", "Dog (2)"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.07, 0.075, 0.2])
    assert "greatest for Dog (0.2) and least for US$ $1 (0.07)" in chosen.says
    assert "one tint is better for 1 of 3, most of all for Dog" in chosen.says


def test_of_many_classes_those_with_most_pictures_have_bars() -> None:
    names = [f"breed {number}" for number in range(50)]
    chosen, axes = plot(exhibits(eval=table([0.05] * 90, names)), "Error by class")
    assert len(axes.patches) == 40
    assert {f"breed {number} (2)" for number in range(40)} == {tick.get_text() for tick in axes.get_yticklabels()}
    assert "the 40 that have most pictures" in chosen.says


def test_pictures_that_are_all_of_one_brightness_are_not_compared_by_it() -> None:
    found = exhibits(eval=table([0.05, 0.1]))
    assert not [each for each in found if "brightness" in each.title]


def test_error_by_brightness_the_worst_first() -> None:
    found = exhibits(eval=table([0.05, 0.15, 0.07], luminance_band=["dark", "bright", "dark"]))
    (_, by_brightness) = (each for each in found if isinstance(each, Listing))
    assert [row[:2] for row in by_brightness.rows] == [("bright", 1), ("dark", 2)]
    assert [row[2:] for row in by_brightness.rows] == [pytest.approx((0.15, 0.2, 0.1)), pytest.approx((0.06, 0.2, 0.1))]
    assert "greatest for bright (0.15) and least for dark (0.06); one tint is better for 1 of 2" in by_brightness.says


def test_colourfulness_of_many_pictures_is_drawn_of_a_part_and_says_so() -> None:
    true = np.r_[np.full(1250, 20.0), np.full(3750, 40.0)]
    chosen, axes = plot(exhibits(eval=table([0.05] * 5000, true_colourfulness=true)), "Colourfulness")
    assert "75% of the pictures are paler than the truth; all together are 86% as colourful" in chosen.says
    assert "1,667 of 5,000 pictures are drawn" in chosen.says
    assert len(axes.collections[0].get_offsets()) == 1667


def test_gray_truths_only() -> None:
    found = exhibits(eval=table([0.05] * 2, gray_error=[0.0] * 2, true_colourfulness=[0.0] * 2))
    assert "not comparably" in plot(found, "Colourfulness")[0].says
    assert "more than left gray" in listing(found).says


def test_all_of_it_becomes_a_part_of_a_page() -> None:
    page = str(show(exhibits(pictures(), eval=table([0.05, 0.1], ["<b>Cat</b>", "$Dog$"]), train=table([0.05]))))
    assert len(re.findall("<svg", page)) == 2
    assert len(re.findall('<img src="data:image/png;base64,', page)) == 9
    assert 'alt="1.png: error 0.04 (gray 0.2), predicted"' in page
    assert "<b>" not in page
    assert "&lt;b&gt;Cat&lt;/b&gt; (1)" in page
    assert "$Dog$ (1)" in page


def test_a_report_needs_no_tensorflow() -> None:
    command = "import sys, models.colorizer.report; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
