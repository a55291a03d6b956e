"""Which version of a destination serves: the newest one, unless a person chose another.

The choice is a small file beside the versions, which says "this one serves although that one is there". Whatever is
pushed later serves at once: a push neither reads the file nor writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.contract import UserError
from pipeline.push import is_bucket, local, verify, versions
from pipeline.push.version import LOCK_WAIT_S, Version

CHOICE_FILE = "serving.json"
"""Name of the file, in the destination. TensorFlow Serving looks at names that are numbers only."""


class Choice(BaseModel):
    """A person's choice.

    Attributes:
      version: number of the version that serves.
      instead_of: number of the newest version when the choice was made; a newer one ends the choice.
      at: UTC, ISO 8601.
      why: the command that was typed.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    instead_of: int
    at: str
    why: Literal["promote", "rollback"]


class Chosen(NamedTuple):
    """How a choice ended: the version that serves, the number of the one before if that is known, and whether it
    is another one."""

    version: Version
    before: int | None
    changed: bool


def serving(destination: str) -> Version | None:
    """Returns the version that serves; None where nothing was pushed.

    Its files are not compared with its manifest, which whoever loads it does. A server that is told an error keeps
    the version that it has.

    Raises:
      UserError: the version that a person chose is gone, the choice cannot be read, or the destination cannot be.
    """
    there = versions(destination)
    number = _serving_number(there, chosen(destination, there))
    return None if number is None else _find(destination, there, number)


def chosen(destination: str, there: Sequence[Version] | None = None) -> Choice | None:
    """Returns a person's choice while it holds; None if there is none, or if a newer version was pushed since.

    Args:
      destination: where.
      there: its versions, ascending, if they are known.

    Raises:
      UserError: the choice or the destination cannot be read.
    """
    content = read_file(destination, CHOICE_FILE)
    if content is None:
        return None
    try:
        choice = Choice.model_validate_json(content)
    except ValidationError as error:
        raise UserError(
            expected=f"a choice that `pipelines promote` wrote, {destination}/{CHOICE_FILE}",
            received=f"{error.errors()[0]['msg']}: {content[:80]!r}",
            todo="choose again with `pipelines promote`, or remove that file: the newest version serves then",
        ) from error
    there = versions(destination) if there is None else there
    return None if there and there[-1].number > choice.instead_of else choice


def promote(destination: str, number: int, wait_s: float = LOCK_WAIT_S) -> Chosen:
    """Makes a version serve until a newer one is pushed, unless it does already.

    Args:
      destination: where.
      number: of the version.
      wait_s: how long to wait for a push that is under way, in seconds.

    Raises:
      UserError: there is no such version, it is not as it was pushed, the destination cannot be written to, or a push
        to it did not end in time. The version that served goes on then.
    """
    return _choose(destination, lambda _there, _serving: number, "promote", wait_s)


def rollback(destination: str, number: int | None = None, wait_s: float = LOCK_WAIT_S) -> Chosen:
    """Makes an older version serve, the one before the one that serves if none is named; else as `promote`."""

    def older(there: Sequence[Version], serves: int) -> int:
        before = [version.number for version in there if version.number < serves]
        if number is not None and number <= serves:
            return number
        if number is None and before:
            return before[-1]
        raise UserError(
            expected=f"a version before {serves}, which serves, at {destination}",
            received="none" if number is None else str(number),
            todo="see `pipelines models`; `pipelines promote` takes any version",
        )

    return _choose(destination, older, "rollback", wait_s)


def check(destination: str, number: int) -> None:
    """Compares every file of a version with its manifest; a bucket's are downloaded for that.

    Raises:
      UserError: there is no such version, or it is not as it was pushed.
    """
    version = _find(destination, versions(destination), number)
    if not is_bucket(destination):
        verify(Path(version.path))
        return
    from pipeline.push import gcs

    with gcs.downloaded(version) as folder:
        verify(folder)


def read_file(destination: str, name: str) -> bytes | None:
    """Returns a file of a destination, by its name below it; None if there is none.

    Raises:
      UserError: the destination cannot be read.
    """
    if is_bucket(destination):
        from pipeline.push import gcs

        return gcs.read_file(destination, name)
    return local.read_file(Path(destination), name)


def _choose(
    destination: str,
    pick: Callable[[Sequence[Version], int], int],
    why: Literal["promote", "rollback"],
    wait_s: float,
) -> Chosen:
    if not versions(destination):
        raise UserError(
            expected=f"a destination with pushed versions, {destination}",
            received="none there",
            todo="see `pipelines models`, or push one with `pipelines run`",
        )
    with _held(destination, wait_s) as write:
        there = versions(destination)
        serves = _serves(destination, there)
        number = pick(there, serves or there[-1].number)
        check(destination, number)
        if number != serves:
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            choice = Choice(version=number, instead_of=there[-1].number, at=now, why=why)
            write(CHOICE_FILE, choice.model_dump_json() + "\n")
    return Chosen(_find(destination, there, number), serves, number != serves)


def _serves(destination: str, there: Sequence[Version]) -> int | None:
    """Number of the version that serves; None where the choice cannot be read, which must not stop the next one."""
    try:
        return _serving_number(there, chosen(destination, there))
    except UserError:
        return None


def _serving_number(there: Sequence[Version], choice: Choice | None) -> int | None:
    if choice:
        return choice.version
    return there[-1].number if there else None


def _find(destination: str, there: Sequence[Version], number: int) -> Version:
    for version in there:
        if version.number == number:
            return version
    listed = ", ".join(str(version.number) for version in there) or "none"
    raise UserError(
        expected=f"version {number} at {destination}",
        received=f"versions there: {listed}",
        todo="choose one of these with `pipelines promote`",
    )


def _held(destination: str, wait_s: float) -> AbstractContextManager[Callable[[str, str], None]]:
    """Keeps pushes away meanwhile, and gives what writes a file of the destination."""
    if is_bucket(destination):
        from pipeline.push import gcs

        return gcs.held(destination, wait_s)
    return local.held(Path(destination), wait_s)
