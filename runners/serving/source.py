"""Where a server's versions come from: a destination that is watched, or one version for good."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from pipeline.contract import Model, UserError
from pipeline.push import Version, is_bucket, versions
from pipeline.push.serving_version import serving
from pipeline.push.version import MODEL_FILE
from runners.pushed_models import find_line


class Source(NamedTuple):
    """A destination that is watched, or a version that stays.

    Attributes:
      place: local folder, or `gs://bucket/folder`.
      pinned: whether the place is itself the version.
    """

    place: str
    pinned: bool

    def wanted(self) -> Version | None:
        """Returns the version that should answer; None where nothing is pushed.

        Raises:
          UserError: the place cannot be read.
        """
        return Version(0, self.place) if self.pinned else serving(self.place)

    def instead_of(self, wanted: Version) -> list[Version]:
        """Returns the older versions, the newest first, for a start at which the wanted one cannot be loaded."""
        if self.pinned:
            return []
        return [version for version in reversed(versions(self.place)) if version.number < wanted.number]


def find_source(model: Model, base: str, line: str | None, version: str | None) -> Source:
    """Returns what to serve.

    Args:
      model: whose versions.
      base: where pushed folders are, from `runners.pushed_models.base_of`.
      line: data line, where there are several.
      version: number of a pushed version; the folder of a version, or of versions, local or in a bucket; or None to
        follow what serves.

    Raises:
      UserError: there is no such version, or none at all.
    """
    if version and (is_bucket(version) or Path(version).is_dir()):
        return _place(version.rstrip("/"))
    if version and not version.isdecimal():
        raise UserError(
            expected="the number or the folder of a version", received=version, todo="see `pipelines models`"
        )
    number = int(version) if version else None
    folder = find_line(base, model.name, line, number)
    if number is None:
        return Source(folder, pinned=False)
    there = {found.number: found for found in versions(folder)}
    if number not in there:
        raise UserError(
            expected=f"version {number} at {folder}",
            received=f"versions there: {', '.join(map(str, there)) or 'none'}",
            todo="name one of these with --version, or none to follow what serves",
        )
    return Source(there[number].path, pinned=True)


def _place(address: str) -> Source:
    if is_bucket(address):
        # Vertex AI copies the folder of a version to one whose name is no number.
        return Source(address, pinned=not versions(address))
    return Source(address, pinned=(Path(address) / MODEL_FILE).is_file())


def local_folder(version: Version) -> AbstractContextManager[Path]:
    """Returns what gives a version's folder on this machine, a copy for a while where it lies in a bucket."""
    if not is_bucket(version.path):
        return nullcontext(Path(version.path))
    from pipeline.push import gcs

    return gcs.downloaded(version)
