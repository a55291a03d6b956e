"""Picture files in folders and archives: found, named and read one by one. Nothing is extracted to disk."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from pipeline.contract import UserError
from pipeline.fingerprint import digest_json, sha256_file
from pipeline.ingestion.decoding import FORMATS, is_picture, quiet

MAX_BYTES = 64 << 20
"""Bytes beyond which a file is not read. Few photos come near, and two files a decoding thread are in memory at a
time: at most 2 GB on 16 cores."""

UNKNOWN = "unknown"
"""Class of a picture whose name tells none."""


class FileSystem(NamedTuple):
    """How files are reached: the functions of `os` and `builtins`, or others of the same form for remote addresses."""

    open: Callable[[str, str], IO[bytes]]
    isdir: Callable[[str], bool]
    walk: Callable[[str], Iterable[tuple[str, list[str], list[str]]]]


def _walk(path: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Without pipes, which would be waited for, and links to nowhere."""
    for folder, folders, files in os.walk(path):
        yield folder, folders, [file for file in files if Path(folder, file).is_file()]


LOCAL = FileSystem(open, os.path.isdir, _walk)  # type: ignore[arg-type]


@dataclass(frozen=True)
class PictureSet:
    """A folder or an archive with at least one picture in it.

    Attributes:
      path: the folder or archive; text where it is an address.
      digest: of its content: the sha256 of an archive; names and contents of a folder's files, system files left out.
        In a bucket, of sizes and checksums.
      files: how many files it holds, system files not counted.
    """

    path: Path | str
    digest: str
    files: int

    @property
    def source(self) -> str:
        """What people call it."""
        return str(self.path).rpartition("/")[2]


def load_pictures(path: Path | str) -> PictureSet:
    """Returns what a path holds, after reading it from end to end; of what lies in a bucket, the names only.

    Args:
      path: a folder, which is searched recursively, or a .tar, .tar.gz or .zip, told by its content; an address
        `gs://bucket/…` of one as text.

    Raises:
      UserError: no such path, no archive, a damaged or truncated one, or no picture in it; of what lies in a bucket:
        nothing there, or no permission.
    """
    if isinstance(path, str):
        from pipeline.ingestion import bucket_pictures  # Google's client takes seconds to import.

        return PictureSet(path.rstrip("/"), *bucket_pictures.listed(path))
    if not path.exists():
        raise not_there(str(path))
    contents: list[tuple[str, str]] = []
    found = False
    try:
        with quiet():
            for name, data in read_files(str(path)):
                if not is_system_file(name):
                    contents.append((name, _sha256(data)))
                    found = found or (isinstance(data, bytes) and is_picture(data))
        digest = digest_json(sorted(contents)) if path.is_dir() else sha256_file(path)
    except OSError as error:
        raise _damaged(str(path), error) from error
    if not found:
        raise UserError(
            expected=f"at least one picture ({', '.join(FORMATS)}) in {path.name}",
            received=f"{len(contents)} files, none of which is one",
            todo="correct the path, or convert the pictures",
        )
    return PictureSet(path.resolve(), digest, len(contents))


def read_files(path: str, system: FileSystem = LOCAL) -> Iterator[tuple[str, bytes | str]]:
    """Yields name and content of each file of a folder or an archive.

    Folders in the order of the names, archives in their own. Links, devices and folders within archives are
    skipped. Names are relative and without `..`; nothing is ever written or read under them.

    Args:
      path: the folder or archive; an address such as `gs://bucket/pictures.tar` with a `system` that opens it.
      system: how files are reached.

    Yields:
      Name, and content; in its place a text that says why it cannot be had.

    Raises:
      UserError: not an archive, or one that is damaged or incomplete.
    """
    if system.isdir(path):
        yield from _from_folder(path, system)
        return
    with system.open(path, "rb") as file:
        start = file.read(4)
    try:
        with system.open(path, "rb") as file:
            if start in (b"PK\x03\x04", b"PK\x05\x06"):
                yield from _from_zip(file)
            elif start.startswith(b"\x1f\x8b"):
                with gzip.open(file) as unpacked:
                    yield from _from_tar(unpacked)
            else:
                yield from _from_tar(file)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _damaged(path, error) from error


def is_system_file(name: str) -> bool:
    """Returns whether an operating system, and no person, put a file there.

    >>> is_system_file("cats/.DS_Store"), is_system_file("__MACOSX/cats/1.jpg"), is_system_file("cats/1.jpg")
    (True, True, False)
    """
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return hidden or parts[-1].lower() in ("thumbs.db", "desktop.ini")


