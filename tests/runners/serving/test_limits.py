"""What a server does not take on: it says so, and goes on answering others."""

from __future__ import annotations

import base64
import io
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from serving_server import running, running_server
from small_models import CUSTOMER, FUTURE

from pipeline.contract import UserError, find_model
from runners.serving.settings import serve_settings

PATIENCE_S = 20
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"


@pytest.fixture(scope="module")
def strict_url(clv_destination: Path) -> Iterator[str]:
    """A server with little patience."""
    limits = {"max_body_bytes": 5000, "max_rows": 4, "max_connections": 30, "head_timeout_s": 1, "body_timeout_s": 1}
    with running(clv_destination, find_model("clv"), **limits) as url:
        yield url


def _connect(url: str) -> socket.socket:
    host, _, port = urlsplit(url).netloc.partition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def _is_closed(client: socket.socket) -> bool:
    """Whether the server ends the connection without a word."""
    try:
        return client.recv(1000) == b""
    except ConnectionResetError:
        return True


def _ask(url: str, rows: int = 1, **more: Any) -> requests.Response:
    return requests.post(f"{url}/predict", json={"instances": [CUSTOMER] * rows, **more}, timeout=PATIENCE_S)


def test_a_body_that_is_too_large_is_not_read(strict_url: str) -> None:
    with _connect(strict_url) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_tell_its_size_is_read_up_to_the_limit(strict_url: str) -> None:
    answer = requests.post(f"{strict_url}/predict", data=(b"x" * 1000 for _ in range(20)), timeout=PATIENCE_S)
    assert (answer.status_code, "5000 bytes" in answer.json()["error"]["message"]) == (413, True)


def test_a_client_that_sends_too_much_still_reads_why(strict_url: str) -> None:
    answer = requests.post(f"{strict_url}/v1/models/clv:predict", data=b"x" * 3_000_000, timeout=PATIENCE_S)
    assert (answer.status_code, list(answer.json())) == (413, ["error"])


def test_too_many_rows_are_refused(strict_url: str) -> None:
    assert "at most 4 instances" in _ask(strict_url, rows=5).json()["error"]["message"]
    assert _ask(strict_url, rows=4).status_code == 200


def test_a_slow_body_is_not_waited_for(strict_url: str) -> None:
    with _connect(strict_url) as client:
        client.sendall(HEAD + b"\r\n{")
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
        while client.recv(1000):  # The server ends the connection, not the patience of this test.
            pass


@pytest.mark.parametrize("begun", [b"", HEAD], ids=["silent", "half a head"])
def test_a_slow_head_is_not_waited_for(strict_url: str, begun: bytes) -> None:
    with _connect(strict_url) as client:
        client.sendall(begun)
        assert _is_closed(client)
    assert _ask(strict_url).status_code == 200


def test_a_slow_head_between_requests_is_not_waited_for(strict_url: str) -> None:
    with _connect(strict_url) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        client.sendall(HEAD)
        began = time.monotonic()
        assert _is_closed(client)
        assert time.monotonic() - began < PATIENCE_S / 2


def test_those_who_wait_longest_make_room(strict_url: str) -> None:
    waiting = [_connect(strict_url) for _ in range(60)]
    try:
        for client in waiting:
            client.sendall(HEAD + b"\r\n{" if client.fileno() % 2 else HEAD)
        assert _ask(strict_url).json()["predictions"][0][FUTURE] == 30
    finally:
        for client in waiting:
            client.close()


def test_a_full_queue_says_when_to_come_again(clv_destination: Path) -> None:
    limits = {"model_threads": 1, "max_rows": 2, "max_queued_rows": 2}
    with running_server(clv_destination, find_model("clv"), **limits) as (url, served), ThreadPoolExecutor(4) as pool:
        held, free = threading.Event(), threading.Event()
        answer = served.current.ask

        def slow(signature: str, columns: Any) -> Any:
            held.set()
            assert free.wait(PATIENCE_S)
            return answer(signature, columns)

        served.current.ask = slow  # type: ignore[method-assign]
        first = pool.submit(_ask, url)
        assert held.wait(PATIENCE_S)
        second = pool.submit(_ask, url, 2)
        while served._batcher.rows < 2:
            time.sleep(0.01)
        refused = _ask(url)
        assert "serving_queued_rows 2.0" in requests.get(f"{url}/metrics", timeout=PATIENCE_S).text
        free.set()
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert (first.result().status_code, second.result().status_code) == (200, 200)


