"""`pipelines check-container`: whether a server of another TensorFlow can take a pushed model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console

from pipeline.contract import find_model
from runners.options import ModelName, Root

NEWEST = "2.15"
"""TensorFlow of Vertex AI's newest prebuilt container, tf2-cpu.2-15."""


def check_container(
    model: ModelName,
    version: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--model", metavar="VERSION|FOLDER", help="A pushed version; the one that serves if left out."),
    ] = None,
    tensorflow: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help=f"Version of the container's TensorFlow; {NEWEST}, Vertex AI's newest, if left out."),
    ] = None,
    python: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="An interpreter that has this TensorFlow: the model is loaded and asked by it, too."),
    ] = None,
    root: Root = Path("runs"),
) -> None:
    """Check whether a prebuilt container of Vertex AI, whose TensorFlow is older, could serve a pushed model.

    Exit codes: 0 nothing speaks against it; 1 it could not; 2 a mistake in the command.
    """
    from runners.model_commands import find_pushed
    from runners.serving import prebuilt
    from runners.serving.loaded import LoadedModel

    folder = find_pushed(find_model(model), root, version)
    wanted = tensorflow or NEWEST
    findings: list[prebuilt.Finding] = []
    if python is None or wanted in prebuilt.recorded():
        findings += prebuilt.compare_graph(folder, prebuilt.known_to(wanted))
    if python is not None:
        findings += prebuilt.ask_elsewhere(LoadedModel.load(folder), str(python), wanted)
    console = Console()
    console.print(f"{folder} in a server of TensorFlow {wanted}", markup=False, highlight=False, soft_wrap=True)
    for finding in findings:
        mark = "[green]     ok[/]" if finding.good else "[red]problem[/]"
        console.print(f"{mark}  {finding.name}: ", end="")
        console.print(finding.message, markup=False, highlight=False, soft_wrap=True)
    if python is None:
        hint = "Nothing was loaded: that is tried with --python, an interpreter that has it."
        console.print(hint, markup=False, soft_wrap=True)
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)
