"""`pipelines compare`: two runs side by side."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runners.commands.runs import OUTCOMES, wide_console
from runners.options import AsJson, Root

if TYPE_CHECKING:
    from runners.comparing import Row
    from runners.run import RunResult

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or its beginning.")]


def compare(
    first: RunId,
    second: RunId,
    root: Root = Path("runs"),
    as_json: AsJson = False,
    everything: Annotated[bool, typer.Option("--all", help="Show what is the same, too.")] = False,
    slices: Annotated[bool, typer.Option("--slices", help="Compare the metrics of each slice, too.")] = False,
) -> None:
    """Compare two runs: settings, data, code, machine, metrics, checks and seconds. Shows what differs."""
    from runners import comparing
    from runners.records import find_record

    sides = find_record(root, first), find_record(root, second)
    rows = comparing.compare(*sides, slices=slices)
    shown = [row for row in rows if row.differs or everything]
    if as_json:
        named = dict(zip(("first", "second"), (side.run_id for side in sides), strict=True))
        same = sum(not row.differs for row in rows)
        typer.echo(json.dumps({**named, "same": same, "rows": [row._asdict() for row in shown]}, indent=2))
        return
    _print(wide_console(), sides, rows, shown)


def _print(console: Console, sides: tuple[RunResult, RunResult], rows: tuple[Row, ...], shown: list[Row]) -> None:
    from runners.comparing import on_same_rows

    for name, side in zip(("first ", "second"), sides, strict=True):
        console.print(f"{name}  {side.run_id}  {escape(side.pipeline)}  {OUTCOMES[side.outcome]}", highlight=False)
    if sides[0].pipeline != sides[1].pipeline:
        console.print("These are runs of different pipelines: their models do not compete.", style="yellow")
    elif not on_same_rows(rows):
        console.print("Data or features differ: the metrics are not those of the same rows.", style="yellow")
    for part, group in groupby(shown, key=lambda row: row.part):
        console.print(_table(part, list(group)))
    same = sum(not row.differs for row in rows)
    hint = "" if len(shown) == len(rows) else " (--all shows them)"
    console.print(f"{len(rows) - same} differ, {same} are the same{hint}.", highlight=False)


def _table(part: str, rows: list[Row]) -> Table:
    from runners.comparing import judged, text

    measured = any(row.difference is not None for row in rows)
    table = Table(title=part.capitalize(), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "", "first", "second", *(["second against first"] if measured else [])):
        table.add_column(column, overflow="fold")
    for row in rows:
        mark = "[bold yellow]*[/]" if row.differs else ""
        told = [escape(told) for told in (row.what, text(row.first), text(row.second))]
        table.add_row(mark, *told, *([escape(judged(row))] if measured else []))
    return table
