"""Small models, pushes of them, and a bucket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import create_server
from google.cloud import storage

from pipeline.push import Pushed, Told, draft, publish


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "served"


@pytest.fixture
def make_model() -> Callable[..., Path]:
    """Writes a folder like a SavedModel's, whose weights are `content` padded to `size` bytes."""

    def make_model(folder: Path, content: str = "weights", size: int = 1000) -> Path:
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"graph")
        (folder / "variables" / "variables.index").write_bytes(b"index")
        (folder / "variables" / "variables.data-00000-of-00001").write_text(content.ljust(size))
        return folder

    return make_model


@pytest.fixture
def push() -> Callable[..., Pushed]:
    """Pushes a folder without TFX."""

    def push(destination: Path | str, model: Path, wait_s: float = 10) -> Pushed:
        told = Told(model="tiny", pipeline="tiny-main", data_digest="d" * 16, settings={}, bounds={})
        return publish(str(destination), model, draft(told, model, run="", model_uri=str(model), metrics={}), wait_s)

    return push


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Bucket]:
    """A bucket of a storage server on loopback, which the real client talks to.

    The emulator does not know preconditions; the one that our lock is made of is added here, as the real
    service documents it: 412 if an object exists where generation 0 (none) was to match.
    """
    upload, mutex = objects._multipart_upload, threading.Lock()

    def conditional(request: Any, response: Any, store: Any) -> None:
        name = request.query.get("name", [request.data["meta"].get("name")])[0]
        with mutex:
            if request.query.get("ifGenerationMatch") == ["0"] and _exists(store, request.params["bucket_name"], name):
                response.status = HTTPStatus.PRECONDITION_FAILED
                response.json({"error": {"code": 412, "message": "conditionNotMet"}})
            else:
                upload(request, response, store)

    monkeypatch.setattr(objects, "_multipart_upload", conditional)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    with create_server("127.0.0.1", port, in_memory=True, default_bucket="models"):
        yield storage.Client().bucket("models")


def _exists(store: Any, bucket: str, name: str) -> bool:
    try:
        store.get_file_obj(bucket, name)
    except NotFound:
        return False
    return True
