"""`pipelines submit | status | logs | cancel | schedule …`: jobs and schedules on Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console

from pipeline.contract import UserError
from runners.options import ENVIRONMENTS, ModelName, Root, Set, environment_file, pairs

if TYPE_CHECKING:
    from runners.vertex.jobs import Job
    from runners.vertex.schedules import Schedule

Env = Annotated[str, typer.Option("--env", metavar="NAME", help=f"Environment of Vertex AI: {ENVIRONMENTS}/NAME.yaml.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, as `pipelines status` lists it.")]
ScheduleId = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Id of a schedule, or its name.")]
SpecFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--spec", help="Spec that `pipelines compile` wrote; compiled anew if left out."),
]
Parameters = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--param", metavar="NAME=VALUE", help="A runtime parameter of the spec. May be repeated."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the request as JSON, and ask nothing of anybody.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def submit(
    model: ModelName,
    env: Env = "vertex",
    spec: SpecFile = None,
    assignments: Set = None,
    parameters: Parameters = None,
    job_id: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--job-id", help="Id of the job; the pipeline's name and the time if left out."),
    ] = None,
    dry_run: DryRun = False,
    root: Root = Path("runs"),
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit code 1 if it is not success.")] = False,
) -> None:
    """Run a model's pipeline on Vertex AI."""
    from runners.vertex import jobs
    from runners.vertex.spec import as_json

    vertex, compiled, given = _vertex(env), _spec(model, env, spec, assignments, root), pairs("--param", parameters)
    if dry_run:
        _print_json(as_json(jobs.request(compiled, vertex, job_id=job_id, parameters=given)))
        return
    job = jobs.submit(compiled, vertex, job_id=job_id, parameters=given)
    _say(f"Submitted {job.id}", *_addresses(job))
    if wait:
        raise typer.Exit(_wait(jobs.watch(vertex, job.id)))
    _say(f"Try: pipelines status {job.id} --env {env}")


def status(
    job: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="[JOB]", help="Id of a job; the last ones are listed if left out."),
    ] = None,
    env: Env = "vertex",
    as_json: AsJson = False,
) -> None:
    """Show a job on Vertex AI, node by node, or list the last ones."""
    from runners.vertex import jobs

    vertex = _vertex(env)
    found = [jobs.status(vertex, job)] if job else jobs.recent(vertex)
    if as_json:
        told = [each.model_dump(mode="json") for each in found]
        _print_json(told[0] if job else told)
    elif job:
        _show(found[0])
    else:
        rows = [(each.id, each.state, _clock(each.created), _time(each.seconds)) for each in found]
        _table(("job", "state", "created", "time"), rows)


def logs(
    job: JobId,
    env: Env = "vertex",
    node: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--node", help="Whose log; all nodes' if left out."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job has ended.")] = False,
) -> None:
    """Print what the nodes of a job on Vertex AI wrote."""
    from runners.vertex.logs import logs as read

    try:
        for line in read(_vertex(env), job, node, follow):
            _say(f"{line.time[:19]}Z {line.severity:<8} {line.node}: {line.text}")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def cancel(job: JobId, env: Env = "vertex") -> None:
    """Stop a job on Vertex AI."""
    from runners.vertex import jobs

    jobs.cancel(_vertex(env), job)
    _say(f"{job} is being cancelled. Try: pipelines status {job} --env {env}")


schedule = typer.Typer(no_args_is_help=True, help="Start jobs on Vertex AI by the clock.")


@schedule.command("create")
def create_schedule(
    model: ModelName,
    cron: Annotated[str, typer.Option(help='Minute, hour, day of month, month, day of week, such as "0 6 * * 1".')],
    timezone: Annotated[str, typer.Option(help="Of --cron, such as Europe/Berlin.")] = "UTC",
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Of the schedule; the model's if left out."),
    ] = None,
    max_concurrent: Annotated[int, typer.Option(min=1, help="So many of its jobs may run at a time.")] = 1,
    env: Env = "vertex",
    spec: SpecFile = None,
    assignments: Set = None,
    parameters: Parameters = None,
    dry_run: DryRun = False,
    root: Root = Path("runs"),
) -> None:
    """Start a model's pipeline on Vertex AI again and again; each firing resolves its own dates."""
    from runners.vertex import schedules
    from runners.vertex.spec import as_json

    vertex, compiled = _vertex(env), _spec(model, env, spec, assignments, root, leave_open=True)
    zoned = cron if cron.startswith("CRON_TZ=") or timezone == "UTC" else f"CRON_TZ={timezone} {cron}"
    asked = schedules.request(
        compiled,
        vertex,
        name=name or model,
        cron=zoned,
        max_concurrent=max_concurrent,
        parameters=pairs("--param", parameters),
    )
    if dry_run:
        _print_json(as_json(asked))
        return
    made = schedules.create(vertex, asked)
    first = f", first at {_clock(made.next)}" if made.next else ""
    _say(f"Scheduled {made.name}, id {made.id}: {made.cron}{first}", f"Console: {made.console}")


