"""Jobs and schedules on Vertex AI, as people type the commands: Google's own client against a server on loopback."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from commands import pipelines
from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format
from vertex_server import NodeState, VertexServer

from runners import cli
from runners.vertex import experiment, jobs

SPEC = Path(__file__).parents[2] / "support" / "tiny_spec.json"
VERTEX = {
    "project": "my-project",
    "region": "europe-west4",
    "root": "gs://my-project-pipelines/artifacts",
    "image": "europe-west4-docker.pkg.dev/my-project/p/tiny:1",
    "service_account": "runs@my-project.iam.gserviceaccount.com",
    "network": "projects/12345/global/networks/ours",
    "encryption_key": "projects/my-project/locations/europe-west4/keyRings/r/cryptoKeys/k",
    "tensorboard": "projects/12345/locations/europe-west4/tensorboards/67",
    "labels": {"team": "pricing"},
}
SUBMIT = ("submit", "tiny", "--spec", SPEC, "--job-id", "tiny-1")
SCHEDULE = ("schedule", "create", "tiny", "--cron", "0 6 * * 1", "--spec", SPEC)


class Screen(NamedTuple):
    """What a command ended with, and what stands on the screen."""

    code: int
    out: str
    err: str


Typed = Callable[..., Screen]
Serve = Callable[..., VertexServer]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the environment `vertex` below the current folder."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "deploy" / "environments" / "vertex.yaml"
    file.parent.mkdir(parents=True)

    def configure(**settings: Any) -> Path:
        file.write_text(yaml.safe_dump({"vertex": {**VERTEX, **settings}}))
        return file

    return configure


@pytest.fixture
def serve(configure: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a Vertex AI that the environment names."""
    monkeypatch.setattr(jobs, "POLL_S", 0.02)
    with ExitStack() as stack:

        def serve(server: VertexServer | None = None, **settings: Any) -> VertexServer:
            started = server or VertexServer()
            configure(api_endpoint=stack.enter_context(started.serving()), **settings)
            return started

        yield serve


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Runs the command line in this process, which has imported Google's client already."""

    def typed(*arguments: object) -> Screen:
        monkeypatch.setattr(sys, "argv", ["pipelines", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Screen(int(ended.value.code or 0), *capsys.readouterr())

    return typed


def two_nodes(job: dict[str, Any]) -> Iterator[NodeState]:
    yield NodeState("ExampleGen", "RUNNING", log=["reading"])
    yield NodeState("ExampleGen", "SUCCEEDED", log=["600 rows"])
    yield NodeState("Trainer", "RUNNING", log=[f"epochs: {job['runtimeConfig']['parameterValues']['epochs']:.0f}"])
    yield NodeState("Trainer", "SUCCEEDED", log=["trained"])


def failing(job: dict[str, Any]) -> Iterator[NodeState]:
    yield NodeState("ExampleGen", "SKIPPED")
    yield NodeState(
        "Trainer", "FAILED", error="The replica exited with\na non-zero status of 1.", log=["out of memory"]
    )


# --- one job, from submit to the end -------------------------------------------------------------------


def test_a_job_is_submitted_looked_at_and_its_log_read(serve: Serve, typed: Typed) -> None:
    server = serve(VertexServer(run=two_nodes, log_page=2))
    submitted = typed(*SUBMIT, "--param", "epochs=5")
    server.join()
    console = (
        "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/tiny-1?project=my-project"
    )
    assert (submitted.code, submitted.err) == (0, "")
    assert "Submitted tiny-1" in submitted.out
    assert f"Console: {console}" in submitted.out
    assert "TensorBoard: https://console.cloud.google.com/" in submitted.out
    shown = typed("status", "tiny-1")
    assert "tiny-1: SUCCEEDED" in shown.out
    assert [line.split()[:2] for line in shown.out.splitlines()[-2:]] == [
        ["ExampleGen", "SUCCEEDED"],
        ["Trainer", "SUCCEEDED"],
    ]
    assert console in shown.out
    log = typed("logs", "tiny-1").out.splitlines()
    assert [line.partition(" INFO ")[2].strip() for line in log] == [
        "ExampleGen: reading",
        "ExampleGen: 600 rows",
        "Trainer: epochs: 5",
        "Trainer: trained",
    ]
    assert "600 rows" not in typed("logs", "tiny-1", "--node", "Trainer").out


def test_what_vertex_is_asked_for_has_every_setting(serve: Serve, typed: Typed) -> None:
    server = serve(cache=False, failure_policy="slow")
    typed(*SUBMIT)
    job = json_format.ParseDict(server.asked[0].body, v1.PipelineJob.pb(v1.PipelineJob()))
    assert (job.service_account, job.network) == (VERTEX["service_account"], VERTEX["network"])
    assert job.encryption_spec.kms_key_name == VERTEX["encryption_key"]
    assert dict(job.labels) == {"tfx_version": "1-16-0", "team": "pricing"}
    assert job.runtime_config.failure_policy == v1.PipelineFailurePolicy.PIPELINE_FAILURE_POLICY_FAIL_SLOW
    assert job.runtime_config.gcs_output_directory == "gs://my-project-pipelines/artifacts/tiny-main"
    tasks = json_format.MessageToDict(job.pipeline_spec)["root"]["dag"]["tasks"]
    assert {task["cachingOptions"]["enableCache"] for task in tasks.values()} == {False}


def test_a_job_that_fails_is_waited_for_and_says_why(serve: Serve, typed: Typed) -> None:
    serve(VertexServer(run=failing))
    waited = typed(*SUBMIT, "--wait")
    assert waited.code == 1
    assert "SKIPPED    ExampleGen" in waited.out
    assert "FAILED     Trainer: The replica exited with a non-zero status of 1." in waited.out
    assert "tiny-1: FAILED after 0:00: The DAG failed because some tasks failed: Trainer." in waited.out
    told = json.loads(typed("status", "tiny-1", "--json").out)
    assert told["nodes"][1]["error"] == "The replica exited with a non-zero status of 1."
    assert "out of memory" in typed("logs", "tiny-1", "--node", "Trainer").out


def test_a_log_is_followed_to_the_end_of_the_job(serve: Serve, typed: Typed) -> None:
    go_on = threading.Event()

    def slowly(job: dict[str, Any]) -> Iterable[NodeState]:
        *first, last = two_nodes(job)
        yield from first
        go_on.wait(10)
        yield last

    server = serve(VertexServer(run=slowly))
    typed(*SUBMIT)
    threading.Timer(0.2, go_on.set).start()
    followed = typed("logs", "tiny-1", "--follow").out.splitlines()
    assert [line.rpartition(": ")[2] for line in followed] == ["reading", "600 rows", "3", "trained"]
    assert sum(asked.path == "/v2/entries:list" for asked in server.asked) > 2


def test_waiting_outlasts_answers_that_fail(serve: Serve, typed: Typed) -> None:
    server = serve(VertexServer(run=two_nodes))
    server.refuse(503, "The service is currently unavailable.", "GET .*/pipelineJobs/.*")
    threading.Timer(0.2, server.refusals.clear).start()
    waited = typed(*SUBMIT, "--wait")
    assert waited.code == 0
    assert "tiny-1: SUCCEEDED" in waited.out


def test_ctrl_c_ends_the_waiting_and_not_the_job(serve: Serve, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    serve()

    def ctrl_c(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("runners.vertex.jobs.time.sleep", ctrl_c)
    waited = typed(*SUBMIT, "--wait")
    assert waited.code == 130
    assert "The job goes on" in waited.out
    assert typed("logs", "tiny-1", "--follow").code == 130
    assert "tiny-1: RUNNING" in typed("status", "tiny-1").out


def test_the_last_jobs_are_listed_the_newest_first(serve: Serve, typed: Typed) -> None:
    serve(VertexServer(run=failing))
    for number in range(1, 4):
        typed("submit", "tiny", "--spec", SPEC, "--job-id", f"tiny-{number}")
    listed = [line.split()[:1] for line in typed("status").out.splitlines()]
    assert listed == [["job"], ["tiny-3"], ["tiny-2"], ["tiny-1"]]
    assert [job["id"] for job in json.loads(typed("status", "--json").out)] == ["tiny-3", "tiny-2", "tiny-1"]


def test_a_job_is_cancelled_once(serve: Serve, typed: Typed) -> None:
    serve()
    typed(*SUBMIT)
    assert "tiny-1 is being cancelled" in typed("cancel", "tiny-1").out
    assert "tiny-1: CANCELLED" in typed("status", "tiny-1").out
    again = typed("cancel", "tiny-1")
    assert again.code == 2
    assert "tiny-1: CANCELLED" in again.err


def test_a_job_without_an_id_is_named_after_its_pipeline_and_the_time(serve: Serve, typed: Typed) -> None:
    serve()
    name = typed("submit", "tiny", "--spec", SPEC).out.splitlines()[0].removeprefix("Submitted ")
    assert name.startswith("tiny-main-20")
    assert f"{name}: RUNNING" in typed("status", name).out


def test_jobs_are_listed_under_their_experiment(serve: Serve, typed: Typed) -> None:
    server = serve(experiment="prices")
    typed(*SUBMIT)
    typed("submit", "tiny", "--spec", SPEC, "--job-id", "tiny-2")
    contexts = f"{server.parent}/metadataStores/default/contexts"
    assert server.resources[f"{contexts}/prices"]["schemaTitle"] == "system.Experiment"
    assert server.children == {f"{contexts}/prices": [f"{contexts}/tiny-1", f"{contexts}/tiny-2"]}


# --- schedules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [False, True], ids=["deleted at once", "deleted after a while"])
def test_a_schedule_starts_jobs_until_it_is_paused_and_deleted(serve: Serve, typed: Typed, slow: bool) -> None:
    server = serve(VertexServer(slow_operations=slow))
    made = typed(*SCHEDULE, "--timezone", "Europe/Berlin", "--name", "mondays", "--max-concurrent", 2)
    number = made.out.split("id ")[1].partition(":")[0]
    assert f"Scheduled mondays, id {number}: CRON_TZ=Europe/Berlin 0 6 * * 1" in made.out
    assert f"/pipelines/schedules/{number}?project=my-project" in made.out
    job = server.fire(number)
    found = json.loads(typed("status", job, "--json").out)
    assert (found["schedule"], found["state"]) == (number, "RUNNING")
    for verb, state in (("pause", "PAUSED"), ("resume", "ACTIVE")):
        assert f"mondays, id {number}, is {verb}d" in typed("schedule", verb, "mondays").out
        (listed,) = json.loads(typed("schedule", "list", "--json").out)
        assert (listed["state"], listed["runs"], listed["last"]) == (state, 1, "OK")
    assert [line.split()[:3] for line in typed("schedule", "list").out.splitlines()] == [
        ["id", "name", "state"],
        [number, "mondays", "ACTIVE"],
    ]
    assert "is deleted" in typed("schedule", "delete", number).out
    assert json.loads(typed("schedule", "list", "--json").out) == []


def test_a_schedule_asks_for_the_job_that_submit_asks_for(serve: Serve, typed: Typed) -> None:
    server = serve()
    typed(*SUBMIT)
    typed(*SCHEDULE)
    submitted, scheduled = (asked.body for asked in server.asked)
    assert scheduled["createPipelineJobRequest"]["pipelineJob"] == submitted
    assert (scheduled["cron"], scheduled["displayName"]) == ("0 6 * * 1", "tiny")
    assert int(scheduled["maxConcurrentActiveRunCount"]) == 1


def test_a_schedule_that_two_have_the_name_of_is_asked_for_by_its_id(serve: Serve, typed: Typed) -> None:
    serve()
    typed(*SCHEDULE)
    typed(*SCHEDULE)
    screen = typed("schedule", "pause", "tiny")
    assert screen.code == 2
    assert "tiny, which 2 of 2 has" in screen.err


def test_a_cron_without_five_fields_is_refused(serve: Serve, typed: Typed) -> None:
    server = serve()
    screen = typed("schedule", "create", "tiny", "--cron", "0 6 * *", "--spec", SPEC)
    assert screen.code == 2
    assert "five fields" in screen.err
    assert not server.asked


# --- dry runs ------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_request_without_asking_anybody(configure: Callable[..., Path], typed: Typed) -> None:
    configure(api_endpoint="http://127.0.0.1:9")  # where nobody answers
    asked = json.loads(typed(*SUBMIT, "--param", "line=european", "--dry-run").out)
    request = json_format.ParseDict(asked, v1.CreatePipelineJobRequest.pb(v1.CreatePipelineJobRequest()))
    assert (request.parent, request.pipeline_job_id) == ("projects/my-project/locations/europe-west4", "tiny-1")
    assert request.pipeline_job.display_name == "tiny-main"
    assert request.pipeline_job.runtime_config.parameter_values["line"].string_value == "european"
    asked = json.loads(typed(*SCHEDULE, "--dry-run").out)
    assert asked["schedule"]["createPipelineJobRequest"]["pipelineJob"]["serviceAccount"] == VERTEX["service_account"]


def test_a_dry_run_needs_no_credentials(configure: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file = configure()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    screen = pipelines(*SUBMIT, "--dry-run", cwd=Path.cwd())
    assert (screen.returncode, screen.stderr) == (0, "")
    assert json.loads(screen.stdout)["pipelineJobId"] == "tiny-1"


# --- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        (401, "Request had invalid authentication credentials.", "gcloud auth application-default login"),
        (403, "Permission 'aiplatform.pipelineJobs.create' denied (or it may not exist).", "have the role granted"),
        (403, "Vertex AI API has not been used in project my-project before or it is disabled.", "terraform apply"),
        (
            400,
            "You do not have permission to act as service_account: runs@my-project.iam.gserviceaccount.com.",
            "roles/iam.serviceAccountUser",
        ),
        (
            400,
            "Service account `runs@…` does not have `[storage.objects.get]` IAM permission(s) to the bucket.",
            "vertex.root",
        ),
        (400, "Network projects/12345/global/networks/ours could not be found.", "correct vertex.network"),
        (400, "Invalid value for `labels`.", "correct the setting that the answer names"),
        (409, "projects/my-project/…/pipelineJobs/tiny-1 already exists.", "choose another name"),
        (429, "The following quota metrics exceed quota limits: custom_model_training_cpus", "IAM & Admin > Quotas"),
        (503, "The service is currently unavailable.", "status.cloud.google.com"),
    ],
)
def test_a_refusal_says_what_to_do(serve: Serve, typed: Typed, code: int, message: str, told: str) -> None:
    serve().refuse(code, message, "POST .*/pipelineJobs")
    screen = typed(*SUBMIT)
    assert screen.code == 2
    assert told in screen.err
    assert "Traceback" not in screen.err
    assert code == 401 or message in screen.err


@pytest.mark.parametrize("other", [{"project": "other-project"}, {"region": "us-central1"}])
def test_a_wrong_project_or_region_is_named(serve: Serve, typed: Typed, other: dict[str, str]) -> None:
    serve(**other)
    named = {**VERTEX, **other}
    for arguments in (SUBMIT, SCHEDULE, ("status",), ("logs", "tiny-1"), ("schedule", "list")):
        screen = typed(*arguments)
        assert screen.code == 2
        assert f"project {named['project']}, region {named['region']}" in screen.err
        assert "correct the name, or vertex.project and vertex.region" in screen.err


def test_a_job_that_is_not_there_is_named(serve: Serve, typed: Typed) -> None:
    serve()
    for command in ("status", "logs", "cancel"):
        screen = typed(command, "nobody")
        assert screen.code == 2
        assert "pipelineJobs/nobody is not found" in screen.err


def test_a_server_that_cannot_be_reached_is_named(configure: Callable[..., Path], typed: Typed) -> None:
    configure(api_endpoint="http://127.0.0.1:9")
    screen = typed("status")
    assert screen.code == 2
    assert "to reach http://127.0.0.1:9" in screen.err
    assert "Connection refused\n" in screen.err
    assert "HTTPConnection" not in screen.err


def test_credentials_that_are_missing_are_asked_for(
    configure: Callable[..., Path], typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(configure().parent / "key.json"))
    screen = typed("status")
    assert screen.code == 2
    assert "gcloud auth application-default login" in screen.err


def test_a_parameter_that_the_spec_does_not_have_is_refused(configure: Callable[..., Path], typed: Typed) -> None:
    configure()
    screen = typed(*SUBMIT, "--param", "cutoff=2011-09-01", "--dry-run")
    assert screen.code == 2
    assert "epochs, line" in screen.err
    screen = typed(*SUBMIT, "--param", "epochs=many", "--dry-run")
    assert screen.code == 2
    assert "a value of type NUMBER_INTEGER for epochs" in screen.err


def test_a_spec_that_is_none_is_refused(configure: Callable[..., Path], typed: Typed, tmp_path: Path) -> None:
    configure()
    for text, told in (("{", "a spec"), ('{"pipelineSpec": {}}', "pipelines compile"), (None, "No such file")):
        file = tmp_path / f"{told}.json"
        if text is not None:
            file.write_text(text)
        screen = typed("submit", "tiny", "--spec", file, "--dry-run")
        assert screen.code == 2
        assert told in screen.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("submit", "clv", "--spec", SPEC), "a spec of clv"),
        ((*SUBMIT, "--set", "cutoff=auto"), "both --set and --spec"),
        ((*SUBMIT, "--param", "epochs"), "--param NAME=VALUE"),
        ((*SUBMIT, "--env", "elsewhere"), "elsewhere.yaml"),
    ],
)
def test_a_command_that_contradicts_itself_is_refused(
    configure: Callable[..., Path], typed: Typed, arguments: tuple[object, ...], told: str
) -> None:
    configure()
    screen = typed(*arguments)
    assert screen.code == 2
    assert told in screen.err


def test_a_spec_that_vertex_does_not_understand_is_refused_by_it(serve: Serve, typed: Typed, tmp_path: Path) -> None:
    serve()
    spec = json.loads(SPEC.read_text())
    spec["pipelineSpec"]["root"]["dag"]["tasks"]["Trainer"]["dependsOn"] = ["ExampleGen"]
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(spec))
    screen = typed("submit", "tiny", "--spec", file)
    assert screen.code == 2
    assert "dependsOn" in screen.err


def test_a_node_that_the_job_does_not_have_is_refused(serve: Serve, typed: Typed) -> None:
    server = serve(VertexServer(run=two_nodes))
    typed(*SUBMIT)
    server.join()
    screen = typed("logs", "tiny-1", "--node", "Evaluator")
    assert screen.code == 2
    assert "ExampleGen, Trainer" in screen.err


def test_an_experiment_that_the_job_does_not_appear_in_is_told(
    serve: Serve, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(VertexServer(metadata=False), experiment="prices")
    monkeypatch.setattr(experiment, "WAIT_S", 0.0)
    screen = typed(*SUBMIT)
    assert screen.code == 2
    assert "nothing is lost" in screen.err
    assert list(server.children) == []
