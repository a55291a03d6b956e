"""What `deploy/` says fits the code, the lock and the documentation. No docker and no Terraform are needed."""

from __future__ import annotations

import fnmatch
import inspect
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pipeline.push.registry_settings import Push, Vertex
from pipeline.push.vertex import container
from runners.cli import app
from runners.options import ENVIRONMENTS, pairs
from runners.serving.app import create_app
from runners.serving.serving import PORT
from runners.serving.settings import serve_settings
from runners.tfx_lines import LINES
from runners.vertex.settings import read_vertex

PROJECT = Path(__file__).parents[1]
DEPLOY = PROJECT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
LOCK = (PROJECT / "requirements.lock").read_text()
TERRAFORM = "".join(path.read_text() for path in sorted((DEPLOY / "terraform").glob("*.tf")))
SERVING_PAGE = PROJECT / "docs" / "serving-deploy.md"
GLIBC = {"bookworm": (2, 36), "trixie": (2, 41)}
"""The C library of a Debian release."""


def cloudbuild() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "cloudbuild.yaml").read_text())
    return read


def instructions(name: str) -> list[str]:
    """Arguments of all instructions of a kind, in order, continued lines joined."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


# --- the image -----------------------------------------------------------------------------------------


def test_each_line_is_built_on_a_debian_whose_c_library_it_can_use() -> None:
    stages = re.findall(r"^FROM python:(\d+)\.(\d+)-(?:slim-)?(\w+) AS (?:build|slim)-(\S+)$", DOCKERFILE, re.MULTILINE)
    assert len(stages) == 4
    for major, minor, debian, name in stages:
        assert name == f"{major}.{minor}"
        assert GLIBC[debian] >= LINES[int(major), int(minor)].glibc
    assert {LINES[int(major), int(minor)] for major, minor, _, _ in stages} == set(LINES.values())


@pytest.mark.parametrize(("python", "marker"), [("3.10", "<"), ("3.12", ">=")])
def test_beams_program_is_of_the_beam_in_the_lock(python: str, marker: str) -> None:
    (version,) = re.findall(rf"^apache-beam==(\S+) ; python_full_version {marker} '3.11'", LOCK, re.MULTILINE)
    assert f"FROM apache/beam_python{python}_sdk:{version} AS beam-{python}\n" in DOCKERFILE


def test_the_image_gets_what_the_wheel_needs_and_nothing_else() -> None:
    copied = {name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]}
    copied -= {"--chmod=555"}
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert ignored[1] == "*", "all that is not named is left out"
    packages = yaml.safe_load(
        re.findall(r"packages.find.include = (\[.*\])", (PROJECT / "pyproject.toml").read_text())[0]
    )
    folders = {name for name in copied if (PROJECT / name).is_dir()}
    assert folders == {package.rstrip("*") for package in packages}
    assert not any(fnmatch.fnmatch("tests", package) for package in packages)


def test_the_last_stage_has_no_compiler_no_root_and_an_empty_folder() -> None:
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert last.startswith("\nFROM slim-${PYTHON}\n")
    assert not re.search(r"apt-get|g\+\+|pip install", last)
    (user,) = re.findall(r"^USER (\d+)$", last, re.MULTILINE)
    assert int(user) > 0
    (folder,) = re.findall(r"^WORKDIR (\S+)$", last, re.MULTILINE)
    assert f"mkdir --mode=555 {folder}" in last, "`python -m` looks there first: nobody may write to it"
    assert not re.search(rf"COPY .* {folder}", last)


@pytest.mark.parametrize(
    ("typed", "started"),
    [
        (["run", "clv"], "pipelines run clv"),
        (["--help"], "pipelines --help"),
        (["serve", "clv", "--host", "0.0.0.0"], "pipelines serve clv --host 0.0.0.0"),
        (["--id=1-1", "--logging_endpoint=localhost:1"], "boot --id=1-1 --logging_endpoint=localhost:1"),
    ],
)
def test_the_entry_point_knows_beams_workers(typed: list[str], started: str, tmp_path: Path) -> None:
    for name in ("pipelines", "boot"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    script = tmp_path / "entrypoint"
    script.write_text((DEPLOY / "entrypoint").read_text().replace("/opt/apache/beam/boot", f"{tmp_path}/boot"))
    told = subprocess.run(
        ["sh", script, *typed], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == started


# --- how it is built -----------------------------------------------------------------------------------


def test_cloud_build_makes_an_image_of_each_line_and_pushes_both() -> None:
    build = cloudbuild()
    pythons = [re.findall(r"--build-arg=PYTHON=(\S+)", " ".join(step["args"]))[0] for step in build["steps"]]
    assert sorted(pythons) == sorted(re.findall(r"AS slim-(\S+)", DOCKERFILE))
    tags = [word.partition("=")[2] for step in build["steps"] for word in step["args"] if word.startswith("--tag=")]
    assert tags == build["images"]
    assert len(set(tags)) == 2
    assert not any(tag.endswith(":latest") for tag in tags)
    assert (PROJECT / "deploy" / "Dockerfile").is_file()
    assert all("--file=deploy/Dockerfile" in step["args"] for step in build["steps"])


def test_the_environments_file_names_what_cloud_build_and_terraform_make() -> None:
    vertex = read_vertex(PROJECT / ENVIRONMENTS / "vertex.yaml")
    build = cloudbuild()
    image = build["images"][0].replace("$PROJECT_ID", vertex.project)
    for name, value in build["substitutions"].items():
        image = image.replace(f"${{{name}}}", value)
    assert vertex.image == image
    version = re.findall(r'^version = "(.+)"', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    assert build["substitutions"]["_VERSION"] == version
    accounts = re.findall(r'account_id\s+= "(.+)"', TERRAFORM)
    assert (vertex.service_account or "").partition("@")[0] in accounts
    assert build["serviceAccount"].rpartition("/")[2].partition("@")[0] in accounts
    assert vertex.root == f"gs://{vertex.project}-pipelines/artifacts"
    assert '"${var.project}-pipelines"' in TERRAFORM
    keys = set(re.findall(r"^        (\w+) += ", (DEPLOY / "terraform" / "outputs.tf").read_text(), re.MULTILINE))
    assert keys == vertex.model_fields_set


# --- the project ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", [*sorted((PROJECT / "docs").glob("vertex*.md")), SERVING_PAGE], ids=lambda page: page.name
)
def test_terraform_grants_every_role_and_enables_every_api_that_a_page_names(page: Path) -> None:
    named = set(re.findall(r"roles/[\w.]+\w|\w+\.googleapis\.com", page.read_text()))
    assert sorted(name for name in named if name not in TERRAFORM) == []


def test_terraform_is_pinned_and_its_bucket_is_private() -> None:
    assert re.search(r'source\s+= "hashicorp/google"\s+version = "~> \d+\.\d+"', TERRAFORM)
    assert "uniform_bucket_level_access = true" in TERRAFORM
    assert 'public_access_prevention    = "enforced"' in TERRAFORM
    assert not re.search(r"roles/(owner|editor|\w*\.?admin)\"", TERRAFORM), "no more than is needed"


# --- serving -------------------------------------------------------------------------------------------


def serve_command(arguments: list[str]) -> dict[str, Any]:
    """What `pipelines` takes an image's arguments for."""
    group = typer.main.get_command(app)
    name, *rest = arguments
    parsed: dict[str, Any] = group.commands[name].make_context(name, rest).params  # type: ignore[attr-defined]
    return parsed


