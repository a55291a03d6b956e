"""`pipelines report`: makes the report of a run again, and opens it."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from runners.options import AnyRun, Root


def report(
    run: AnyRun = None,
    root: Root = Path("runs"),
    open_it: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = True,
) -> None:
    """Make the report of a run again, from its record and the metadata store, and open it."""
    from runners.reports.facts import gather
    from runners.reports.report import write

    path = write(gather(root.resolve(), run))
    Console().print(f"Report: {path}", markup=False, highlight=False, soft_wrap=True)
    if open_it:
        webbrowser.open(path.as_uri())