def test_a_model_that_does_not_answer_is_not_waited_for(clv_destination: Path) -> None:
    with running_server(clv_destination, find_model("clv"), model_timeout_s=0.2) as (url, served):
        answer, free = served.current.ask, threading.Event()
        served.current.ask = lambda *given: (free.wait(PATIENCE_S), answer(*given))[1]  # type: ignore[method-assign]
        try:
            assert _ask(url).status_code == 504
        finally:
            free.set()


def test_one_bad_request_spoils_no_other_of_its_batch(clv_destination: Path) -> None:
    def ask(example: str) -> int:
        body = {"instances": [example], "signature_name": "serving_examples"}
        return requests.post(f"{url}/v1/models/clv:predict", json=body, timeout=PATIENCE_S).status_code

    with (
        running_server(clv_destination, find_model("clv"), model_threads=1) as (url, served),
        ThreadPoolExecutor(9) as pool,
    ):
        answer, sizes, held = served.current.ask, [], threading.Event()

        def slow(signature: str, columns: Any) -> Any:
            sizes.append(len(columns["examples"]))
            if len(sizes) == 1:
                held.wait(PATIENCE_S)
            return answer(signature, columns)

        served.current.ask = slow  # type: ignore[method-assign]
        asked = [pool.submit(ask, "no example" if number == 3 else "") for number in range(8)]
        while served._batcher.rows < 7:
            time.sleep(0.01)
        held.set()
        assert sorted(one.result() for one in asked) == [200] * 7 + [400]
        assert sizes[:2] == [1, 7]


def _bomb(side: int) -> bytes:
    """A PNG of few bytes and many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [5000, 60000])
@pytest.mark.parametrize("signature", ["serving_bytes", "serving_examples"])
def test_a_picture_of_too_many_pixels_is_not_decoded(colorizer_url: str, side: int, signature: str) -> None:
    import tensorflow as tf

    picture = _bomb(side)
    if signature == "serving_examples":
        example = tf.train.Example()
        example.features.feature["gray"].bytes_list.value.append(picture)
        picture = example.SerializeToString()
    asked = {"b64": base64.b64encode(picture).decode()}
    body = {"instances": [asked], "signature_name": signature}
    answer = requests.post(f"{colorizer_url}/v1/models/colorizer:predict", json=body, timeout=PATIENCE_S)
    assert (answer.status_code, "pixels" in answer.text) == (413, True)


def test_an_animation_is_refused(colorizer_url: str) -> None:
    """TensorFlow would make room for all of its frames."""
    from PIL import Image

    file = io.BytesIO()
    frames = [Image.new("P", (2000, 2000), number) for number in range(5)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    body = {"instances": [{"b64": base64.b64encode(file.getvalue()).decode()}], "signature_name": "serving_bytes"}
    answer = requests.post(f"{colorizer_url}/v1/models/colorizer:predict", json=body, timeout=PATIENCE_S)
    assert (answer.status_code, "animated" in answer.text) == (400, True)


def test_a_request_that_never_finds_room_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(UserError, match="max_queued_rows at least max_rows"):
        serve_settings({"max_rows": "100", "max_queued_rows": "10"})


def test_an_answer_of_too_many_numbers_is_not_made(colorizer_destination: Path) -> None:
    model, body = find_model("colorizer"), {"instances": [[[[0.5]] * 20] * 20] * 5}
    with running(colorizer_destination, model, max_answer_values=5000, max_batch_rows=2) as url:
        answer = requests.post(f"{url}/predict", json=body, timeout=PATIENCE_S)
    assert (answer.status_code, "5000 numbers" in answer.text) == (413, True)


def test_a_head_without_an_end_is_not_read(strict_url: str) -> None:
    with _connect(strict_url) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
        time.sleep(0.1)
        client.sendall(b"x" * 40_000)
        assert _is_closed(client)


def test_the_access_log_tells_nothing_of_customers(clv_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    secret = "Wakanda"
    answer = requests.post(
        f"{clv_url}/v1/projects/{secret}/locations/l/endpoints/1:predict?customer={secret}",
        json={"instances": [{**CUSTOMER, "customer_country": secret}]},
        headers={"X-Request-Id": "order-7"},
        timeout=PATIENCE_S,
    )
    assert answer.headers["X-Request-Id"] == "order-7"
    deadline = time.monotonic() + PATIENCE_S
    text = ""
    while "order-7" not in text and time.monotonic() < deadline:
        text += capfd.readouterr().out
    line = json.loads(next(line for line in text.splitlines() if "order-7" in line))
    assert {name: line[name] for name in ("status", "rows", "method")} == {"status": 200, "rows": 1, "method": "POST"}
    assert line["version"] == int(answer.json()["modelVersionId"])
    assert secret not in text
