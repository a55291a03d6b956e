"""Where a server's versions come from: a destination that is watched, or one version for good."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from pipeline.contract import Model, UserError
from pipeline.push import Version, versions
from pipeline.push.version import MODEL_FILE
from runners.model_commands import find_pushed

BUCKET = "gs://"


class Source(NamedTuple):
    """A destination that is watched, or a version that stays.

    Attributes:
      place: local folder, or `gs://bucket/folder`.
      pinned: whether the place is itself the version.
    """

    place: str
    pinned: bool

    def candidates(self) -> list[Version]:
        """Returns the versions that may serve, the one that should first.

        Raises:
          UserError: the place cannot be read.
        """
        if self.pinned:
            return [Version(0, self.place)]
        return list(reversed(versions(self.place)))


def find_source(model: Model, root: Path, version: str | None) -> Source:
    """Returns what to serve.

    Args:
      model: whose versions.
      root: folder of runs; its pushed versions are served.
      version: number of one of these; the folder of a version, or of versions, local or in a bucket; or None to follow
        the newest.

    Raises:
      UserError: there is no such version, or none at all.
    """
    if version and version.startswith(BUCKET):
        return _in_bucket(version.rstrip("/"))
    if version and Path(version).is_dir():
        return Source(version, pinned=(Path(version) / MODEL_FILE).is_file())
    folder = find_pushed(model, root, version)
    return Source(str(folder), True) if version else Source(str(folder.parent), False)


def _in_bucket(address: str) -> Source:
    above, _, number = address.rpartition("/")
    if versions(address):
        return Source(address, pinned=False)
    if number.isdigit() and not any(str(found.number) == number for found in versions(above)):
        raise UserError(expected=f"a pushed version at {address}", received="nothing whole", todo="correct the address")
    return Source(address, pinned=True)


def local_folder(version: Version, scratch: Path) -> Path:
    """Returns a version's folder on this machine, downloaded below `scratch` where it lies in a bucket."""
    if not version.path.startswith(BUCKET):
        return Path(version.path)
    folder = Path(tempfile.mkdtemp(prefix="version-", dir=scratch))
    try:
        _download(version.path, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _download(address: str, folder: Path) -> None:
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    bucket, _, prefix = address.removeprefix(BUCKET).strip("/").partition("/")
    try:
        for blob in storage.Client().list_blobs(bucket, prefix=f"{prefix}/" if prefix else ""):
            name = blob.name.removeprefix(f"{prefix}/")
            file = (folder / name).resolve()
            if name and not name.endswith("/") and file.is_relative_to(folder.resolve()):
                file.parent.mkdir(parents=True, exist_ok=True)
                blob.download_to_filename(str(file))
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise UserError(
            expected=f"to read {address}",
            received=f"{type(error).__name__}: {error}",
            todo="look at the address, the network, and the rights of the account that serves",
        ) from error
