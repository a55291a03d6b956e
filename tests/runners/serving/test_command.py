"""`pipelines serve` as a process: what it says, where it listens, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from served_command import PATIENCE_S, Serving
from small_models import CUSTOMER, FUTURE, push_clv

from pipeline.contract import UserError, find_model
from runners.serving.server import bind
from runners.serving.settings import serve_settings
from runners.serving.source import find_source


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a version in a bucket, as Vertex AI copies one for a container."""
    from gcp_storage_emulator.server import create_server
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="models")
    server.start()
    folder = tmp_path_factory.mktemp("bucket")
    version = Path(push_clv(folder / "pushed", folder).path)
    client = storage.Client("p", AnonymousCredentials(), client_options={"api_endpoint": f"http://127.0.0.1:{port}"})
    for path in version.rglob("*"):
        if path.is_file():
            client.bucket("models").blob(f"artifact/{path.relative_to(version)}").upload_from_filename(str(path))
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_a_container_of_vertex_ai_serves_and_ends_in_order(bucket: str) -> None:
    container = {
        "AIP_HTTP_PORT": "0",
        "AIP_HEALTH_ROUTE": "/ping",
        "AIP_PREDICT_ROUTE": "/v1/endpoints/7/deployedModels/8:predict",
        "AIP_STORAGE_URI": "gs://models/artifact",
        "STORAGE_EMULATOR_HOST": bucket,
        "GOOGLE_CLOUD_PROJECT": "p",
    }
    serving = Serving(["clv", "--set", "stop_delay_s=2"], container)
    try:
        url = serving.wait()
        assert "digest" in serving.said
        assert requests.get(f"{url}/ping", timeout=PATIENCE_S).status_code == 200
        predict = url + container["AIP_PREDICT_ROUTE"]

        def slowly() -> Iterator[bytes]:
            yield b'{"instances": ['
            serving.process.send_signal(signal.SIGTERM)
            _until_not_ready(url)
            yield json.dumps(CUSTOMER).encode() + b"]}"

        answer = requests.post(predict, data=slowly(), timeout=PATIENCE_S)
        assert (answer.status_code, answer.json()["predictions"][0][FUTURE]) == (200, 30)
        assert (serving.end(), "Traceback" in serving.said) == (0, False)
    finally:
        serving.process.kill()
        serving.end()


def _until_not_ready(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while requests.get(f"{url}/readyz", timeout=PATIENCE_S).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_port_that_is_taken_is_a_mistake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(UserError, match="--port"):
        bind("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize(
    ("version", "words"), [("7", "versions there"), ("nowhere/7", "number or the folder of a version")]
)
def test_a_version_that_is_not_there_is_a_mistake(clv_destination: Path, version: str, words: str) -> None:
    base = clv_destination.parent / "base"
    base.mkdir(exist_ok=True)
    line = base / "clv-small"
    if not line.exists():
        line.symlink_to(clv_destination)
    with pytest.raises(UserError, match=words):
        find_source(find_model("clv"), str(base), None, version)


def test_nothing_pushed_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pipelines run clv"):
        find_source(find_model("clv"), str(tmp_path), None, None)


@pytest.mark.parametrize("typed", [{"max_rows": "0"}, {"max_row": "1"}, {"poll_s": "soon"}])
def test_a_setting_that_is_wrong_is_a_mistake(typed: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(typed))):
        serve_settings(typed)
