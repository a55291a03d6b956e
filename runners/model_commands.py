"""Commands that models add to the command line: listed from their contracts, imported when they are used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer
from rich.console import Console

from pipeline.contract import Command, Lent, Model, UserError, find_model, load, model_names
from pipeline.ingestion.decoding import upright_rgb
from pipeline.push import Version, verify, versions
from pipeline.push.serving_version import serving
from pipeline.push.version import MODEL_FILE

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""What is typed after a model's command, `--help` included, is for the model's own function to read."""


def add_model_commands(app: typer.Typer) -> None:
    """Adds the commands of all models to the command line; a model that cannot be imported is told, and adds none."""
    for name in model_names():
        try:
            model = find_model(name)
        except Exception as error:  # Whatever is wrong with one model must not take the others' commands away.
            Console(stderr=True).print(f"Without the commands of models/{name}: {type(error).__name__}: {error}")
            continue
        for command in model.commands:
            app.command(command.name, help=command.help, context_settings=PASSED_ON)(_lazy(model, command))


def _lazy(model: Model, command: Command) -> Callable[[typer.Context], None]:
    def call(context: typer.Context) -> None:
        own = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        own.command(help=command.help)(load(command.function))
        lent = Lent(partial(find_pushed, model), upright_rgb)
        own(args=context.args, prog_name=f"pipelines {command.name}", obj=lent)

    return call


def find_pushed(model: Model, root: Path, version: str | None = None) -> Path:
    """Returns the folder of a pushed version of a model, verified; see `pipeline.contract.Lent`.

    If none is named, the version that serves, of the line that was pushed to last.
    """
    if version and (Path(version) / MODEL_FILE).is_file():
        verify(Path(version))
        return Path(version)
    found = [pushed for folder in sorted((root / "pushed").glob(f"{model.name}-*")) for pushed in versions(str(folder))]
    wanted = [pushed for pushed in found if version in (None, str(pushed.number))]
    if not wanted:
        raise _not_there(model, root, version, found)
    newest = Path(max(wanted).path)
    served = None if version else serving(str(newest.parent))
    path = Path(served.path) if served else newest
    verify(path)
    return path


def _not_there(model: Model, root: Path, version: str | None, found: list[Version]) -> UserError:
    listed = ", ".join(str(pushed.number) for pushed in found) or "none"
    return UserError(
        expected=f"a pushed model of {model.name} below {root}" + (f", version {version}" if version else ""),
        received=f"versions there: {listed}",
        todo=f"name one of these or the folder of one with --model, or push one: pipelines run {model.name}",
    )
