"""A training as a custom job: Google's own client sends it to a server on this machine, which reads the message."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.cloud.aiplatform_v1.types import AcceleratorType, CustomJob
from typer.testing import CliRunner

from models.clv import MODEL as CLV
from models.colorizer import MODEL as COLORIZER
from pipeline.contract import UserError
from runners.cli import app
from runners.training_options import Transformed
from runners.vertex.custom_job import custom_job
from runners.vertex.settings import VertexSettings

NAME = "projects/my-project/locations/europe-west4/customJobs/77"
TRANSFORMED = Transformed("gs://bucket-x/examples/5", "gs://bucket-x/graph/5")


def settings(**changes: Any) -> VertexSettings:
    given = {
        "project": "my-project",
        "region": "europe-west4",
        "root": "gs://bucket-x/artifacts",
        "image": "europe-west4-docker.pkg.dev/my-project/pipelines/tfx-pipelines:0.1.0",
        "service_account": "tfx-pipelines@my-project.iam.gserviceaccount.com",
        "tensorboard": "projects/1/locations/europe-west4/tensorboards/2",
        "network": "projects/1/global/networks/inner",
        "encryption_key": "projects/p/locations/europe-west4/keyRings/r/cryptoKeys/k",
        "labels": {"team": "shop"},
        "training": {"machine": "n1-standard-8", "accelerator": "NVIDIA_TESLA_T4", "accelerators": 2},
    }
    return VertexSettings.model_validate({**given, **changes})


@contextmanager
def server(status: int, answer: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, CustomJob]]]]:
    """Answers each request alike; yields its address and what it was asked."""
    asked: list[tuple[str, CustomJob]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked.append((self.path.partition("?")[0], CustomJob.from_json(body)))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", asked
    finally:
        listening.shutdown()
        listening.server_close()


def environment(folder: Path, **changes: Any) -> str:
    """A file for --env; JSON is YAML."""
    file = folder / "cloud.yaml"
    content = {"vertex": settings(**changes).model_dump(mode="json"), "clv": {"features": {"horizon_days": 60}}}
    file.write_text(json.dumps(content))
    return str(file)


def test_the_job_reaches_vertex_as_the_same_command_in_the_image(tmp_path: Path) -> None:
    with server(200, {"name": NAME}) as (address, asked):
        env = environment(tmp_path, api_endpoint=address)
        words = ["train", "clv", "--env", env, "--data", "gs://bucket-x/shop.csv", "--learning-rate", "0.01"]
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    ((path, job),) = asked
    assert path == "/v1/projects/my-project/locations/europe-west4/customJobs"
    spec = job.job_spec
    (pool,) = spec.worker_pool_specs
    assert list(pool.container_spec.command) == ["pipelines"]
    arguments = list(pool.container_spec.args)
    assert arguments[:6] == ["train", "clv", "--root", "/tmp/runs", "--data", "gs://bucket-x/shop.csv"]
    assert "training.learning_rate=0.01" in arguments
    assert "features.horizon_days=60" in arguments
    assert pool.container_spec.image_uri == settings().image
    machine = pool.machine_spec
    # A plain number where another of Google's libraries, imported before, knows an enum of that name.
    assert AcceleratorType(machine.accelerator_type) == AcceleratorType.NVIDIA_TESLA_T4
    assert (machine.machine_type, machine.accelerator_count) == ("n1-standard-8", 2)
    assert spec.base_output_directory.output_uri_prefix.startswith("gs://bucket-x/artifacts/training/clv-training-")
    assert (spec.service_account, spec.network, spec.tensorboard) == (
        settings().service_account,
        settings().network,
        settings().tensorboard,
    )
    assert job.encryption_spec.kms_key_name == settings().encryption_key
    assert dict(job.labels) == {"model": "clv", "team": "shop", "made-by": "tfx-pipelines"}
    assert f"Submitted {NAME}" in done.output
    assert "locations/europe-west4/training/77?project=my-project" in done.output


def test_a_dry_run_prints_the_request_and_asks_nobody(tmp_path: Path) -> None:
    with server(500, {}) as (address, asked):
        env = environment(tmp_path, api_endpoint=address)
        done = CliRunner().invoke(app, ["train", "clv", "--env", env, "--dry-run"])
    assert done.exit_code == 0
    assert asked == []
    assert list(CustomJob.from_json(done.output).job_spec.worker_pool_specs[0].container_spec.args)[:2] == [
        "train",
        "clv",
    ]


def test_a_refusal_of_vertex_is_told_in_words(tmp_path: Path) -> None:
    refusal = {"error": {"code": 403, "message": "aiplatform.customJobs.create denied", "status": "PERMISSION_DENIED"}}
    with server(403, refusal) as (address, _):
        env = environment(tmp_path, api_endpoint=address)
        done = CliRunner().invoke(app, ["train", "clv", "--env", env])
    assert isinstance(done.exception, UserError)
    assert done.exception.expected == "permission for this in project my-project, region europe-west4"


def test_the_container_is_told_the_settings_that_were_typed(tmp_path: Path) -> None:
    env = environment(tmp_path)
    words = ["train", "clv", "--env", env, "--hidden-units", "[8, 4]", "--set", "cutoff=2011-09-01", "--dry-run"]
    job = CustomJob.from_json(CliRunner().invoke(app, words).output)
    arguments = list(job.job_spec.worker_pool_specs[0].container_spec.args)
    again = CliRunner().invoke(app, [*arguments, "--env", env, "--dry-run"])
    assert (
        list(CustomJob.from_json(again.output).job_spec.worker_pool_specs[0].container_spec.args)[:4] == arguments[:4]
    )
    shown = CliRunner().invoke(app, ["settings", "clv", *arguments[4:]]).output
    assert "cutoff: 2011-09-01" in shown.replace("'", "")
    assert "horizon_days: 60" in shown
    assert "hidden_units:\n  - 8\n  - 4" in shown


def test_the_environment_says_where_pictures_are() -> None:
    job = custom_job(COLORIZER, settings(sources={"colorizer": "gs://bucket-x/photos"}), (), None)
    assert list(job.job_spec.worker_pool_specs[0].container_spec.args)[4:] == ["--data", "gs://bucket-x/photos"]


@pytest.mark.parametrize(
    ("sources", "source", "todo"),
    [
        ({"clv": "my-project.shop.transactions"}, None, "--examples and --transform-graph"),
        ({}, "shop.csv", "gcloud storage cp"),
    ],
)
def test_data_that_a_job_cannot_read_are_refused(sources: dict[str, str], source: str | None, todo: str) -> None:
    with pytest.raises(UserError, match=todo):
        custom_job(CLV, settings(sources=sources), (), source)


def test_several_machines_are_a_chief_and_workers() -> None:
    layers = ({"training": {"distribution": "multi_worker"}},)
    job = custom_job(COLORIZER, settings(training={"replicas": 3}), layers, TRANSFORMED)
    pools = job.job_spec.worker_pool_specs
    assert [pool.replica_count for pool in pools] == [1, 2]
    assert "--examples" in list(pools[1].container_spec.args)


@pytest.mark.parametrize(
    ("replicas", "distribution", "source"),
    [(2, "single", TRANSFORMED), (1, "multi_worker", TRANSFORMED), (2, "multi_worker", "gs://bucket-x/photos")],
)
def test_machines_that_would_not_train_together_are_refused(
    replicas: int, distribution: str, source: Transformed | str
) -> None:
    with pytest.raises(UserError, match="all or none of"):
        custom_job(
            COLORIZER,
            settings(training={"replicas": replicas}),
            ({"training": {"distribution": distribution}},),
            source,
        )


def test_a_dry_run_needs_an_environment_of_vertex() -> None:
    done = CliRunner().invoke(app, ["train", "clv", "--dry-run"])
    assert isinstance(done.exception, UserError)
    assert "--env vertex" in done.exception.todo


def test_an_environment_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["train", "clv", "--env", "nowhere"])
    assert isinstance(done.exception, UserError)
    assert str(Path.cwd() / "deploy" / "environments" / "nowhere.yaml") in done.exception.expected
