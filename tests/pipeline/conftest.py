"""A bucket on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import create_server
from google.cloud import storage


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
