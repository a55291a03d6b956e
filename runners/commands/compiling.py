"""`pipelines compile`: the pipeline as Vertex AI takes it, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.contract import find_model
from runners.options import ENVIRONMENTS, Data, ModelName, Root, Set

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
    from runners.output import libraries_log_to
    from runners.vertex.prepare import prepare_spec

    contract = find_model(model)
    with libraries_log_to(root / "compile.log") as console:
        spec = prepare_spec(contract, env, assignments, data=data, root=root)
    _write(out, spec)
    nodes = len(spec["pipelineSpec"]["root"]["dag"]["tasks"])
    labels = ", ".join(f"{key} {value}" for key, value in sorted(spec["labels"].items()))
    console = Console()
    console.print(f"Wrote {out}: {spec['displayName']}, {nodes} nodes ({labels})", markup=False, soft_wrap=True)
    console.print(f"Try: pipelines rehearse {model} --spec {out}", markup=False, soft_wrap=True)
