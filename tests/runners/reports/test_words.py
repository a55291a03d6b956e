"""What reports call a metric: its docstring's first paragraph, whatever its module would import."""

from __future__ import annotations

import sys

from pipeline.contract import find_model
from runners.reports.words import says


def test_every_metric_and_naive_rule_says_what_it_is() -> None:
    for name in ("clv", "colorizer"):
        model = find_model(name)
        for dotted in (model.naive, *(metric.function for metric in model.metrics)):
            assert len(says(dotted)) > 20, dotted
            assert not says(dotted).startswith("Returns")


def test_a_phrase_begins_with_a_capital_letter() -> None:
    assert says("pipeline.metrics.mae") == "The mean absolute error, in the label's unit; NaN without rows."


def test_modules_are_read_and_not_imported() -> None:
    before = set(sys.modules)
    assert says("models.colorizer.naive.tint")
    assert "models.colorizer.naive" not in set(sys.modules) - before


def test_what_is_not_there_says_nothing() -> None:
    assert says("pipeline.metrics.no_such") == ""
    assert says("runners.no_such_module.naive") == ""
