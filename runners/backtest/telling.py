"""What people see of a backtest: two tables, and in words where the model beats the rule and where not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runners.backtest.backtesting import FILE, Backtested, Line
from runners.backtest.scores import LEAST, Score
from runners.commands.runs import OUTCOMES

WIDTH = 130
"""Columns that the tables may take, however narrow the screen is."""
COLUMNS = (
    "rows", "MAE", "rule's", "ratio", "95 % interval", "bias", "rule's", "Spearman", "Gini", "in 80 %",
)  # fmt: skip

SHOWN = 5
"""Reasons that are printed of each cut-off: a refused file may have dozens."""


def show(found: Backtested, console: Console) -> None:
    """Prints the tables, why runs were refused or failed, the sentences, and where it all lies."""
    console.print(_own(found))
    for line in found.lines:
        for why in line.why[:SHOWN]:
            console.print(f"  {line.cutoff}: {escape(why)}", soft_wrap=True, highlight=False)
        if len(line.why) > SHOWN:
            console.print(f"  {line.cutoff}: and {len(line.why) - SHOWN} more, in {FILE}", highlight=False)
    if found.forward:
        console.print(_forward(found))
    for sentence in sentences(found):
        console.print(escape(sentence), soft_wrap=True, highlight=False)
    console.print(f"Table as JSON, and the runs: {found.folder / FILE}", markup=False, soft_wrap=True, highlight=False)


def sentences(found: Backtested) -> Iterator[str]:
    """Yields on how many cut-offs the model beats the rule with its whole interval, and where not and why."""
    yield _sentence("the eval split", [(str(line.cutoff), line.score, line) for line in found.lines])
    if found.forward:
        yield _sentence(
            "everybody, at a later cut-off,",
            [(f"{pair.trained} used at {pair.used}", pair.score, None) for pair in found.forward],
        )
    else:
        yield (
            f"No model was trained {found.horizon_days - 1} days or more before another cut-off: none could be asked "
            "about a later day whose future it had not seen."
        )


def _sentence(whom: str, tried: Sequence[tuple[str, Score | None, Line | None]]) -> str:
    won = [name for name, score, _ in tried if score and score.beats]
    lost = [f"{name} ({_why_not(score, line)})" for name, score, line in tried if not (score and score.beats)]
    many = f"On {whom} the model beats the rule on {len(won)} of {len(tried)} cut-offs, with the interval below 1"
    return many + (f": {', '.join(won)}" if won else "") + (f". Not on {'; '.join(lost)}." if lost else ".")


def _why_not(score: Score | None, line: Line | None) -> str:
    if score is None:
        return f"not scored: {line.outcome}" if line else "not scored"
    if score.ratio is None:
        return "the rule makes no error"
    if score.low is None or score.high is None:
        return f"{score.ratio:.3f}, of {score.subjects} subjects; an interval takes {LEAST}"
    verdict = "worse than the rule" if score.low > 1 else "could be chance" if score.ratio < 1 else "not better"
    return f"{score.ratio:.3f}, {score.low:.3f} .. {score.high:.3f}: {verdict}"


def _own(found: Backtested) -> Table:
    title = f"{found.model} on {found.data['file']}: trained as of each cut-off, scored on its eval split"
    table = _table(title, "cut-off", *COLUMNS, "gates")
    for line in found.lines:
        table.add_row(str(line.cutoff), *_cells(line.score), OUTCOMES[line.outcome])
    table.add_row("all", *_cells(found.pooled), "", style="bold")
    return table


def _forward(found: Backtested) -> Table:
    title = "Trained at one cut-off, used at the first one on which its whole label is known: everybody, all splits"
    table = _table(title, "trained", "used", *COLUMNS, "gates")
    for pair in found.forward:
        table.add_row(str(pair.trained), str(pair.used), *_cells(pair.score), OUTCOMES[pair.outcome])
    table.add_row("all", "", *_cells(found.forward_pooled), "", style="bold")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        text = name in ("cut-off", "trained", "used", "gates")
        table.add_column(name, justify="left" if text else "right", no_wrap=True)
    return table


def _cells(score: Score | None) -> tuple[str, ...]:
    if score is None:
        return ("-",) * len(COLUMNS)
    between = "-" if score.low is None or score.high is None else f"{score.low:.3f} .. {score.high:.3f}"
    return (
        f"{score.rows:,}",
        _number(score.mae, ",.0f"),
        _number(score.rule_mae, ",.0f"),
        _number(score.ratio, ".3f"),
        between,
        _number(score.bias, "+.0%"),
        _number(score.rule_bias, "+.0%"),
        _number(score.spearman, ".2f"),
        _number(score.gini, ".2f"),
        _number(score.coverage, ".0%"),
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
