"""`pipelines report`: makes the report of a run again, and opens it."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from runners.options import Root

RunId = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
    typer.Argument(metavar="[RUN]", help="Id of a run, or its beginning; the newest run if left out."),
]


def report(
    run: RunId = None,
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
