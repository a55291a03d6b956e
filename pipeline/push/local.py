"""Pushing into a local folder: built beside, synced to the disk, then renamed, so that a version is whole or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.contract import UserError
from pipeline.push.card import with_card, written
from pipeline.push.manifest import Manifest, verify
from pipeline.push.version import LOCK_FILE, MODEL_FILE, Pushed, Version, busy, next_number, number_of, unwritable

INCOMING = ".incoming"
"""Where a version is built, in the destination itself: a rename is atomic within a file system only. Servers ignore
names that are no numbers; the lock sees to it that there is one builder."""


def versions(destination: Path) -> list[Version]:
    """Returns the complete versions in a folder, ascending; none where it does not exist."""
    with _understood(destination):
        complete = [number for number in _numbers(destination) if (destination / str(number) / MODEL_FILE).is_file()]
    return [Version(number, str(destination / str(number))) for number in complete]


def publish(destination: Path, model: Path, manifest: Manifest, wait_s: float) -> Pushed:
    """See `pipeline.push.publish`."""
    with _understood(destination):
        _make_folder(destination)
        with _locked(destination, wait_s):
            _remove(destination / INCOMING)  # Of a push that was killed.
            newest = next(reversed(versions(destination)), None)
            if newest and _holds(newest, manifest.model_digest):
                return Pushed(newest, new=False)
            return Pushed(_add(destination, model, manifest), new=True)


def read_file(destination: Path, name: str) -> bytes | None:
    """See `pipeline.push.serving_version.read_file`."""
    with _understood(destination):
        file = destination / name
        return file.read_bytes() if file.is_file() else None


@contextmanager
def held(destination: Path, wait_s: float) -> Iterator[Callable[[str, str], None]]:
    """Keeps pushes to a folder away, and yields what writes a file of it: whole or not at all."""
    with _understood(destination), _locked(destination, wait_s):
        yield partial(_write_file, destination)


def _write_file(destination: Path, name: str, text: str) -> None:
    unfinished = destination / f".{name}"
    unfinished.write_text(text, encoding="utf-8")
    _sync(unfinished)
    unfinished.replace(destination / name)
    _sync(destination)


def _add(destination: Path, model: Path, manifest: Manifest) -> Version:
    number = next_number(_numbers(destination))
    incoming, final = destination / INCOMING, destination / str(number)
    try:
        _build(incoming, model, with_card(manifest.stamped(number)))
        incoming.rename(final)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)  # A failed build must not keep a full disk full.
    _sync(destination)
    return Version(number, str(final))


def _build(folder: Path, model: Path, manifest: Manifest) -> None:
    """Writes model, card and manifest, and has every file and folder reach the disk."""
    shutil.copytree(model, folder)
    for name, text in written(manifest).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _holds(version: Version, model_digest: str) -> bool:
    """Whether a version is that model, and still whole: a damaged one is replaced by a push of the same model."""
    try:
        return verify(Path(version.path)).model_digest == model_digest
    except UserError:
        return False


def _numbers(destination: Path) -> list[int]:
    """All version numbers taken, by complete versions or not, ascending."""
    if not destination.is_dir():
        return []
    numbers = (number_of(path.name) for path in destination.iterdir())
    return sorted(number for number in numbers if number is not None)


def _make_folder(folder: Path) -> None:
    """Makes a folder and its parents such that they outlive a power cut."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(destination: Path, wait_s: float) -> Iterator[None]:
    """Holds the destination's lock; the kernel frees it if this process is killed."""
    file = destination / LOCK_FILE
    lock = FileLock(file, timeout=wait_s)
    try:
        lock.acquire()
    except Timeout as error:
        raise busy(str(file), wait_s) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _understood(destination: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(str(destination), error) from error
