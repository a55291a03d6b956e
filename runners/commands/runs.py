"""`pipelines runs | show`: which runs there are, and what one came to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.contract import find_model
from runners.options import AnyModel, AnyRun, AsJson, Root

if TYPE_CHECKING:
    from runners.history import Entry

WIDTH = 120
"""Columns that a table may take, however narrow the screen is: ids are there to be copied."""

OUTCOMES = {
    "pushed": "[bold green]+ pushed[/]",
    "unchanged": "[green]= unchanged[/]",
    "refused": "[bold red]x refused[/]",
    "failed": "[bold red]! failed[/]",
    "interrupted": "[yellow]! interrupted[/]",
    "unfinished": "[yellow]? unfinished (killed?)[/]",
    "running": "[cyan]> running[/]",
}


def runs(
    model: AnyModel = None,
    root: Root = Path("runs"),
    as_json: AsJson = False,
    limit: Annotated[
        Optional[int],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
        typer.Option(metavar="N", min=1, help="The newest N runs only; all of them if left out."),
    ] = None,
) -> None:
    """List the runs, the newest last: what each came to and why, and its gate metrics."""
    from runners.history import entries

    name = find_model(model).name if model else None
    found = entries(root, name)
    shown = found[-limit:] if limit else found
    if as_json:
        typer.echo(json.dumps([entry._asdict() for entry in shown], indent=2))
        return
    if not shown:
        print_none(root, name)
        return
    console = wide_console()
    console.print(_table(shown))
    if len(shown) < len(found):
        console.print(f"{len(found) - len(shown)} older ones are not shown.", highlight=False)


def show(
    run: AnyRun = None,
    root: Root = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show what a run came to, as it was shown at its end."""
    from runners.history import running, started
    from runners.output import print_result
    from runners.records import find_record, records
    from runners.run import REPORT

    result = find_record(root, run)
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
        return
    console = Console()
    begun = f"Run {result.run_id} of {result.pipeline}, {started(result)}"
    took = f", {result.seconds:.0f} s" if result.seconds else ""
    console.print(f"{begun}{took}", markup=False, highlight=False, soft_wrap=True)
    print_result(console, result, afterwards=True)
    if result.run_id == running(root, records(root)):
        console.print("It is going on: a living process holds its root.")
    report = Path(result.folder) / REPORT
    told = str(report) if report.is_file() else f"none; pipelines report {result.run_id} makes it"
    console.print(f"Report: {told}", markup=False, highlight=False, soft_wrap=True)


def wide_console() -> Console:
    """Returns a console for tables whose first column people copy."""
    console = Console()
    console.width = max(console.width, WIDTH)
    return console


def print_none(root: Path, model: str | None) -> None:
    """Says that there are no runs, and how to make one."""
    todo = f"pipelines run {model or 'MODEL'}"
    of = f" of {model}" if model else ""
    Console().print(
        f"No run{of} has left a record below {root}. Try: {todo}", markup=False, highlight=False, soft_wrap=True
    )


def _table(found: list[Entry]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("run", no_wrap=True)
    for column in ("pipeline", "started", "outcome", "why", "gate metrics (eval)"):
        table.add_column(column, overflow="fold", no_wrap=column in ("started", "outcome"))
    table.add_column("seconds", justify="right")
    table.add_column("report")
    for entry in found:
        table.add_row(*_row(entry))
    return table


def _row(entry: Entry) -> tuple[str, ...]:
    measured = (f"{name} {'undefined' if value is None else f'{value:.4g}'}" for name, value in entry.metrics.items())
    return (
        entry.run_id,
        escape(entry.pipeline),
        entry.started,
        OUTCOMES[entry.outcome],
        escape(entry.why),
        escape(", ".join(measured)),
        "" if entry.seconds is None else f"{entry.seconds:.0f}",
        "yes" if entry.report else "-",
    )
