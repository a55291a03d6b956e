"""A line of JSON a request, and the numbers of telemetry: about requests, never about customers."""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runners.serving.refusals import Refused, response
from runners.serving.telemetry import Telemetry

REQUEST_ID = b"x-request-id"
NO_ROUTE = "none"
CLIENT_LEFT = 499
"""What nginx notes where nobody was there to be answered."""


class AccessLog:
    """Writes a line a request: time, method, route, status, milliseconds, rows, bytes, version and request id.

    The route is the template, without names in it; neither query strings nor bodies are written.
    What a route did not expect becomes a 500 in words here, its traceback in the log.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry, failed: Callable[[BaseException], None]) -> None:
        self.app, self.telemetry, self.failed = app, telemetry, failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, number = time.perf_counter(), 0, _request_id(scope)
        scope.setdefault("state", {})

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (REQUEST_ID, number.encode())]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            self.failed(error)
            if not status:
                await response(scope["path"], Refused(500, "the server failed; its log says why"))(
                    scope, receive, noting
                )
        finally:
            self._note(scope, status or CLIENT_LEFT, time.perf_counter() - began, number)

    def _note(self, scope: Scope, status: int, seconds: float, number: str) -> None:
        route, method = _route(scope), _method(scope)
        self.telemetry.requests.labels(route, method, str(status)).inc()
        self.telemetry.seconds.labels(route).observe(seconds)
        if status >= 400:
            self.telemetry.errors.labels(str(status)).inc()
        state: dict[str, Any] = scope["state"]
        line = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "rows": state.get("rows", 0),
            "bytes": state.get("bytes", 0),
            "version": state.get("version"),
            "request_id": number,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _request_id(scope: Scope) -> str:
    """The client's own id of a request, where it is one, else a new one."""
    given = dict(scope["headers"]).get(REQUEST_ID, b"").decode("latin-1")
    return given if re.fullmatch(r"[A-Za-z0-9._:/=+-]{1,100}", given) else uuid.uuid4().hex


def _route(scope: Scope) -> str:
    found = scope.get("route")
    return str(getattr(found, "path_format", getattr(found, "path", NO_ROUTE)))


def _method(scope: Scope) -> str:
    known = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    return scope["method"] if scope["method"] in known else "other"
