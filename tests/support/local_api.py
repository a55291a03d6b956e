"""A small HTTP server on loopback that answers as Google's APIs do. Routes are added one decorator each."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from google.protobuf import json_format

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    def json(self) -> dict[str, Any]:
        """As Google writes it."""
        return {"error": {"code": self.code, "message": self.message, "status": STATUSES[self.code]}}


def parsed(kind: Any, told: Any) -> Any:
    """Returns the protobuf message, or refuses as Google does what is unknown in it or of another type."""
    message = kind.pb(kind()) if hasattr(kind, "pb") else kind()
    try:
        json_format.ParseDict(told or {}, message)
    except json_format.ParseError as error:
        raise Refusal(400, f"Invalid JSON payload received. {error}") from error
    return message


@dataclass(frozen=True)
class Asked:
    """A request: `groups` are what the route's pattern found in the path."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    groups: dict[str, str]


Handler = Callable[[Asked], Any]


@dataclass
class Api:
    """Routes, what was asked of them, and what is to be refused.

    Attributes:
      asked: all requests so far.
      refusals: pattern of `METHOD /path` -> how each request that matches it is refused.
    """

    asked: list[Asked] = field(default_factory=list)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    routes: list[tuple[str, re.Pattern[str], Handler]] = field(default_factory=list)
    url: str = ""

    def route(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Adds a route. In `path`, `{parent}` is a project's region, and any other `{name}` one step without `:`."""
        pattern = re.sub(r"\{(\w+)\}", lambda found: f"(?P<{found[1]}>{_step(found[1])})", path)

        def add(handler: Handler) -> Handler:
            self.routes.append((method, re.compile(pattern), handler))
            return handler

        return add

    def refuse(self, code: int, message: str, requests: str = ".*") -> None:
        """Refuses all requests that match `METHOD /path` from now on."""
        self.refusals[requests] = Refusal(code, message)

    def answer(self, method: str, address: str, body: bytes) -> tuple[int, Any]:
        """Returns status and JSON."""
        parts = urlsplit(address)
        path = unquote(parts.path)
        try:
            for pattern, refusal in self.refusals.items():
                if re.fullmatch(pattern, f"{method} {path}"):
                    raise refusal
            return 200, self._handle(method, path, dict(parse_qsl(parts.query)), body)
        except Refusal as refusal:
            return refusal.code, refusal.json()

    def _handle(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        for wanted, pattern, handler in self.routes:
            found = pattern.fullmatch(path)
            if wanted == method and found:
                asked = Asked(method, path, query, json.loads(body) if body else None, found.groupdict())
                self.asked.append(asked)
                return handler(asked)
        raise Refusal(501, f"The stand-in has no {method} {path}")

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Answers on a port of its own; yields the address."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self.url
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _step(name: str) -> str:
    return "projects/[^/]+/locations/[^/]+" if name == "parent" else "[^/:]+"


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Any:
            if name in ("do_GET", "do_POST", "do_DELETE", "do_PATCH"):
                return self._answer
            raise AttributeError(name)

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, told = api.answer(self.command, self.path, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Answering
