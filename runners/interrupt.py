"""Ctrl-C and SIGTERM: both become a KeyboardInterrupt, and are remembered, since libraries lose or replace that.

DuckDB, for one, raises a RuntimeError in its place, and a child that the same Ctrl-C ended looks like a model that
died.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interrupt:
    """Whether somebody asked to stop, and by which signal."""

    signal: signal.Signals | None = None

    def check(self) -> None:
        """Raises KeyboardInterrupt where it was asked for and got lost."""
        if self.signal:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """From now on signals are ignored: what is under way are the last steps of an end that was asked for."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        raise KeyboardInterrupt


@contextmanager
def catching() -> Iterator[Interrupt]:
    """Yields what is known of an interruption; outside of the main thread, which alone gets signals, always nothing."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = [signal.signal(number, interrupt._receive) for number in SIGNALS]
    try:
        yield interrupt
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
