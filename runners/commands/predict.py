"""`pipelines predict`: predictions for many rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Optional

import typer
from rich.console import Console

from pipeline.contract import Model, UserError, find_model
from runners.options import Environment, ModelName, Root, Set, environment_file, layers

if TYPE_CHECKING:
    from runners.batch.predicting import Ask, Counts
    from runners.batch.vertex_job import BatchJob
    from runners.serving.loaded import Signature

TF_EXAMPLES = ".tfrecord"
MACHINE = "n1-standard-4"

Input = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
    typer.Option(
        "--input",
        help="Rows: .jsonl, .csv (also .gz), .parquet, .tfrecord, bq://project.dataset.table, or a folder of pictures. "
        "With an environment of Vertex AI: gs://….jsonl or bq://….",
    ),
]
Output = Annotated[
    str,
    typer.Option("--output", help="File to write, .jsonl, .csv or .parquet; of pictures, a new folder."),
]
Version = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--model", metavar="VERSION|FOLDER", help="Version, or folder of one; the one that serves if left out."
    ),
]
SignatureName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--signature", help="What the model is asked; what fits the input if left out."),
]
Endpoint = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="URL|NAME",
        help="Ask a running server, http://127.0.0.1:8080, or an endpoint of Vertex AI, "
        "projects/PROJECT/locations/REGION/endpoints/ID.",
    ),
]
Transactions = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="In the place of --input: raw rows, for the model's ranked list; wants --as-of."),
]
AsOf = Annotated[
    Optional[datetime],  # noqa: UP045
    typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Last day of --transactions that counts."),
]


class Given(NamedTuple):
    """What was typed."""

    contract: Model
    input: str
    output: str
    version: str | None
    signature: str | None
    root: Path
    env: str | None


def predict(
    model: ModelName,
    output: Output,
    input: Input = None,
    version: Version = None,
    signature: SignatureName = None,
    endpoint: Endpoint = None,
    beam: Annotated[bool, typer.Option("--beam", help="Predict as TFX's BulkInferrer does; for .tfrecord.")] = False,
    transactions: Transactions = None,
    as_of: AsOf = None,
    max_bad_share: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            min=0, max=1, help="Exit code 2 above this share of bad rows; gates.max_quarantined_share if left out."
        ),
    ] = None,
    env: Environment = None,
    machine: Annotated[str, typer.Option(help="Of a job on Vertex AI.")] = MACHINE,
    min_replicas: Annotated[int, typer.Option(min=1, help="Machines that such a job starts with.")] = 1,
    max_replicas: Annotated[int, typer.Option(min=1, help="Machines that it may grow to.")] = 4,
    wait: Annotated[bool, typer.Option("--sync", "--wait", help="Wait for such a job, and tell its rows.")] = False,
    assignments: Set = None,
    root: Root = Path("runs"),
) -> None:
    """Write predictions for many rows; rows that get none are in OUTPUT.errors.jsonl, with the reason.

    Exit codes: 0 predicted; 1 a job on Vertex AI failed; 2 a mistake, or too many rows without a prediction.
    """
    contract = find_model(model)
    job = env is not None and endpoint is None and transactions is None and _is_vertex(env)
    given_up = _named(endpoint=endpoint, signature=signature, beam=beam or None, max_bad_share=max_bad_share)
    if given_up and (transactions is not None or job):
        raise UserError(
            expected="with --transactions, or for a job on Vertex AI, none of --endpoint, --signature, --beam and "
            "--max-bad-share",
            received=", ".join(given_up),
            todo="leave them out",
        )
    if (input is None) == (transactions is None) or (transactions is None) != (as_of is None):
        raise UserError(
            expected="either --input, or --transactions with --as-of",
            received=", ".join(_named(input=input, transactions=transactions, as_of=as_of)) or "none of them",
            todo="name one of them",
        )
    if transactions is not None and as_of is not None:
        _rank(contract, version, transactions, as_of, Path(output), root, assignments)
        return
    given = Given(contract, str(input), output, version, signature, root, env)
    if job:
        machines = (machine, min_replicas, max_replicas)
        raise typer.Exit(_submit(given, assignments, machines, wait=wait))
    most = _most(contract, env, assignments) if max_bad_share is None else max_bad_share
    if beam and (endpoint or TF_EXAMPLES not in Path(given.input).suffixes):
        raise UserError(
            expected="with --beam, tf.Examples (.tfrecord) and a pushed model here",
            received=endpoint or given.input,
            todo="leave out --beam",
        )
    if beam:
        _finish(_with_beam(given), most, given)
    else:
        _finish(_with_endpoint(given, endpoint) if endpoint else _here(given), most, given)


def _here(given: Given) -> Counts:
    """Asks the model in this process."""
    _check_files(given)
    loaded = _load(given)
    found = _signature(given, loaded.signatures)
    return _predict(given, found, lambda columns: loaded.ask(found.name, columns))


def _with_endpoint(given: Given, endpoint: str) -> Counts:
    """Asks a server. What an endpoint of Vertex AI wants to be asked, only the pushed model here tells."""
    from runners.batch import endpoints

    _check_files(given)
    if endpoint.startswith(("http://", "https://")):
        server = endpoints.Server(endpoint, given.contract.name)
        found = _signature(given, server.signatures())
        return _predict(given, found, server.ask(found), at_once=endpoints.ROWS)
    found = _signature(given, _load(given).signatures)
    vertex = _vertex(given.env) if given.env and _is_vertex(given.env) else None
    return _predict(given, found, endpoints.vertex_endpoint(endpoint, found, vertex), at_once=endpoints.ROWS)


def _with_beam(given: Given) -> Counts:
    from runners.batch.beam_inference import predicted

    _check_files(given)
    loaded = _load(given)
    found = _signature(given, loaded.signatures)
    with predicted(Path(given.input), loaded.folder, found) as ask:
        return _predict(given, found, ask)


def _predict(given: Given, signature: Signature, ask: Ask, at_once: int | None = None) -> Counts:
    from runners.batch.predicting import predict_to_file
    from runners.batch.sources import open_file

    output = Path(given.output)
    if given.input.startswith("bq://"):
        from runners.batch.bigquery import open_table

        project = _vertex(given.env).project if given.env and _is_vertex(given.env) else None
        return predict_to_file(open_table(given.input, signature, project), signature, ask, output, at_once)
    if Path(given.input).is_dir():
        from runners.batch.pictures import predict_to_folder

        return predict_to_folder(Path(given.input), signature, ask, output)
    return predict_to_file(open_file(Path(given.input), signature), signature, ask, output, at_once)


def _load(given: Given) -> Any:
    from runners.model_commands import find_pushed
    from runners.serving.loaded import LoadedModel

    folder = find_pushed(given.contract, given.root, given.version)
    _say(f"Predicting with {folder.parent.name}, version {folder.name}")
    return LoadedModel.load(folder)


def _check_files(given: Given) -> None:
    """Tells a mistake before the model is loaded, which takes ten seconds."""
    from runners.batch.sinks import check_suffix
    from runners.batch.sources import check_file

    if given.input.startswith("bq://"):
        from pipeline.ingestion.bigquery import checked

        checked(given.input.removeprefix("bq://"))
    elif not Path(given.input).is_dir():
        check_file(Path(given.input))
    if not Path(given.input).is_dir():
        check_suffix(Path(given.output))
        if Path(given.output).is_dir():
            raise UserError(expected="a file to write", received=f"the folder {given.output}", todo="correct --output")


def _signature(given: Given, signatures: dict[str, Signature]) -> Signature:
    """The one that is named, or fits the input."""
    from runners.batch.pictures import signature_of

    if given.signature is None and Path(given.input).is_dir():
        return signature_of(signatures, Path(given.input))
    fits = "serving_examples" if TF_EXAMPLES in Path(given.input).suffixes else "serving_default"
    name = given.signature or fits
    if name not in signatures:
        raise UserError(
            expected=f"a signature of the model: {', '.join(signatures)}", received=name, todo="correct --signature"
        )
    if (fits == "serving_examples" or Path(given.input).is_dir()) and len(signatures[name].inputs) != 1:
        raise UserError(
            expected="a signature with one input, which takes each record or file as it is",
            received=f"{name}, with {', '.join(signatures[name].inputs)}",
            todo="leave out --signature",
        )
    return signatures[name]


def _finish(counts: Counts, most: float, given: Given) -> None:
    from runners.batch.predicting import check_share
    from runners.batch.sinks import errors_of

    told = f"; {counts.bad:,} without, in {errors_of(Path(given.output))}" if counts.bad else ""
    _say(f"Wrote {counts.predicted:,} predictions to {given.output}{told}")
    check_share(counts, most, Path(given.output))


def _most(contract: Model, env: str | None, assignments: list[str] | None) -> float:
    from pipeline.settings import make_settings

    return make_settings(contract, *layers(contract, env, assignments)).gates.max_quarantined_share


def _rank(
    contract: Model,
    version: str | None,
    transactions: Path,
    as_of: datetime,
    output: Path,
    root: Path,
    assignments: list[str] | None,
) -> None:
    from runners.batch.sinks import check_suffix, write_table
    from runners.model_commands import find_pushed
    from runners.ranking import ranked, show

    check_suffix(output)
    folder = find_pushed(contract, root, version)
    table = ranked(contract, folder, transactions, as_of.date(), root, assignments)
    write_table(table, output)
    show(table, Console())
    _say(f"Wrote {len(table):,} rows to {output}")


# --- Vertex AI -----------------------------------------------------------------------------------------


def _submit(given: Given, assignments: list[str] | None, machines: tuple[str, int, int], *, wait: bool) -> int:
    from pipeline.settings import make_settings, pipeline_name
    from runners.batch import vertex_job

    vertex = _vertex(str(given.env))
    contract = given.contract
    settings = make_settings(contract, *layers(contract, given.env, assignments))
    asked = vertex_job.request(
        vertex,
        pipeline_name(contract, settings),
        given.input,
        given.output,
        version=given.version,
        inputs=vertex_job.inputs(contract),
        machines=vertex_job.Machines(*machines),
    )
    job = vertex_job.submit(vertex, asked)
    _say(f"Submitted {job.id}: {asked.batch_prediction_job.model}", f"Console: {job.console}")
    return _wait(vertex_job.watch(vertex, job.id)) if wait else 0


def _wait(looks: Iterable[BatchJob]) -> int:
    """Tells news, and returns the exit code."""
    told = None
    for job in looks:
        if job.state != told:
            told = job.state
            _say(job.state)
    _say(f"{job.predicted:,} predictions, {job.bad:,} rows without, in {job.output or 'no place'}")
    if job.error:
        _say(f"{job.id}: {job.error}")
    return 0 if job.state in ("SUCCEEDED", "PARTIALLY_SUCCEEDED") and (job.predicted or not job.bad) else 1


def _is_vertex(env: str) -> bool:
    from runners.vertex.settings import has_vertex

    return has_vertex(environment_file(env))


def _vertex(env: str) -> Any:
    from runners.vertex.settings import read_vertex

    return read_vertex(environment_file(env))


def _named(**options: object) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]


def _say(*lines: str) -> None:
    for line in lines:
        Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)
