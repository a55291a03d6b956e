"""`pipelines compile`: the pipeline as Vertex AI takes it, in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline.contract import UserError, find_model
from pipeline.settings import make_settings
from runners.options import ENVIRONMENTS, Data, ModelName, Root, Set, environment_file, layers

VertexEnvironment = Annotated[
    str, typer.Option("--env", metavar="NAME", help=f"{ENVIRONMENTS}/NAME.yaml, with a section `vertex`.")
]


def compile_model(
    model: ModelName,
    out: Annotated[Path, typer.Option(help="File to write, .json.")],
    data: Data = None,
    assignments: Set = None,
    env: VertexEnvironment = "vertex",
    root: Root = Path("runs"),
) -> None:
    """Compile a model's pipeline for Vertex AI: offline, and the same bytes for the same inputs.

    A setting `auto` is resolved now: against --data, or else by asking the source in BigQuery.
    """
    spec = compiled(model, env, assignments, root=root, data=data)
    write(out, spec)
    nodes = len(spec["pipelineSpec"]["root"]["dag"]["tasks"])
    labels = ", ".join(f"{key} {value}" for key, value in sorted(spec["labels"].items()))
    console = Console()
    console.print(f"Wrote {out}: {spec['displayName']}, {nodes} nodes ({labels})", markup=False, soft_wrap=True)
    console.print(f"Try: pipelines rehearse {model} --spec {out}", markup=False, soft_wrap=True)


def compiled(model: str, env: str, assignments: list[str] | None, *, root: Path, **how: Any) -> dict[str, Any]:
    """Returns a model's compiled pipeline; see `runners.vertex.prepare.prepare_spec`. What libraries say goes to a log.

    Raises:
      UserError: environment, settings, source or data that cannot be used.
    """
    from runners.output import libraries_log_to
    from runners.vertex.settings import read_vertex

    contract = find_model(model)
    # A mistake in either is told before TFX is imported.
    read_vertex(environment_file(env))
    make_settings(contract, *layers(contract, env, assignments))
    with libraries_log_to(root / "compile.log"):
        from runners.vertex.prepare import prepare_spec

        return prepare_spec(contract, env, assignments, root=root, **how)


def write(file: Path, spec: dict[str, Any]) -> None:
    """Writes a compiled pipeline, the same bytes for the same spec.

    Raises:
      UserError: the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(expected="a place to write to", received=str(error), todo="choose another --out") from error