def test_vertex_ai_starts_the_server_where_it_answers() -> None:
    vertex = Vertex(project="p", region="europe-west4", image="images/nodes:1", push=Push(server="pipelines"))
    spec = container(vertex, "clv")
    taken = serve_command(list(spec.args))
    assert (taken["model"], taken["host"], taken["port"]) == ("clv", "0.0.0.0", None), "the port comes in AIP_HTTP_PORT"
    routes = inspect.signature(create_app).parameters
    assert spec.predict_route == routes["predict_route"].default
    assert spec.health_route == routes["health_route"].default
    assert spec.ports[0].container_port == PORT


def test_cloud_run_starts_the_server_and_waits_until_it_is_ready() -> None:
    text = (DEPLOY / "terraform" / "serving.tf").read_text()
    (arguments,) = re.findall(r"args = \[(.+)\]", text)
    typed = [
        word.strip('"') for word in arguments.replace("each.key", "clv").replace("each.value", "gs://b/f").split(", ")
    ]
    taken = serve_command(typed)
    assert (taken["model"], taken["version"], taken["host"], taken["port"]) == ("clv", "gs://b/f", "0.0.0.0", None)
    settings = serve_settings(pairs("--set", taken["assignments"]))
    (clients,) = re.findall(r"max_instance_request_concurrency = (\d+)", text)
    assert int(clients) <= settings.max_connections
    health = inspect.signature(create_app).parameters["health_route"].default
    assert re.findall(r'path = "(.+)"', text) == [health, health]
    startup = dict(re.findall(r"(\w+)_\w+ += (\d+)", text[text.index("startup_probe") : text.index("liveness_probe")]))
    assert int(startup["period"]) * int(startup["failure"]) <= 240, "Cloud Run waits no longer"
