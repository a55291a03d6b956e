"""Limits of a server, with what each counts. All of them may be set with `--set NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.contract import UserError
from runners.serving.shapley import LEAST_PATHS

MIB = 1024 * 1024


class ServeSettings(BaseModel):
    """How much a server takes on.

    Attributes:
      max_body_bytes: greatest body of a request, in bytes; 413 beyond.
      max_bytes_in_flight: bytes of all bodies that are being read or asked about; 429 beyond.
      max_rows: most instances of a request; 413 beyond.
      max_explained_rows: most instances of a request that asks why; 413 beyond.
      max_paths: most permutations that an explanation may draw.
      max_pixels: most pixels of all encoded pictures of a request, by their headers; 413 beyond.
      max_values: most numbers of all tensors of a request; 413 beyond.
      max_answer_values: most numbers of an answer; 413 beyond.
      max_batch_rows: most rows that the model is asked about at once. Larger requests are asked about in parts.
      max_queued_rows: most rows that wait for the model; 429 beyond.
      max_connections: connections that may be open. Beyond, the one closes that has been idle for longest.
      model_threads: batches that the model is asked about at the same time.
      head_timeout_s: a connection that has not sent a whole request head in so many seconds is closed.
      body_timeout_s: seconds for a body to arrive; 408 beyond.
      model_timeout_s: seconds for an answer, the time in the queue included; 504 beyond.
      keep_alive_s: an idle connection is closed after so many seconds.
      poll_s: seconds between two looks for a newly pushed version.
      stop_delay_s: seconds between SIGTERM and the end of new connections, so that those who watch readiness see it.
      stop_timeout_s: seconds that requests under way have to end after that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    max_body_bytes: int = Field(default=32 * MIB, gt=0)
    max_bytes_in_flight: int = Field(default=256 * MIB, gt=0)
    max_rows: int = Field(default=10_000, gt=0)
    max_explained_rows: int = Field(default=100, gt=0)
    max_paths: int = Field(default=100, ge=LEAST_PATHS)
    max_pixels: int = Field(default=16_000_000, gt=0)
    max_values: int = Field(default=2_000_000, gt=0)
    max_answer_values: int = Field(default=8_000_000, gt=0)
    max_batch_rows: int = Field(default=64, gt=0)
    max_queued_rows: int = Field(default=20_000, gt=0)
    max_connections: int = Field(default=1000, gt=0)
    model_threads: int = Field(default=2, gt=0, le=64)
    head_timeout_s: float = Field(default=10, gt=0)
    body_timeout_s: float = Field(default=30, gt=0)
    model_timeout_s: float = Field(default=60, gt=0)
    keep_alive_s: int = Field(default=75, gt=0)
    poll_s: float = Field(default=1, gt=0)
    stop_delay_s: float = Field(default=1, ge=0)
    stop_timeout_s: int = Field(default=30, gt=0)

    @model_validator(mode="after")
    def _largest_request_fits(self) -> ServeSettings:
        if self.max_rows > self.max_queued_rows:
            raise ValueError("max_queued_rows at least max_rows: a larger request would never find room")
        return self


def serve_settings(values: Mapping[str, str]) -> ServeSettings:
    """Returns the settings with those that were typed.

    Raises:
      UserError: one of them does not exist, or is out of its range.
    """
    try:
        return ServeSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            expected=f"settings of the server: {', '.join(ServeSettings.model_fields)}",
            received=f"{'.'.join(map(str, first['loc'])) or 'all'}={first['input']}: {first['msg']}",
            todo="correct --set",
        ) from None
