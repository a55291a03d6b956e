"""`pipelines rehearse`: runs what is compiled for Vertex AI on this machine, node by node."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from pipeline.contract import find_model
from runners.commands.compiling import VertexEnvironment
from runners.options import Data, ModelName, Root, Set, environment_file, layers, pairs

if TYPE_CHECKING:
    from pipeline.contract import Model
    from runners.run import Run
    from runners.vertex.rehearsal import Substitutions
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

    from runners import output, progress
    from runners.vertex.rehearsal import prepare

    with progress.without_traceback(as_json=as_json):
        contract = find_model(model)
        folders = {address: Path(path) for address, path in pairs("--map", maps).items()}
        with _played(contract, spec, data, assignments, env, root, folders) as (compiled, substitutions):
            prepared = prepare(
                compiled,
                store=root / "rehearsal",
                substitutions=substitutions,
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


@contextmanager
def _played(
    model: Model,
    file: Path | None,
    data: Path | None,
    assignments: list[str] | None,
    env: str,
    root: Path,
    folders: dict[str, Path],
) -> Iterator[tuple[dict[str, Any], Substitutions]]:
    """Yields what is rehearsed, and on what. A file without raw data needs no environment."""
    from runners import run
    from runners.vertex.rehearsal import Substitutions
    from runners.vertex.settings import read_vertex
    from runners.vertex.spec import read_spec
    from runners.vertex.stage import stage

    compiled = read_spec(file) if file else None
    if compiled is not None and data is None:
        yield compiled, Substitutions(folders)
        return
    vertex = read_vertex(environment_file(env))
    prepared = run.prepare(model, root, data=data, layers=layers(model, env, assignments))
    with stage(prepared, vertex, folders) as substitutions:
        yield compiled or _compiled(prepared, vertex), substitutions


def _where_the_project_is() -> dict[str, str]:
    """This interpreter's nodes find the project where this process found it."""
    return {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}


def _compiled(played: Run, vertex: VertexSettings) -> dict[str, Any]:
    """Returns the model's pipeline as it would be submitted, for the data that it is rehearsed with."""
    from runners.output import libraries_log_to

    with libraries_log_to(played.root / "compile.log"):
        from runners.vertex.compiling import compile_spec

        return compile_spec(played.model, played.settings, vertex, state=played.raw.digest)
