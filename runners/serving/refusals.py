"""Requests that get no answer: a status and words, in the form that the client's protocol has for errors."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

TF_SERVING = "/v1/models"
"""Errors below this path are TensorFlow Serving's, all others Google's."""

WORDS = {
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Google's names of statuses; INVALID_ARGUMENT for all others."""


class Refused(Exception):
    """A request that gets no answer.

    Attributes:
      status: of HTTP.
      message: for the client.
      headers: of the response.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


def busy(message: str) -> Refused:
    """A request that may come again, in a second."""
    return Refused(429, message, {"Retry-After": "1"})


def response(path: str, refused: Refused) -> JSONResponse:
    """Returns the response that says it."""
    return JSONResponse(error_body(path, refused.status, refused.message), refused.status, refused.headers)


def error_body(path: str, status: int, message: str) -> dict[str, Any]:
    """Returns the JSON of an error, as the protocol of the path has it."""
    if path == TF_SERVING or path.startswith(f"{TF_SERVING}/"):
        return {"error": message}
    return {"error": {"code": status, "message": message, "status": WORDS.get(status, "INVALID_ARGUMENT")}}
