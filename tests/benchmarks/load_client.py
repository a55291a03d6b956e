"""Sends the same request over many connections, each as soon as the last one is answered, and prints what came of it.

A process of its own, of little else than sockets, so that it takes as little as possible from the server it measures.
Usage: python tests/benchmarks/load_client.py PORT PATH BODY_FILE CLIENTS SECONDS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import cast

try:
    from uvloop import install
except ImportError:
    pass
else:
    install()

END_OF_HEAD = b"\r\n\r\n"


def request_bytes(path: str, body: bytes) -> bytes:
    """Returns a POST request of JSON, as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + END_OF_HEAD + body


def whole_response(received: bytes) -> int | None:
    """Returns the status of a response once all of it is there."""
    head, end, body = received.partition(END_OF_HEAD)
    if not end:
        return None
    lines = head.lower().split(b"\r\n")
    (length,) = (int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    return int(lines[0].split()[1]) if len(body) >= length else None


class Client(asyncio.Protocol):
    """A connection that asks again and again."""

    def __init__(self, request: bytes, until: float, seconds: list[float], errors: list[str]) -> None:
        self.request, self.until, self.seconds, self.errors = request, until, seconds, errors
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self.received, self.began = b"", time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        status = whole_response(self.received)
        if status is None:
            return
        now = time.perf_counter()
        self.seconds.append(now - self.began)
        if status != 200:
            self.errors.append(str(status))
        if now < self.until:
            self._ask()
        else:
            self.request = b""
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.request:
            self.errors.append("connection lost")
        self.done.set_result(None)


async def load(port: int, request: bytes, clients: int, duration: float) -> dict[str, float]:
    """Returns requests a second, the median and the 99th percentile in milliseconds, and the number of errors."""
    seconds: list[float] = []
    errors: list[str] = []
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    made = [
        await loop.create_connection(lambda: Client(request, began + duration, seconds, errors), "127.0.0.1", port)
        for _ in range(clients)
    ]
    await asyncio.wait_for(asyncio.gather(*(client.done for _, client in made)), duration + 60)
    took = time.perf_counter() - began
    ordered = sorted(seconds)
    return {
        "requests/s": len(ordered) / took,
        "p50 ms": 1000 * ordered[len(ordered) // 2],
        "p99 ms": 1000 * ordered[int(len(ordered) * 0.99)],
        "errors": len(errors),
    }


def main() -> None:
    """Prints a line of JSON."""
    port, path, body, clients, duration = sys.argv[1:]
    request = request_bytes(path, Path(body).read_bytes())
    print(json.dumps(asyncio.run(load(int(port), request, int(clients), float(duration)))))


if __name__ == "__main__":
    main()
