"""The command line `pipelines`. Heavy libraries are imported by the commands that need them, never for `--help`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Optional, cast

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.contract import Model, Query, UserError, find_model, load
from pipeline.settings import make_settings
from runners.commands import bigquery, cloud, compiling, jobs, models
from runners.commands.backtest import backtest
from runners.commands.check_container import check_container
from runners.commands.compare import compare
from runners.commands.explain import explain
from runners.commands.history import history
from runners.commands.lineage import lineage
from runners.commands.predict import predict
from runners.commands.rehearse import rehearse
from runners.commands.report import report
from runners.commands.runs import runs, show
from runners.commands.serve import serve
from runners.commands.train import FLAGS, train
from runners.model_commands import add_model_commands
from runners.options import Data, Environment, ModelName, Root, Set, layers

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

Sample = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="File to write; MODEL-sample in the current folder if left out."),
]


@app.callback()
def pipelines() -> None:
    """Trains, judges and ships models with TFX. Nothing is pushed that did not pass every gate."""


@app.command()
def run(
    model: ModelName,
    data: Data = None,
    assignments: Set = None,
    env: Environment = None,
    root: Root = Path("runs"),
    cache: Annotated[bool, typer.Option(help="Take unchanged nodes from earlier runs.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print an event a line, the result last.")] = False,
) -> None:
    """Run a model's pipeline on this machine, from raw data to a pushed model.

    Exit codes: 0 pushed or nothing new to push; 1 failed; 2 mistake in command, settings or data; 3 refused by a gate;
    130 interrupted by Ctrl-C, 143 by SIGTERM: the same command goes on.
    """
    from runners import local, output, progress
    from runners.reports.report import report_of
    from runners.run import LOG, RECORD, prepare

    with progress.without_traceback(as_json=as_json):
        contract = find_model(model)
        prepared = prepare(contract, root, data=data, layers=layers(contract, env, assignments), use_cache=cache)
        with (
            output.libraries_log_to(prepared.folder / LOG) as console,
            progress.view(console, quiet=quiet, as_json=as_json) as view,
        ):
            view.begin(prepared.heading)
            try:
                result = local.execute(prepared, view.observe)
            except UserError:
                if (prepared.folder / RECORD).exists():
                    view.report(report_of(prepared.root, prepared.run_id))
                raise
            view.end(result)
            if result.outcome != "interrupted":  # Who presses Ctrl-C wants the end; `pipelines report` makes it then.
                view.report(report_of(prepared.root, prepared.run_id))
    raise typer.Exit(result.exit_code)


@app.command("sample-data")
def sample_data(
    model: ModelName,
    out: Sample = None,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    spoilt: Annotated[bool, typer.Option(help="Spoil the sample in a way that a gate must refuse.")] = False,
    dialect: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="As another source of data would write it, for models that know some: european."),
    ] = None,
) -> None:
    """Write a generated sample of raw input to a file that you can open."""
    contract = find_model(model)
    path = out or Path(f"{model}-sample{'-spoilt' if spoilt else ''}{contract.sample_suffix}")
    try:
        _write_sample(contract, path, seed, _rewriters(contract, spoilt, dialect))
    except OSError as error:
        raise UserError(expected="a place to write to", received=str(error), todo="choose another --out") from error
    hint = f"doctor --data {path}" if dialect else f"run {model} --data {path}"
    Console().print(f"Wrote {path}: generated, nothing in it is real. Try: pipelines {hint}", soft_wrap=True)


def _rewriters(model: Model, spoilt: bool, dialect: str | None) -> list[str]:
    """Dotted paths of what a sample is passed through, one after the other."""
    if dialect and dialect not in model.sample_dialects:
        raise UserError(
            expected=f"a dialect of {model.name}'s sample: {', '.join(model.sample_dialects) or 'it has none'}",
            received=dialect,
            todo="correct or leave out --dialect",
        )
    return [*([model.spoil_data] if spoilt else []), *([model.sample_dialects[dialect]] if dialect else [])]


def _write_sample(model: Model, path: Path, seed: int, rewriters: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        steps = [Path(folder) / str(step) / path.name for step in range(len(rewriters))] + [path]
        steps[0].parent.mkdir(exist_ok=True)
        load(model.sample_data)(steps[0], seed)
        for rewriter, source, target in zip(rewriters, steps, steps[1:], strict=False):
            target.parent.mkdir(exist_ok=True)
            load(rewriter)(source, target)


@app.command()
def features(
    model: ModelName,
    out: Annotated[Path, typer.Option(help="File to write, .parquet or .csv.")],
    data: Data = None,
    assignments: Set = None,
    env: Environment = None,
    root: Root = Path("runs"),
) -> None:
    """Write the model's feature table, all splits, for analysts."""
    from pipeline.ingestion.raw import RawTable, export_features
    from runners.run import prepare

    contract = find_model(model)
    if not isinstance(contract.source, Query):
        raise UserError(
            expected="a model that reads a table", received=f"{model}, which reads pictures", todo="name another model"
        )
    prepared = prepare(contract, root, data=data, layers=layers(contract, env, assignments))
    rows = export_features(cast(RawTable, prepared.raw), contract.source, prepared.settings.features, out)
    Console().print(f"Wrote {rows:,} rows to {out}", soft_wrap=True)


