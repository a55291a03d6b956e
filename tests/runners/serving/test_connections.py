"""Clients that stop half way, say nonsense or say nothing: each is bounded, and others are answered meanwhile."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from serving_server import running
from small_models import CUSTOMER

from pipeline.contract import find_model

BODY = json.dumps({"instances": [CUSTOMER]}).encode()
HEAD = b"POST /v1/models/clv:predict HTTP/1.1\r\nHost: localhost\r\n"
SLOW = 2000
AT_MOST = 100
WAIT_S = 2.0


@pytest.fixture(scope="module")
def url(clv_destination: Path) -> Iterator[str]:
    limits = {"head_timeout_s": WAIT_S, "body_timeout_s": WAIT_S, "max_connections": AT_MOST, "max_body_bytes": 100_000}
    with running(clv_destination, find_model("clv"), **limits) as url:
        yield url


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def exchange(url: str, sent: bytes) -> bytes:
    """What comes back until the server closes the connection."""
    with connect(url) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(65536):
            received += part
            if b"\r\n\r\n" in received and b"connection: close" not in received.lower():
                break
    return received


def drip(connection: socket.socket, seconds: float) -> None:
    """Sends a byte now and then; a closed connection is told by a later one."""
    for _ in range(int(seconds * 5)):
        connection.sendall(b"X")
        time.sleep(0.2)


def send_for_ever(connection: socket.socket, part: bytes) -> None:
    for _ in range(10_000):
        connection.sendall(part)


def answers(url: str) -> bool:
    return requests.post(f"{url}/v1/models/clv:predict", data=BODY, timeout=20).status_code == 200


def test_a_body_that_stops_half_way_is_waited_for_only_so_long(url: str) -> None:
    began = time.monotonic()
    received = exchange(url, HEAD + b"Content-Length: 5000\r\n\r\n" + BODY[:50])
    assert received.startswith(b"HTTP/1.1 408")
    assert b"error" in received
    assert time.monotonic() - began < WAIT_S + 5
    assert answers(url)


def test_a_client_that_goes_away_half_way_harms_nobody(url: str) -> None:
    for _ in range(20):
        with connect(url) as connection:
            connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n" + BODY[:50])
    assert answers(url)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/models", HEAD, HEAD + b"X-Slow: "])
def test_a_head_that_does_not_come_is_waited_for_only_so_long(url: str, sent: bytes) -> None:
    began = time.monotonic()
    with connect(url) as connection:
        connection.sendall(sent)
        received = connection.recv(65536)
    assert received == b"" or received.startswith(b"HTTP/1.1 4")
    assert time.monotonic() - began < WAIT_S + 5


def test_a_head_that_comes_a_byte_at_a_time_is_waited_for_only_so_long(url: str) -> None:
    began = time.monotonic()
    with connect(url) as connection, pytest.raises(ConnectionError):
        drip(connection, seconds=WAIT_S + 5)
    assert time.monotonic() - began < WAIT_S + 5


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400|505"),
        (HEAD + b"Content-Length: many\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: -5\r\n\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (HEAD + b"Content-Length: 100000000\r\n\r\n", b"413"),
        (HEAD + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n", b"400|431"),
        (bytes(range(256)), b"400"),
    ],
)
def test_what_is_no_http_is_refused(url: str, sent: bytes, status: bytes) -> None:
    try:
        received = exchange(url, sent)
    except ConnectionResetError:  # Closed while a part of what was sent had not been read.
        received = b""
    assert received == b"" or received.split()[1] in status.split(b"|")
    assert answers(url)


def test_a_body_longer_than_it_says_chunk_by_chunk_is_cut_off(url: str) -> None:
    chunk = b"ffff\r\n" + b" " * 0xFFFF + b"\r\n"
    assert exchange(url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3).split()[1] == b"413"


def test_trailers_without_end_are_cut_off(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n")
        with pytest.raises(ConnectionError):
            send_for_ever(connection, b"X-More: " + b"x" * 1000 + b"\r\n")
    assert answers(url)


def test_a_body_in_small_chunks_is_read(url: str) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY)
    received = exchange(url, HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 200"), received


def test_hundreds_of_clients_that_say_nothing_leave_room_for_others(url: str) -> None:
    with ExitStack() as stack:
        for number in range(SLOW):
            connection = stack.enter_context(connect(url))
            connection.sendall(HEAD[: number % len(HEAD)])
            if number % 100 == 0:
                assert answers(url)
        assert all(answers(url) for _ in range(20))
