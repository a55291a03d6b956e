"""What local and cloud destinations share: version numbers and the records of versions."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.contract import UserError

MODEL_FILE = "saved_model.pb"
"""TensorFlow Serving and others take this file as the sign that a version is complete."""

LOCK_FILE = ".push.lock"
LOCK_WAIT_S = 60.0
"""How long a push waits for another one to the same destination, in seconds."""


class Version(NamedTuple):
    """A complete version at a destination: its number, and its folder's path or `gs://` address."""

    number: int
    path: str


class Pushed(NamedTuple):
    """How a push ended: the version that holds the model, and whether it was made now or found there."""

    version: Version
    new: bool


def number_of(name: str) -> int | None:
    """Returns the version that a folder's name stands for, or None.

    >>> number_of("1700000000"), number_of(".incoming")
    (1700000000, None)
    """
    return int(name) if re.fullmatch(r"[0-9]+", name) else None


def next_number(taken: Iterable[int]) -> int:
    """Returns the Unix time in seconds, or the greatest number taken + 1 where the clock is not ahead of it.

    Seconds, as TFX's own Pusher has it, tell people when, and never come again in a destination that was
    emptied, where counting would start over below a version that servers still have loaded.
    """
    return max(int(time.time()), *(number + 1 for number in taken), 1)


def busy(lock: str, wait_s: float) -> UserError:
    """Returns the error of a push that waited in vain for another one."""
    return UserError(
        expected=f"one push at a time to a destination, and {lock} free within {wait_s:g} s",
        received="another push that holds it",
        todo="wait until that push has ended, then run again",
    )


def unwritable(destination: str, error: Exception) -> UserError:
    """Returns the error of a push to a place that is read-only, full, missing or out of reach."""
    return UserError(
        expected=f"a push destination that can be read and written, {destination}",
        received=f"{type(error).__name__}: {error}",
        todo="look at its permissions and free space, or choose another with gates.destination",
    )
