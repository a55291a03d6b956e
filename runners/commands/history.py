"""`pipelines history`: where a model's gate metrics are going, run by run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.contract import UserError, find_model
from runners.commands.runs import OUTCOMES, print_none, wide_console
from runners.options import AsJson, ModelName, Root

if TYPE_CHECKING:
    from runners.history import Entry, Line, Trend


def history(
    model: ModelName,
    root: Root = Path("runs"),
    line: Annotated[
        Optional[str],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
        typer.Option("--line", metavar="NAME", help="Data line such as main, or pipeline; all of them if left out."),
    ] = None,
    as_json: AsJson = False,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.html", help="Write a page with plots, too."),
    ] = None,
) -> None:
    """Show the trend of each gate metric of a model over its runs: pushed, refused, failed."""
    from runners.history import history as lines_of

    contract = find_model(model)
    lines = lines_of(root, contract, line)
    if out:
        from runners.reports.trends import page

        _write(out, page(contract, lines, root, out))
    if as_json:
        typer.echo(json.dumps([_plain(found) for found in lines], indent=2))
        return
    if not lines:
        print_none(root, contract.name)
    console = wide_console()
    for found in lines:
        if not out:  # The page has them, and a table of hundreds of runs takes a while.
            console.print(_runs(found))
        console.print(_trends(found))
    if out:
        Console().print(f"Page: {out}", markup=False, highlight=False, soft_wrap=True)


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(expected="a file to write to", received=str(error), todo="choose another --out") from error


def _plain(line: Line) -> dict[str, Any]:
    trends = {trend.metric: {**trend._asdict(), "best": trend.best()} for trend in line.trends}
    return {"pipeline": line.pipeline, "runs": [entry._asdict() for entry in line.entries], "trends": trends}


def _runs(line: Line) -> Table:
    runs = _table(line.pipeline, "run", "started", "outcome", "why", *(trend.metric for trend in line.trends))
    for entry in line.entries:
        runs.add_row(entry.run_id, entry.started, _outcome(entry), escape(entry.why), *_measured(entry, line))
    return runs


def _trends(line: Line) -> Table:
    title = f"{line.pipeline}, {len(line.entries)} run{'s' * (len(line.entries) != 1)}"
    trends = _table(title, "gate metric (eval)", "trend", "first", "best", "last", "bound")
    for trend in line.trends:
        trends.add_row(*_trend(trend))
    return trends


def _table(title: str, *columns: str) -> Table:
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in ("run", "started", "outcome", "trend"))
    return table


def _outcome(entry: Entry) -> str:
    return OUTCOMES[entry.outcome] + (f": {entry.gate} gate" if entry.gate else "")


def _measured(entry: Entry, line: Line) -> list[str]:
    return [_figure(entry.metrics[trend.metric]) if trend.metric in entry.metrics else "" for trend in line.trends]


def _trend(trend: Trend) -> tuple[str, ...]:
    from runners.history import sparkline

    known = [value for value in trend.values if value is not None]
    first, last = (known[0], known[-1]) if known else (None, None)
    numbers = ["-" if value is None else _figure(value) for value in (first, trend.best(), last)]
    bound = f"{trend.bound} (set anew within these runs)" if len(set(trend.bounds)) > 1 else trend.bound
    return (trend.metric, sparkline(trend.values), *numbers, bound)


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"