def class_of(name: str, folders: int = 1) -> str:
    """Returns the class that a name tells: the folder's where there are several, or else the file's without its number.

    Args:
      name: of the file in its set.
      folders: how many folders of the set hold pictures. A single one is no class.

    >>> class_of("images/great_pyrenees_101.jpg"), class_of("cat/IMG_0001.png", folders=2), class_of("images/0001.png")
    ('great_pyrenees', 'cat', 'unknown')
    """
    *above, file = name.split("/")
    if above and folders > 1:
        return above[-1]
    stem = file.rpartition(".")[0] or file
    label = re.sub(r"(?:[ ._-]+\d+)+$", "", stem)
    return label if label != stem and re.search(r"[^\W\d_]", label) else UNKNOWN


def split_of(digest: str, splits: Mapping[str, int]) -> str:
    """Returns the split of a picture, by its content alone.

    Args:
      digest: `Picture.digest`.
      splits: name -> percent, 100 in all.

    >>> split_of("0000003b…", {"train": 60, "eval": 40}), split_of("0000003c…", {"train": 60, "eval": 40})
    ('train', 'eval')
    """
    left = int(digest[:8], 16) % 100
    for split, percent in splits.items():
        left -= percent
        if left < 0:
            return split
    raise ValueError(f"splits of 100 percent in all, not {dict(splits)}")


def _from_folder(path: str, system: FileSystem) -> Iterator[tuple[str, bytes | str]]:
    files = [os.path.join(folder, file) for folder, _, names in system.walk(path) for file in names]
    for name, full in sorted((_clean(full[len(path) :]), full) for full in files):
        try:
            with system.open(full, "rb") as file:
                size = file.seek(0, os.SEEK_END) or file.tell()
                file.seek(0)
                yield name, _limited(file, size)
        except OSError as error:
            yield name, f"no picture: unreadable, received {error.strerror or error}"


def _from_tar(file: IO[bytes] | gzip.GzipFile) -> Iterator[tuple[str, bytes | str]]:
    """Streams: a mode that seeks would unpack a .tar.gz from its beginning again and again."""
    with _open_tar(file) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                yield _clean(member.name), _limited(content, member.size)
    while file.read(1 << 20):
        pass  # To the end of a .tar.gz, where its checksum is.


def _open_tar(file: IO[bytes] | gzip.GzipFile) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode="r|", tarinfo=_Header)
    except tarfile.ReadError as error:
        raise tarfile.ReadError("by its content none of these") from error


class _Header(tarfile.TarInfo):
    """A header of a tar file, or an error: tarfile takes a damaged or missing one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # The block of zeros that ends every archive.
            raise tarfile.ReadError(f"{error}, instead of a file or the end of the archive") from error


def _from_zip(file: IO[bytes]) -> Iterator[tuple[str, bytes | str]]:
    with _open_zip(file) as archive:
        for member in archive.infolist():
            if not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16):
                yield _clean(member.filename), _from_member(archive, member)


def _open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip with a complete directory, or an error: zipfile takes one that seems to end early as it is."""
    try:
        archive = zipfile.ZipFile(file)
    except OSError:
        raise
    except Exception as error:  # zipfile raises whatever the content of a damaged directory leads it to.
        raise zipfile.BadZipFile(str(error) or type(error).__name__) from error
    named, count = sum(map(bool, archive.namelist())), _count_at_end(file)
    # The count has 16 bits: some programs write its last 16, others 0xFFFF and the real one elsewhere (zip64).
    if count not in (named & 0xFFFF, 0xFFFF):
        raise zipfile.BadZipFile(f"damaged directory, with {named} of {count} names")
    return archive


def _count_at_end(file: IO[bytes]) -> int:
    """The number of files that the record at the end of a zip gives: 22 bytes before a comment of fewer than 65536."""
    size = file.seek(0, os.SEEK_END) or file.tell()
    file.seek(max(0, size - 22 - 65536))
    end = file.read()
    count: int = struct.unpack_from("<H", end, end.rindex(b"PK\5\6") + 10)[0]
    return count


def _from_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | str:
    """One member of a zip can be damaged without the others."""
    if member.flag_bits & 1:
        return "no picture: encrypted"
    try:
        with archive.open(member) as content:
            return _limited(content, member.file_size)
    except Exception as error:  # As above.
        return f"no picture: damaged in the archive, received {str(error) or type(error).__name__}"


def _limited(file: IO[bytes], size: int) -> bytes | str:
    return file.read() if size <= MAX_BYTES else f"no picture: more than {MAX_BYTES >> 20} MB"


def _sha256(data: bytes | str) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def _clean(name: str) -> str:
    """A relative name with slashes, of text that every encoding can take."""
    parts = name.encode("utf-8", "replace").decode().replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def not_there(path: str) -> UserError:
    """Returns the error of a source that does not exist."""
    return UserError(
        expected="a folder or an archive of pictures",
        received=f"{path}, which is not there",
        todo="correct the path",
    )


def _damaged(path: str, error: Exception) -> UserError:
    return UserError(
        expected="a folder, or a complete .tar, .tar.gz or .zip, of pictures",
        received=f"{path.rpartition('/')[2]}: {str(error) or type(error).__name__}",
        todo="correct the path, or download or pack the archive again",
    )
