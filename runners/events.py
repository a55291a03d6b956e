"""What a run tells while it goes on: about its nodes, and from inside a training. Imports nothing heavy."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from pipeline.contract import TRAINING_LOGGER
from pipeline.verdict import Check

State = Literal["waiting", "started", "training", "run", "cached", "resolved", "skipped", "failed", "interrupted"]

ENDED = ("run", "cached", "resolved", "skipped", "failed", "interrupted")
"""States that a node stays in."""


@dataclass(frozen=True)
class Epoch:
    """What `pipeline.contract.tell_epoch` was told; a value that is no finite number is None."""

    epoch: int
    epochs: int
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class NodeEvent:
    """Something happened to a node of the DAG.

    Attributes:
      node: its name.
      state: waiting (each node, once, before the first one starts), started, training (an epoch is over), or how it
        ended: run, cached, resolved (looked up), skipped (its condition does not hold), failed (a gate refused, too),
        interrupted.
      seconds: wall-clock since it started; 0 before.
      examples: split -> examples, where the node generated them.
      checks: what the node checked, if it is a gate.
      epoch: the epoch that is over.
      error: what it raised, if it failed.
      after: the nodes that have to end before it starts; told while it is waiting.
    """

    node: str
    state: State
    seconds: float = 0.0
    examples: Mapping[str, int] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    epoch: Epoch | None = None
    error: Exception | None = None
    after: tuple[str, ...] = ()


Observer = Callable[[NodeEvent], None]


@contextmanager
def training_told_to(listener: Callable[[Epoch], None]) -> Iterator[None]:
    """Passes on what trainings in this process tell of their epochs."""
    logger, handler = logging.getLogger(TRAINING_LOGGER), _Handler(listener)
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Handler(logging.Handler):
    def __init__(self, listener: Callable[[Epoch], None]) -> None:
        super().__init__()
        self.listener = listener

    def emit(self, record: logging.LogRecord) -> None:
        told: tuple[int, int, Mapping[str, float | None]] = record.epoch  # type: ignore[attr-defined]
        epoch, epochs, values = told
        self.listener(Epoch(epoch, epochs, {name: _finite(value) for name, value in values.items()}))


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
