"""The page `docs/vertex.md`, typed as it stands, against servers on this machine that play the cloud.

Rehearsals have tests of their own: that command is left out here.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloud_project import Cloud, storage
from vertex_server import NodeState, VertexServer

from models.clv.sample import write_sample
from runners import cli
from runners.vertex.bigquery_standin import serve

PROJECT = Path(__file__).parents[3]
PAGE = (PROJECT / "docs" / "vertex.md").read_text(encoding="utf-8")
COMMANDS = [line.removeprefix("$ ") for line in re.findall(r"^\$ pipelines .*$", PAGE, flags=re.MULTILINE)]
ENVIRONMENT = "deploy/environments/vertex.yaml"
NOT_YET = 1
"""What the doctor ends with: on the page, the table is only loaded after it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout as the page has it, and a shop's file."""
    folder = tmp_path_factory.mktemp("page")
    (folder / ENVIRONMENT).parent.mkdir(parents=True)
    shutil.copyfile(PROJECT / ENVIRONMENT, folder / ENVIRONMENT)
    write_sample(folder / "shop.csv", 7)
    with storage() as buckets, serve() as warehouse, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("STORAGE_EMULATOR_HOST", buckets)
        patch.setenv("BIGQUERY_EMULATOR_HOST", warehouse)
        yield folder


def typed(command: str, address: str, capture: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Types a command with the environment's APIs at an address; returns how it ended and what it said."""
    content = yaml.safe_load((PROJECT / ENVIRONMENT).read_text())
    Path(ENVIRONMENT).write_text(yaml.safe_dump({**content, "vertex": {**content["vertex"], "api_endpoint": address}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            cli.main()
    said = capture.readouterr()
    return int(ended.value.code or 0), said.out + said.err


@pytest.mark.slow
def test_every_command_of_the_page_does_what_the_page_says(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    over = threading.Event()

    def run(job: dict[str, Any]) -> Iterator[NodeState]:
        yield NodeState("ExampleGen", "SUCCEEDED", log=["10,468 rows"])
        yield NodeState("Trainer", "RUNNING", log=["epoch 1"])
        over.wait()
        yield NodeState("Trainer", "CANCELLED")

    vertex, said = VertexServer(run=run), {}
    with vertex.serving() as address, Cloud().serving() as looked_at:
        for command in COMMANDS:
            if command.startswith("pipelines rehearse"):
                continue
            at = looked_at if " doctor " in command else address
            code, said[command] = typed(command, at, capfd)
            assert code == (NOT_YET if " doctor " in command else 0), said[command]
        over.set()
        vertex.join()

    def says(start: str, *words: str) -> None:
        (text,) = [text for command, text in said.items() if command.startswith(f"pipelines {start}")]
        assert not [word for word in words if word not in text], text

    says("compile clv", "Wrote clv.json: clv-main-horizon-days-91, 12 nodes", "cutoff 2011-09-01")
    says("compile colorizer", "Wrote colorizer.json")
    says("doctor", "problem  table of clv", "ok  project: my-project is ACTIVE")
    says("load-bigquery clv --data shop.csv --write", "my-project.shop.transactions_features has 10,468 rows now")
    says("submit clv --spec", '"serviceAccount": "tfx-pipelines@my-project.iam.gserviceaccount.com"')
    says("submit clv --job-id", "Submitted first", "https://console.cloud.google.com/vertex-ai/")
    says("status first", "Trainer", "RUNNING")
    says("logs first", "Trainer: epoch 1")
    says("cancel first", "first is being cancelled")
    says("schedule list", "mondays", "CRON_TZ=Europe/Berlin 0 6 * * 1")
    says("teardown --dry-run", "pipeline job: projects/my-project/locations/europe-west4/pipelineJobs/first")
    says("teardown --yes", "removed pipeline job projects/my-project/locations/europe-west4/pipelineJobs/first")
