"""`pipelines train`: the trainer outside of the DAG, here or as a training job on Vertex AI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.contract import Model, UserError, find_model
from pipeline.settings import read_assignments
from runners.options import Environment, ModelName, Root, Set, environment_file, layers
from runners.training_options import (
    Places,
    Records,
    Transformed,
    check_source,
    find_places,
    find_source,
    read_flags,
)

FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Every training setting is a flag as well: which there are, only the model knows."""

REFUSED = 3

RawData = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Raw input, as of `pipelines run`; in a job on Vertex AI also gs://. A sample if left out."),
]
Examples = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="FOLDER", help="Instead of raw input: a run's Transform/transformed_examples/NUMBER."),
]
Graph = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(metavar="FOLDER", help="With --examples: Transform/transform_graph/NUMBER of the same run."),
]


def train(
    context: typer.Context,
    model: ModelName,
    data: RawData = None,
    examples: Examples = None,
    transform_graph: Graph = None,
    assignments: Set = None,
    env: Environment = None,
    root: Root = Path("runs"),
    dry_run: Annotated[bool, typer.Option(help="With --env of Vertex AI: print the request, send nothing.")] = False,
) -> None:
    """Train a model only: outside of the pipeline, with the same code. Nothing is judged or pushed.

    Every training setting is a flag, too: --learning-rate 0.01. With an --env that has a section `vertex`, the training
    becomes a custom job on Vertex AI. There, or wherever AIP_MODEL_DIR, AIP_CHECKPOINT_DIR, AIP_TENSORBOARD_LOG_DIR or
    AIP_TRAINING_DATA_URI and its like are set, they say where to write and what to read.

    Exit codes: 0 trained, or submitted; 1 failed; 2 mistake in command, settings or data; 3 refused by the data gate;
    130 interrupted by Ctrl-C, 143 by SIGTERM.
    """
    contract = find_model(model)
    own = read_assignments(contract, [*(assignments or []), *read_flags(contract, context.args)])
    settings = (*layers(contract, env, None), own)
    check_source(data, examples, transform_graph)
    if vertex := _vertex(env):
        from runners.vertex import custom_job

        told = (data, examples, transform_graph)
        custom_job.submit(contract, vertex, settings, told, dry_run=dry_run, echo=Console().print)
        return
    if dry_run:
        raise UserError(
            expected="--dry-run together with an --env of Vertex AI", received=f"--env {env}", todo="leave it out"
        )
    source = find_source(data, examples, transform_graph, os.environ)
    raise typer.Exit(_train_here(contract, source, settings, root))


def _vertex(env: str | None) -> Any:
    from runners.vertex.settings import has_vertex, read_vertex

    file = environment_file(env) if env else None
    return read_vertex(file) if file and has_vertex(file) else None


def _train_here(
    model: Model, source: Transformed | Records | Path | None, settings: tuple[dict[str, Any], ...], root: Path
) -> int:
    from runners import progress

    folder = root / "trained" / f"{model.name}-{datetime.now():%Y%m%dT%H%M%S}"
    places = find_places(folder.resolve(), os.environ)
    with progress.without_traceback(as_json=False), _console(folder) as console:
        return _train(model, source, settings, root, places, console)