@schedule.command("list")
def list_schedules(env: Env = "vertex", as_json: AsJson = False) -> None:
    """List the schedules on Vertex AI."""
    from runners.vertex import schedules

    found = schedules.listed(_vertex(env))
    if as_json:
        _print_json([each.model_dump(mode="json") for each in found])
        return
    rows = [(s.id, s.name, s.state, s.cron, _clock(s.next), str(s.runs), s.last or "") for s in found]
    _table(("id", "name", "state", "cron", "next", "runs", "last"), rows)


@schedule.command("pause")
def pause_schedule(schedule: ScheduleId, env: Env = "vertex") -> None:
    """Pause a schedule: jobs that it has started go on."""
    from runners.vertex import schedules

    _changed(schedules.change(_vertex(env), schedule, "pause"), "paused")


@schedule.command("resume")
def resume_schedule(schedule: ScheduleId, env: Env = "vertex") -> None:
    """Resume a schedule; what was missed meanwhile is not made up for."""
    from runners.vertex import schedules

    _changed(schedules.change(_vertex(env), schedule, "resume"), "resumed")


@schedule.command("delete")
def delete_schedule(schedule: ScheduleId, env: Env = "vertex") -> None:
    """Delete a schedule: jobs that it has started go on."""
    from runners.vertex import schedules

    _changed(schedules.change(_vertex(env), schedule, "delete"), "deleted")


def _vertex(env: str) -> Any:
    from runners.vertex.settings import read_vertex

    return read_vertex(environment_file(env))


def _spec(
    model: str, env: str, file: Path | None, assignments: list[str] | None, root: Path, leave_open: bool = False
) -> dict[str, Any]:
    """Reads the spec, or compiles it: with a look at the source, or for a schedule with what is `auto` left open."""
    if file is None:
        from runners.commands.compiling import compiled

        return compiled(model, env, assignments, root=root, look=not leave_open, leave_open=leave_open)
    if assignments:
        raise UserError(
            expected="settings that are compiled into the spec, or --spec",
            received="both --set and --spec",
            todo="leave out one of them",
        )
    from runners.vertex.spec import read_spec

    spec = read_spec(file)
    pipeline = spec["pipelineSpec"].get("pipelineInfo", {}).get("name", "nothing")
    if pipeline != model and not pipeline.startswith(f"{model}-"):
        raise UserError(
            expected=f"a spec of {model}", received=f"one of {pipeline}, in {file}", todo="correct MODEL or --spec"
        )
    return spec


def _wait(looks: Iterable[Job]) -> int:
    """Prints each node's news, and returns the exit code."""
    told: dict[str, str] = {}
    try:
        for job in looks:
            for node in job.nodes:
                if told.get(node.name) != node.state:
                    told[node.name] = node.state
                    _say(f"{node.state:<10} {node.name}{_because(node.error)}")
    except KeyboardInterrupt:
        _say("The job goes on: this only stops waiting for it. `pipelines cancel` stops the job.")
        return 130
    _say(f"{job.id}: {job.state} after {_time(job.seconds)}{_because(job.error)}")
    return 0 if job.state == "SUCCEEDED" else 1


def _show(job: Job) -> None:
    _say(f"{job.id}: {job.state}, {_time(job.seconds) or 'not started'}{_because(job.error)}", *_addresses(job))
    rows = [(node.name, node.state, _clock(node.started), _time(node.seconds), node.error or "") for node in job.nodes]
    _table(("node", "state", "started", "time", "error"), rows)


def _addresses(job: Job) -> list[str]:
    return [f"Console: {job.console}", *([f"TensorBoard: {job.tensorboard}"] if job.tensorboard else [])]


def _changed(found: Schedule, done: str) -> None:
    _say(f"Schedule {found.name}, id {found.id}, is {done}")


def _say(*lines: str) -> None:
    for line in lines:
        Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _print_json(told: Any) -> None:
    typer.echo(json.dumps(told, indent=2))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Prints columns as wide as what is in them, however wide the screen is: ids are there to be copied."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _because(error: str | None) -> str:
    return f": {error}" if error else ""


def _clock(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z" if moment else ""


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
