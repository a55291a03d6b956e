"""What people read of a backtest."""

from __future__ import annotations

from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from runners.backtest.backtesting import Backtested, Forward, Line
from runners.backtest.scores import Score
from runners.backtest.telling import sentences, show

GOOD = Score(
    rows=1234, subjects=1200, mae=400, rule_mae=500, ratio=0.8, low=0.7, high=0.9, bias=-0.1, rule_bias=0.25,
    spearman=0.5, rule_spearman=0.4, gini=0.7, rule_gini=0.6, coverage=0.79,
)  # fmt: skip
CHANCE = GOOD.model_copy(update={"low": 0.7, "high": 1.1, "coverage": None})
FEW = GOOD.model_copy(update={"low": None, "high": None, "subjects": 12})
WORSE = GOOD.model_copy(update={"ratio": 1.2, "low": 1.1, "high": 1.3})


def line(month: int, score: Score | None, outcome: Any = "pushed", *why: str) -> Line:
    return Line(cutoff=date(2011, month, 1), outcome=outcome, why=list(why), seconds=9, run_id="1", score=score)


def found(*lines: Line, forward: tuple[Forward, ...] = ()) -> Backtested:
    return Backtested(
        model="clv", data={"file": "shop.csv", "digest": "d"}, horizon_days=91, folder=Path("runs/backtests/clv-1"),
        settings={}, lines=list(lines), pooled=GOOD, forward=list(forward), forward_pooled=GOOD if forward else None,
    )  # fmt: skip


def printed(backtested: Backtested) -> list[str]:
    out = StringIO()
    show(backtested, Console(file=out, width=140))
    return [" ".join(row.split()) for row in out.getvalue().splitlines()]


def test_the_sentence_names_where_the_model_wins_and_why_it_does_not_elsewhere() -> None:
    lines = line(3, GOOD), line(4, CHANCE), line(5, FEW), line(6, WORSE), line(7, None, "refused")
    assert next(sentences(found(*lines))) == (
        "On the eval split the model beats the rule on 1 of 5 cut-offs, with the interval below 1: 2011-03-01. Not on "
        "2011-04-01 (0.800, 0.700 .. 1.100: could be chance); 2011-05-01 (0.800, of 12 subjects; an interval takes 30);"
        " 2011-06-01 (1.200, 1.100 .. 1.300: worse than the rule); 2011-07-01 (not scored: refused)."
    )


def test_a_row_has_the_figures_of_model_and_rule() -> None:
    rows = printed(found(line(3, GOOD), line(4, None, "failed", "expected more rows")))
    assert "2011-03-01 1,234 400 500 0.800 0.700 .. 0.900 -10% +25% 0.50 0.70 79% + pushed" in rows
    assert "2011-04-01 - - - - - - - - - - ! failed" in rows
    assert "2011-04-01: expected more rows" in rows
    assert any(row.startswith("all 1,234 400") for row in rows)
    assert any(row.startswith("No model was trained 90 days or more before another cut-off") for row in rows)


def test_of_many_reasons_a_few_are_printed_and_the_others_counted() -> None:
    rows = printed(found(line(3, None, "refused", *(f"data gate: [bold]{number}" for number in range(9)))))
    assert [row for row in rows if "data gate" in row] == [f"2011-03-01: data gate: [bold]{n}" for n in range(5)]
    assert "2011-03-01: and 4 more, in backtest.json" in rows


def test_a_second_table_for_models_that_are_used_later() -> None:
    pair = Forward(trained=date(2011, 3, 1), used=date(2011, 6, 1), outcome="refused", score=GOOD)
    backtested = found(line(3, GOOD), line(6, GOOD), forward=(pair,))
    rows = printed(backtested)
    assert "2011-03-01 2011-06-01 1,234 400 500 0.800 0.700 .. 0.900 -10% +25% 0.50 0.70 79% x refused" in rows
    assert list(sentences(backtested))[1].endswith(
        "on 1 of 1 cut-offs, with the interval below 1: 2011-03-01 used at 2011-06-01."
    )


def test_the_exit_code_says_whether_each_cutoff_was_scored() -> None:
    assert found(line(3, GOOD), line(4, WORSE, "refused")).exit_code == 0
    assert found(line(3, GOOD), line(4, None, "refused")).exit_code == 3
