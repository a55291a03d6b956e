"""`pipelines rehearse`: runs what is compiled for Vertex AI on this machine, node by node."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from pipeline.contract import find_model
from runners.commands.compiling import VertexEnvironment
from runners.options import ENVIRONMENTS, Data, ModelName, Root, Set, layers, pairs
from runners.vertex.spec import read_spec

if TYPE_CHECKING:
    from runners.run import Run
    from runners.vertex.settings import VertexSettings

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
    env: VertexEnvironment = "vertex",
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

    from runners import output, progress, run
    from runners.vertex.rehearsal import prepare
    from runners.vertex.settings import read_vertex
    from runners.vertex.stage import stage

    with progress.without_traceback(as_json=as_json):
        contract, vertex = find_model(model), read_vertex(ENVIRONMENTS / f"{env}.yaml")
        folders = {address: Path(path) for address, path in pairs("--map", maps).items()}
        played = run.prepare(contract, root, data=data, layers=layers(contract, env, assignments))
        compiled = read_spec(spec) if spec else _compiled(played, vertex)
        with stage(played, vertex, folders) as substitutions:
            prepared = prepare(
                compiled,
                store=root / "rehearsal",
                substitutions=substitutions,
                parameters=pairs("--param", params),
                python=python or sys.executable,
                environment={} if python else _where_the_project_is(),
                use_cache=cache,
                failure_policy=vertex.failure_policy,
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


def _compiled(played: Run, vertex: VertexSettings) -> dict[str, Any]:
    """Returns the model's pipeline as it would be submitted, for the data that it is rehearsed with."""
    from runners.output import libraries_log_to

    with libraries_log_to(played.root / "compile.log"):
        from runners.vertex.compiling import compile_spec

        return compile_spec(played.model, played.settings, vertex, state=played.raw.digest)