@app.command()
def fetch(model: ModelName, root: Root = Path("runs")) -> None:
    """Download the public data set of a model; an interrupted download goes on where it stopped."""
    from runners.fetch import fetch as download

    dataset = find_model(model).dataset
    if dataset is None:
        raise UserError(expected="a model with a public data set", received=model, todo="bring your own with --data")
    console = Console()
    path = download(dataset, root / "fetched", echo=lambda line: console.print(escape(line), soft_wrap=True))
    console.print(f"Try: pipelines run {model} --data {path}", soft_wrap=True)


@app.command()
def tensorboard(
    run_id: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[RUN]", help="Id of a run, below records/; the newest training if left out."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 6006,
    root: Root = Path("runs"),
) -> None:
    """Show the curves and histograms of a training, in a browser."""
    import threading

    from runners.interrupt import catching
    from runners.tensorboard import find_training, start

    folder = find_training(root, run_id)
    console = Console()
    console.print(f"TensorBoard on {folder}", markup=False, soft_wrap=True)
    console.print(f"{start(folder, port)} (Ctrl-C ends it)", markup=False, soft_wrap=True)
    try:
        # Ends by SIGTERM too, and by Ctrl-C also where a shell's `&` told it to ignore that.
        with catching():
            threading.Event().wait()
    except KeyboardInterrupt:
        raise typer.Exit from None


@app.command()
def doctor(
    root: Root = Path("runs"),
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Look at raw data instead: how it is written, and which settings a run would need."),
    ] = None,
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="With --data: the model that is to read it. The one that reads tables if left out."),
    ] = None,
    assignments: Set = None,
    env: Environment = None,
) -> None:
    """Check this machine, with --data a file of yours, or with --env alone an environment of Vertex AI."""
    from runners.doctor import all_ok, diagnose
    from runners.inspect_data import inspect, table_model

    console = Console()
    if data is None:
        findings = cloud.cloud_findings(env) if env else diagnose(root)
    else:
        contract = table_model(model)
        typed = [*(["--env", env] if env else []), *(word for pair in assignments or [] for word in ("--set", pair))]
        findings = inspect(contract, data, layers(contract, env, assignments), typed)
    colours = {"ok": "green", "warning": "yellow", "problem": "red"}
    for finding in findings:
        todo = f" -> {finding.todo}" if finding.todo else ""
        console.print(
            f"[{colours[finding.status]}]{finding.status:>8}[/]  {finding.name}: {escape(finding.message + todo)}",
            soft_wrap=True,
        )
    raise typer.Exit(0 if all_ok(findings) else 1)


@app.command()
def settings(model: ModelName, assignments: Set = None, env: Environment = None) -> None:
    """Show a model's settings as YAML, defaults included."""
    import yaml

    contract = find_model(model)
    resolved = make_settings(contract, *layers(contract, env, assignments))
    Console().print(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False), markup=False, soft_wrap=True)


app.command("compile")(compiling.compile_model)
app.command()(rehearse)
app.command("load-bigquery")(bigquery.load_bigquery)
for command in (jobs.submit, jobs.status, jobs.logs, jobs.cancel):
    app.command()(command)
app.add_typer(jobs.schedule, name="schedule")
app.command("train", context_settings=FLAGS)(train)
app.command()(cloud.teardown)
app.command()(models.models)
app.command()(models.promote)
app.command()(models.rollback)
app.command()(serve)
app.command()(explain)
app.command("check-container")(check_container)
app.command()(predict)
app.command()(backtest)
app.command()(report)
app.command()(lineage)
for listing in (runs, show, history, compare):
    app.command()(listing)


def main() -> None:
    """Entry point: a user's mistake becomes three lines and exit code 2, never a traceback."""
    add_model_commands(app)
    try:
        app()
    except UserError as error:
        console = Console(stderr=True)
        for word, text in (("Expected", error.expected), ("Received", error.received), ("What to do", error.todo)):
            console.print(f"[bold]{word}[/]: {escape(text)}", soft_wrap=True)
        sys.exit(2)
