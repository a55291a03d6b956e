"""Pushing into a bucket, which has no rename: `saved_model.pb` goes last, and a version without it does not exist.

The real client is used; it honours STORAGE_EMULATOR_HOST.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from google.api_core.exceptions import GoogleAPIError, NotFound, PreconditionFailed
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from pydantic import ValidationError

from pipeline.push.card import with_card, written
from pipeline.push.manifest import MANIFEST_FILE, Manifest
from pipeline.push.version import LOCK_FILE, MODEL_FILE, Pushed, Version, busy, next_number, number_of, unwritable

LEASE = timedelta(minutes=15)
"""Age at which a lock counts as left by a killed push. A push that takes longer stops before its version shows."""

TYPES = {".json": "application/json", ".md": "text/markdown; charset=utf-8"}
"""What browsers are told of the texts beside a model."""

_POLL_S = 0.5
_OURS = {"pushed-by": "pipeline.push"}
"""Metadata of the objects we write, so that only our own leftovers are ever removed."""


def versions(destination: str) -> list[Version]:
    """Returns the versions below `gs://bucket/folder` that have a `saved_model.pb`, ascending."""
    with _understood(destination):
        return _complete(_Folder(destination))


def publish(destination: str, model: Path, manifest: Manifest, wait_s: float) -> Pushed:
    """See `pipeline.push.publish`."""
    with _understood(destination):
        folder = _Folder(destination)
        with _locked(folder, wait_s) as lock:
            complete = _complete(folder)
            _remove_leftovers(folder, complete)
            if complete and _digest(folder, complete[-1]) == manifest.model_digest:
                return Pushed(complete[-1], new=False)
            number = next_number(_numbers(folder.blobs()))
            _upload(folder, number, model, with_card(manifest.stamped(number)), lock)
            return Pushed(folder.version(number), new=True)


def read_file(destination: str, name: str) -> bytes | None:
    """See `pipeline.push.serving_version.read_file`."""
    with _understood(destination):
        try:
            return bytes(_Folder(destination).blob(name).download_as_bytes())
        except NotFound:
            return None


def names(address: str) -> set[str]:
    """Returns the names of all objects below `gs://bucket/folder`, relative to it."""
    with _understood(address):
        return {name for name in _Folder(address).blobs() if name and not name.endswith("/")}


def folders(address: str) -> list[str]:
    """Returns the names of the folders in `gs://bucket/folder`, sorted."""
    with _understood(address):
        folder = _Folder(address)
        listed = folder.bucket.list_blobs(prefix=folder.prefix, delimiter="/")
        list(listed)  # The client knows the folders once it has seen all pages.
        return sorted(prefix.removeprefix(folder.prefix).rstrip("/") for prefix in listed.prefixes)


@contextmanager
def held(destination: str, wait_s: float) -> Iterator[Callable[[str, str], None]]:
    """Keeps pushes to a bucket's folder away, and yields what writes an object of it."""
    with _understood(destination):
        folder = _Folder(destination)
        with _locked(folder, wait_s) as lock:

            def write(name: str, text: str) -> None:
                lock.reload(if_generation_match=lock.generation)  # As for a push: fails if the lease ran out.
                folder.blob(name).upload_from_string(text, content_type="application/json", retry=DEFAULT_RETRY)

            yield write


@contextmanager
def downloaded(version: Version) -> Iterator[Path]:
    """Yields a temporary local copy of a version's folder."""
    with tempfile.TemporaryDirectory() as name, _understood(version.path):
        for relative, blob in _Folder(version.path).blobs().items():
            if relative.endswith("/") or not relative:  # What consoles leave where somebody made a folder.
                continue
            file = Path(name) / relative
            if ".." in file.parts:
                raise ValueError(f"an object's name that leaves its folder, {relative}")
            file.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(str(file), checksum="crc32c")
        yield Path(name)


