"""`pipelines train`: the trainer outside of the DAG, here or as a training job on Vertex AI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console

from pipeline.contract import Model, UserError, find_model
from pipeline.settings import read_assignments
from pipeline.verdict import sentence
from runners.events import NodeEvent, Observer
from runners.options import Environment, ModelName, Root, Set, environment_file, layers
from runners.training_options import (
    Records,
    Transformed,
    check_source,
    check_untuned,
    find_places,
    find_source,
    read_flags,
)
from runners.trial import Trial

if TYPE_CHECKING:
    from runners.vertex.settings import VertexSettings

FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Every training setting is a flag as well: which there are, only the model knows."""

REFUSED = 3

RawData = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Raw input, as of `pipelines run`; in a job on Vertex AI at gs://. A sample if left out."),
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With an --env of Vertex AI: print the request, send nothing.")
    ] = False,
) -> None:
    """Train a model outside of its pipeline, with the same code. Nothing is judged or pushed.

    Every training setting is a flag, too: --learning-rate 0.01. With an --env that has a section `vertex`, the training
    becomes a custom job on Vertex AI. Where AIP_MODEL_DIR, AIP_CHECKPOINT_DIR, AIP_TENSORBOARD_LOG_DIR or
    AIP_TRAINING_DATA_URI and its like are set, as in such a job, they say where to write and what to read.

    Exit codes: 0 trained, or submitted; 1 failed; 2 mistake in command, settings or data; 3 refused by the data gate;
    130 interrupted by Ctrl-C, 143 by SIGTERM.
    """
    contract = find_model(model)
    own = read_assignments(contract, [*(assignments or []), *read_flags(contract, context.args)])
    settings = (*layers(contract, env, None), own)
    check_untuned(contract, settings)
    check_source(data, examples, transform_graph)
    vertex = _vertex(env)
    if vertex is None and dry_run:
        raise UserError(
            expected="--dry-run together with an --env that has a section `vertex`",
            received=f"--env {env}" if env else "no --env",
            todo="name one, such as --env vertex, or leave out --dry-run",
        )
    if vertex:
        from runners.vertex import custom_job

        told = Transformed(examples, transform_graph) if examples and transform_graph else data
        custom_job.submit(contract, vertex, settings, told, dry_run=dry_run, echo=typer.echo)
    else:
        source = find_source(data, examples, transform_graph, os.environ)
        raise typer.Exit(_train_here(contract, source, settings, root))


def _vertex(env: str | None) -> VertexSettings | None:
    from runners.vertex.settings import has_vertex, read_vertex

    file = environment_file(env) if env else None
    return read_vertex(file) if file and has_vertex(file) else None


def _train_here(
    model: Model, source: Transformed | Records | Path | None, settings: tuple[dict[str, Any], ...], root: Path
) -> int:
    """Returns the exit code."""
    from runners.progress import without_traceback

    folder = (root / "trained" / f"{model.name}-{datetime.now():%Y%m%dT%H%M%S}").absolute()
    places = find_places(folder, os.environ)
    with without_traceback(as_json=False), _screen(folder) as console:
        console.print("Loading TFX; this takes about half a minute.")
        from pipeline.gate import GateRefusal
        from runners.training_job import run_job

        try:
            run_job(model, source, settings, root=root.absolute(), places=places, observe=_observer(console))
        except GateRefusal as refusal:
            missed = [sentence(check) for check in refusal.checks if not check.passed]
            console.print("\n".join(["REFUSED", *missed]), markup=False, soft_wrap=True)
            return REFUSED
        console.print(f"Model: {places.model}\nTensorBoard: {places.logs}", markup=False, soft_wrap=True)
    return 0


def _observer(console: Console) -> Observer:
    from runners.progress import Lines, found

    lines, trial = Lines(console), Trial(os.environ)

    def observe(event: NodeEvent) -> None:
        if event.epoch is None:
            lines.observe(event)
        else:
            console.print(found(event), markup=False, highlight=False, soft_wrap=True)
            trial.tell(event.epoch)

    return observe


@contextmanager
def _screen(folder: Path) -> Iterator[Console]:
    """What libraries print goes to a file; in a job on Vertex AI it goes to its log, as the file would be lost."""
    from runners.output import libraries_log_to

    if "AIP_MODEL_DIR" in os.environ:
        yield Console(soft_wrap=True)
        return
    with libraries_log_to(folder / "train.log") as console:
        yield console
