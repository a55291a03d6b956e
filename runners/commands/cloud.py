"""`pipelines doctor --env` and `pipelines teardown`: what runs on Vertex AI need, and what they leave behind."""

from __future__ import annotations

from typing import Annotated, Optional

import typer
from rich.console import Console

from pipeline.contract import UserError
from runners.commands.jobs import Env
from runners.doctor import Finding
from runners.options import environment_file, layers

KEPT = "Left alone: pushed models in their buckets, and what Terraform made (`terraform destroy` in deploy/terraform)."


def teardown(
    env: Env = "vertex",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and remove nothing.")] = False,
    models: Annotated[bool, typer.Option("--models", help="Remove registered models too.")] = False,
    yes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--yes", metavar="PROJECT", help="Id of the project, in the place of the question."),
    ] = None,
) -> None:
    """Remove what this project's runs left on Vertex AI: schedules, jobs, endpoints, artifacts."""
    from runners.vertex.settings import read_vertex
    from runners.vertex.teardown import find, remove

    vertex = read_vertex(environment_file(env))
    console = Console()
    kept = _kept(env)
    left = find(vertex, models=models, kept=kept)
    for each in left:
        console.print(f"{each.kind}: {each.name} ({each.about})", markup=False, soft_wrap=True)
    if not left:
        console.print(f"Nothing of this project's runs is left in {vertex.project}, {vertex.region}.", soft_wrap=True)
    elif not dry_run:
        _confirm(vertex.project, yes)
        for each in remove(vertex, left, kept):
            console.print(f"removed {each.kind} {each.name}", markup=False, soft_wrap=True)
    console.print(KEPT, markup=False, soft_wrap=True)


def _confirm(project: str, yes: str | None) -> None:
    """An environment's file is quickly mistaken for another's: the project has to be named by the one who types."""
    typed = typer.prompt(f"All of this goes away for good. Type the project's id, {project}") if yes is None else yes
    if typed != project:
        raise UserError(expected=project, received=typed, todo="nothing was removed; correct --yes or --env")


def _kept(env: str) -> list[str]:
    """The buckets' folders with raw data and pushed models, of all models: some may be below the root."""
    from pipeline.contract import find_model, model_names
    from pipeline.settings import make_settings
    from runners.vertex.settings import read_vertex

    contracts = [find_model(name) for name in model_names()]
    pushed = [make_settings(model, *layers(model, env, None)).gates.destination for model in contracts]
    sources = read_vertex(environment_file(env)).sources.values()
    return [address for address in (*pushed, *sources) if address and address.startswith("gs://")]


def cloud_findings(env: str) -> list[Finding]:
    """Returns what an environment of Vertex AI has and lacks, for the models that it names a source of.

    Raises:
      UserError: the environment or its settings cannot be used.
    """
    from pipeline.contract import find_model
    from pipeline.settings import make_settings
    from runners.vertex.doctor import examine
    from runners.vertex.settings import read_vertex

    vertex = read_vertex(environment_file(env))
    contracts = {name: find_model(name) for name in vertex.sources}
    return examine(
        vertex,
        {name: (model, make_settings(model, *layers(model, env, None))) for name, model in contracts.items()},
    )