class _Folder:
    """A folder in a bucket."""

    def __init__(self, address: str) -> None:
        name, _, path = address.removeprefix("gs://").strip("/").partition("/")
        self.bucket = storage.Client().bucket(name)
        self.prefix = f"{path}/" if path else ""
        self.address = f"gs://{name}/{self.prefix}"

    def blob(self, name: str) -> storage.Blob:
        return self.bucket.blob(self.prefix + name)

    def blobs(self) -> dict[str, storage.Blob]:
        """All objects below, by name relative to the folder."""
        return {blob.name.removeprefix(self.prefix): blob for blob in self.bucket.list_blobs(prefix=self.prefix)}

    def version(self, number: int) -> Version:
        return Version(number, f"{self.address}{number}")


def _numbers(names: Iterable[str]) -> list[int]:
    """All version numbers taken, by complete versions or not, ascending."""
    numbers = {number_of(name.partition("/")[0]) for name in names}
    return sorted(number for number in numbers if number is not None)


def _complete(folder: _Folder) -> list[Version]:
    names = folder.blobs()
    return [folder.version(number) for number in _numbers(names) if f"{number}/{MODEL_FILE}" in names]


def _remove_leftovers(folder: _Folder, complete: list[Version]) -> None:
    """Deletes what a killed push of ours uploaded for a version that never became one."""
    whole = {version.number for version in complete}
    for name, blob in folder.blobs().items():
        number = number_of(name.partition("/")[0])
        if number is not None and number not in whole and blob.metadata == _OURS:
            blob.delete()


def _digest(folder: _Folder, version: Version) -> str | None:
    """Digest of the model in a version; None for one that was not pushed by us."""
    try:
        content = folder.blob(f"{version.number}/{MANIFEST_FILE}").download_as_bytes()
        return Manifest.model_validate_json(content).model_digest
    except (NotFound, ValidationError):
        return None


def _upload(folder: _Folder, number: int, model: Path, manifest: Manifest, lock: storage.Blob) -> None:
    """Uploads the model's files, card and manifest, then `saved_model.pb`; the client checks each by checksum."""
    texts = written(manifest)
    for name in sorted(manifest.files.keys() - {MODEL_FILE, *texts}):
        _new(folder, f"{number}/{name}").upload_from_filename(str(model / name), checksum="crc32c", retry=DEFAULT_RETRY)
    for name, text in texts.items():
        _new(folder, f"{number}/{name}").upload_from_string(
            text, content_type=TYPES[Path(name).suffix], checksum="crc32c", retry=DEFAULT_RETRY
        )
    lock.reload(if_generation_match=lock.generation)  # Fails if the lease ran out and another push took over.
    _new(folder, f"{number}/{MODEL_FILE}").upload_from_filename(
        str(model / MODEL_FILE), checksum="crc32c", retry=DEFAULT_RETRY
    )


def _new(folder: _Folder, name: str) -> storage.Blob:
    blob = folder.blob(name)
    blob.metadata = _OURS
    return blob


@contextmanager
def _locked(folder: _Folder, wait_s: float) -> Iterator[storage.Blob]:
    """Holds the lock: an object that only one client can create (the precondition "generation 0 matches")."""
    lock = folder.blob(LOCK_FILE)
    deadline = time.monotonic() + wait_s
    while not _taken(lock):
        if time.monotonic() > deadline:
            raise busy(f"gs://{lock.bucket.name}/{lock.name}", wait_s)
        time.sleep(_POLL_S)
    try:
        yield lock
    finally:
        with suppress(NotFound, PreconditionFailed):  # Taken over by another push.
            lock.delete(if_generation_match=lock.generation)


def _taken(lock: storage.Blob) -> bool:
    try:
        lock.upload_from_string("A push is under way.\n", if_generation_match=0)
    except PreconditionFailed:
        _remove_stale(lock)
        return False
    return True


def _remove_stale(lock: storage.Blob) -> None:
    held = lock.bucket.get_blob(lock.name)
    if held and datetime.now(timezone.utc) - held.time_created > LEASE:
        with suppress(NotFound, PreconditionFailed):  # Another waiting push was quicker.
            held.delete(if_generation_match=held.generation)


@contextmanager
def _understood(destination: str) -> Iterator[None]:
    try:
        yield
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise unwritable(destination, error) from error
