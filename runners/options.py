"""Arguments and options that several commands share. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from pipeline.contract import Model, UserError
from pipeline.settings import read_assignments, read_environment

ENVIRONMENTS = Path("deploy/environments")

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a folder under models/, such as clv.")]
AnyModel = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
    typer.Argument(metavar="[MODEL]", help="Name of a folder under models/; all of them if left out."),
]
AnyRun = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(metavar="[RUN]", help="Id of a run, or its beginning; the newest run if left out."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Root = Annotated[Path, typer.Option(help="Folder that receives everything that runs write.")]
Set = Annotated[
    Optional[list[str]],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
    typer.Option("--set", metavar="KEY=VALUE", help="A setting, such as cutoff=2011-09-01. May be repeated."),
]
Environment = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--env", metavar="NAME", help=f"Settings from {ENVIRONMENTS}/NAME.yaml, or a .yaml file, under those of --set."
    ),
]
Data = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        help="Raw input: a table (.csv, .tsv, .txt, .gz of these, .parquet, .xlsx, .duckdb, .sqlite, .db, or a folder "
        "of such files), or pictures (a folder, .tar, .tar.gz, .zip). A generated sample if left out."
    ),
]


def environment_file(env: str) -> Path:
    """Returns the file of an environment: below the current folder, or the one that is named itself, by its ending."""
    return (Path(env) if env.endswith(".yaml") else ENVIRONMENTS / f"{env}.yaml").absolute()


def layers(model: Model, env: str | None, assignments: list[str] | None) -> tuple[dict[str, Any], ...]:
    """The layers of settings over the model's defaults: those of the environment, under those of `--set`."""
    environment = [read_environment(model, environment_file(env))] if env else []
    return (*environment, read_assignments(model, assignments or []))


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """Returns what `NAME=VALUE` options name.

    Raises:
      UserError: a text without a name or a value.
    """
    found = {}
    for text in given or []:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise UserError(expected=f"{option} NAME=VALUE", received=text, todo=f"correct {option}")
        found[name] = value
    return found
