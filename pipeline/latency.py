"""How long a model took to answer the serving gate, in the gate's process, without HTTP. Nothing is judged by it.

Imports nothing heavy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

LATENCY_FILE = "latency.json"
"""Where the serving gate leaves it, beside its InfraBlessing."""

Asked = TypeVar("Asked")


class Timing(BaseModel):
    """Seconds of so many answers: half of them took at most the median, none longer than the worst."""

    answers: int
    median_s: float
    worst_s: float


class Latency(BaseModel):
    """Seconds of the model's first way of being asked.

    Attributes:
      first_s: of the very first answer, a batch, for which TensorFlow prepares the graph. It is not in `batch`.
      batch_rows: rows of the largest batch.
      batch: of batches.
      alone: of single rows.
    """

    first_s: float
    batch_rows: int
    batch: Timing
    alone: Timing


class Clock:
    """Takes the time of answers."""

    def __init__(self) -> None:
        self._batches: list[float] = []
        self._alone: list[float] = []
        self._rows = 0

    def batch(self, ask: Callable[[], Asked], rows: int) -> Callable[[], Asked]:
        """Returns what asks about so many rows at once, timed."""
        self._rows = max(rows, self._rows)
        return _timed(ask, self._batches)

    def alone(self, ask: Callable[[], Asked]) -> Callable[[], Asked]:
        """Returns what asks about a single row, timed."""
        return _timed(ask, self._alone)

    def read(self) -> Latency | None:
        """Returns what was found; None before there were a second batch and a single row."""
        first, *batches = self._batches or [0.0]
        if not batches or not self._alone:
            return None
        return Latency(first_s=first, batch_rows=self._rows, batch=_timing(batches), alone=_timing(self._alone))


def _timed(ask: Callable[[], Asked], seconds: list[float]) -> Callable[[], Asked]:
    def timed() -> Asked:
        start = time.perf_counter()
        answer = ask()
        seconds.append(time.perf_counter() - start)
        return answer

    return timed


def _timing(seconds: Sequence[float]) -> Timing:
    return Timing(answers=len(seconds), median_s=statistics.median(seconds), worst_s=max(seconds))
