"""`pipelines rehearse`: runs what is compiled for Vertex AI on this machine, node by node."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from pipeline.contract import Model, UserError, find_model
from runners.options import Data, Environment, ModelName, Root, Set, pairs

Spec = Annotated[
    Optional[Path],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
    typer.Option(help="A compiled pipeline, as `pipelines compile` writes it. Compiled now if left out."),
]
Map = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--map", metavar="gs://…=FOLDER", help="A folder or file in place of an address. May be repeated."),
]
Parameter = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--param", metavar="NAME=VALUE", help="A runtime parameter of the pipeline. May be repeated."),
]
Python = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="PATH", help="Interpreter in the place of the image; the one that runs this if left out."),
]


def rehearse(
    model: ModelName,
    spec: Spec = None,
    data: Data = None,
    assignments: Set = None,
    env: Environment = "vertex",
    root: Root = Path("runs"),
    maps: Map = None,
    params: Parameter = None,
    python: Python = None,
    cache: Annotated[bool, typer.Option(help="Take unchanged nodes from earlier rehearsals.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print an event a line, the result last.")] = False,
) -> None:
    """Run what is compiled for Vertex AI on this machine: each node as the process that its container would be.

    Exit codes: 0 pushed or nothing new to push; 1 failed; 2 mistake in command, spec or settings; 3 refused by a gate;
    130 interrupted by Ctrl-C, 143 by SIGTERM.
    """
    from rich.markup import escape

    from runners import output, progress
    from runners.vertex.rehearsal import Substitutions, prepare

    with progress.without_traceback(as_json=as_json):
        contract = find_model(model)
        compiled = read_spec(spec) if spec else _compiled(contract, env, assignments, data, root)
        prepared = prepare(
            compiled,
            store=root / "rehearsal",
            substitutions=Substitutions({address: Path(path) for address, path in pairs("--map", maps).items()}),
            parameters=pairs("--param", params),
            python=python or sys.executable,
            environment={} if python else _where_the_project_is(),
            use_cache=cache,
        )
        with (
            output.libraries_log_to(prepared.folder / "rehearsal.log") as console,
            progress.view(console, quiet=quiet, as_json=as_json) as view,
        ):
            view.begin(prepared.heading(contract.title, model, str(spec or f"compiled for {env}")))
            result = prepared.execute(view.observe)
            view.end(result)
            if result.destination and not (quiet or as_json):
                console.print(f"It stands for {escape(result.destination)}", soft_wrap=True, highlight=False)
    raise typer.Exit(result.exit_code)


def _where_the_project_is() -> dict[str, str]:
    """This interpreter's nodes find the project where this process found it."""
    return {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}


def _compiled(
    model: Model, env: str | None, assignments: list[str] | None, data: Path | None, root: Path
) -> dict[str, Any]:
    """Returns the model's pipeline as it would be submitted."""
    raise UserError(expected="a compiled pipeline of the model", received="none", todo="name its file with --spec")
