"""`pipelines models | promote | rollback`: what was pushed, and which of it serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.contract import find_model
from runners.options import AnyModel, AsJson, ModelName, Root

if TYPE_CHECKING:
    from pipeline.push.serving_version import Chosen
    from runners.pushed_models import Line, PushedVersion

DIGEST_SHOWN = 8
"""Characters of a digest in the table; `--json` gives it in full."""

WIDTH = 100
"""Columns that the table may take, however narrow the screen is: numbers are there to be copied."""

Destination = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
    typer.Option(metavar="ADDRESS", help="A gates.destination, folder or gs://bucket/folder; ROOT/pushed if left out."),
]
LineName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--line", metavar="NAME", help="Data line such as main, or pushed folder, where there are several."),
]
Number = Annotated[int, typer.Argument(metavar="VERSION", help="Number of a pushed version.", min=0)]


def models(
    model: AnyModel = None,
    root: Root = Path("runs"),
    destination: Destination = None,
    as_json: AsJson = False,
) -> None:
    """List pushed versions: what the gates measured, which one serves, and which is the champion."""
    from runners import pushed_models

    base = pushed_models.base_of(root, destination)
    name = find_model(model).name if model else None
    found = [pushed_models.look(root, base, line) for line in pushed_models.lines(base, name)]
    if as_json:
        typer.echo(json.dumps([line.model_dump(mode="json") for line in found], indent=2))
        return
    console = Console()
    console.width = max(console.width, WIDTH)
    for line in found:
        _show(console, line)
    if not found:
        todo = f"pipelines run {name or 'MODEL'}"
        console.print(f"Nothing was pushed to {base} yet. Try: {todo}", markup=False, soft_wrap=True)


def promote(
    model: ModelName,
    version: Number,
    root: Root = Path("runs"),
    line: LineName = None,
    destination: Destination = None,
) -> None:
    """Make a pushed version serve, until a newer one is pushed."""
    from pipeline.push import serving_version
    from runners.pushed_models import base_of, find_line

    folder = find_line(base_of(root, destination), find_model(model).name, line, version)
    _tell(folder, serving_version.promote(folder, version))


def rollback(
    model: ModelName,
    to: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--to", metavar="VERSION", help="An older version; the one before, if left out.", min=0),
    ] = None,
    root: Root = Path("runs"),
    line: LineName = None,
    destination: Destination = None,
) -> None:
    """Make an older version serve, until a newer one is pushed."""
    from pipeline.push import serving_version
    from runners.pushed_models import base_of, find_line

    folder = find_line(base_of(root, destination), find_model(model).name, line, to)
    _tell(folder, serving_version.rollback(folder, to))


def _tell(folder: str, chosen: Chosen) -> None:
    """Says what serves now, and what that means for the next run."""
    told = [f"Version {chosen.version.number} of {folder} serves already: nothing was changed."]
    if chosen.changed:
        instead = f", instead of {chosen.before}" if chosen.before else ""
        told = [
            f"Version {chosen.version.number} of {folder} serves now{instead}, until a newer one is pushed.",
            "The next candidate is compared with it. Servers load it when they look next.",
        ]
    for text in told:
        Console().print(text, markup=False, highlight=False, soft_wrap=True)


def _show(console: Console, line: Line) -> None:
    table = Table(title=escape(line.name), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("version", "pushed", "metrics", "digest", "files", ""):
        table.add_column(column, overflow="fold")
    for version in line.versions:
        table.add_row(*_row(version))
    console.print(table)
    for note in _notes(line):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _notes(line: Line) -> Iterator[str]:
    choice = line.choice
    if choice and choice.version != choice.instead_of:
        yield f"Version {choice.version} serves although {choice.instead_of} is there: {choice.why} of {choice.at}."
    if line.versions and not any(version.champion for version in line.versions):
        yield "None of these is known to this root as the champion of its next run."
    if line.problem:
        yield f"Problem: {line.problem}"
    for version in line.versions:
        if version.problem:
            yield f"Problem: {version.problem}"


def _row(version: PushedVersion) -> tuple[str, ...]:
    measured = (f"{name} {'undefined' if value is None else f'{value:.4g}'}" for name, value in version.metrics.items())
    return (
        str(version.version),
        version.pushed_at[:16].replace("T", " ") + ("Z" if version.pushed_at else ""),
        escape("\n".join(measured)),
        version.model_digest[:DIGEST_SHOWN],
        "whole" if version.state == "whole" else "[bold red]damaged[/]",
        ", ".join(["[bold green]serves[/]"] * version.serves + ["champion"] * bool(version.champion)),
    )
