"""The report's section "Evaluation": how close each bound was, the rivals, and what the model shows besides."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.contract import Exhibit, Plot, Shown, load
from pipeline.predictions import ACTUAL, PREDICTED
from runners.reports import rivals
from runners.reports.bullets import WIDTH, judged
from runners.reports.exhibits import attempt, show
from runners.reports.facts import Facts
from runners.reports.pages import render
from runners.reports.words import says

POINTS = 600
"""Most points that are drawn of a split."""


def section(facts: Facts) -> Markup | None:
    """Returns the section, or None where nothing was predicted and the model gate not reached."""
    found = judged(facts)
    if not found and not facts.predictions:
        return None
    contests = rivals.contests(facts)
    return render(
        "evaluation.html",
        judged=found,
        width=WIDTH,
        against=any(bullet.champion is not None for one in found for bullet in one.bullets),
        naive=any(bullet.naive is not None for one in found for bullet in one.bullets),
        contests=contests,
        compared=any(len(contest.rivals) > 1 for contest in contests),
        rules={name: says(path) for name, path in {rivals.NAIVE_RULE: facts.model.naive, **facts.model.rules}.items()},
        unknown=rivals.without_columns(facts),
        exhibits=attempt("What the model adds to this section", partial(_exhibits, facts)) or "",
    )


def _exhibits(facts: Facts) -> Markup:
    """What the model shows of its predictions; of one that shows nothing, predicted against actual."""
    shown = Shown(facts.predictions, facts.result.settings, facts.illustrations)
    path = facts.model.exhibits.evaluation
    exhibits: Iterable[Exhibit] = load(path)(shown) if path and facts.predictions else _scatter(shown)
    return show(exhibits)


def _scatter(shown: Shown) -> Iterable[Plot]:
    tables = {split: table for split, table in shown.tables.items() if table.num_rows}
    pairs = {
        split: tuple(tables[split].column(name).to_numpy() for name in (ACTUAL, PREDICTED))
        for split in rivals.SPLITS
        if split in tables and {ACTUAL, PREDICTED} <= set(tables[split].column_names)
    }
    if pairs:
        told = "; ".join(
            f"{split}: half of {len(actual):,} rows are off by at most {np.median(abs(predicted - actual)):.4g}"
            for split, (actual, predicted) in pairs.items()
        )
        yield Plot(
            "Predicted against actual",
            f"A point is a row; on the line the prediction is what came. {told}. At most {POINTS} points, evenly "
            "chosen, are drawn of a split.",
            partial(_draw, pairs),
            3.6,
        )


def _draw(pairs: dict[str, tuple[Any, ...]], figure: Any) -> None:
    panels = figure.subplots(1, len(pairs), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (split, (actual, predicted)) in zip(panels, pairs.items(), strict=True):
        step = -(-len(actual) // POINTS)
        axes.plot(actual[::step], predicted[::step], "o", markersize=2.4, alpha=0.45, color="C0")
        ends = [min(actual.min(), predicted.min()), max(actual.max(), predicted.max())]
        axes.plot(ends, ends, color="C1")
        axes.set(title=split, xlabel=ACTUAL)
    panels[0].set_ylabel(PREDICTED)
