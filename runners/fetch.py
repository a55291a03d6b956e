"""Brings a public data set: resumes what was interrupted, checks what arrived, says under which licence."""

from __future__ import annotations

import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import requests

from pipeline.contract import PublicDataset, UserError
from pipeline.fingerprint import sha256_file

ATTEMPTS = 4
TIMEOUT = (10, 60)
"""Seconds to connect, and between two pieces of data."""
PIECE = 1 << 18
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that may be gone a moment later."""

Echo = Callable[[str], None]


class _BrokenOffError(Exception):
    """The attempt broke off; the next may go on from where it stopped."""


def fetch(dataset: PublicDataset, folder: Path, *, echo: Echo, pause: float = 1.0) -> Path:
    """Downloads a data set into a folder, unless it is there already and whole.

    The download grows in `<file>.part`, where the next call takes it up (HTTP Range, RFC 9110 section 14). Where
    the address is that of a zip and `dataset.file` is not, the file is taken out of the zip.

    Args:
      dataset: what to bring. Digest or size are those of the file, not of a zip around it.
      folder: where it goes; made if it does not exist.
      echo: is told the licence before the download, and what is going on.
      pause: seconds before the second attempt; doubled before each later one.

    Returns:
      Path of the file.

    Raises:
      UserError: no network, no such address, no space, or not the file that was published.
    """
    target = folder / PurePosixPath(dataset.file).name
    if target.is_file() and _mismatch(dataset, target) is None:
        echo(f"{target} is there already")
        return target
    echo(f"{dataset.title}\n  licence   {dataset.licence}\n  homepage  {dataset.homepage}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _bring(dataset, target, echo, pause)
    except OSError as error:
        raise UserError(
            expected=f"a folder {folder} that can be written and has room for {_megabytes(2 * dataset.bytes)}",
            received=str(error),
            todo="make room or choose another folder; a second call goes on where this one stopped",
        ) from error
    echo(f"wrote {target} ({_megabytes(target.stat().st_size)})")
    return target


def _bring(dataset: PublicDataset, target: Path, echo: Echo, pause: float) -> None:
    """Downloads, unpacks, checks; only a file that passed gets its name."""
    archive = PurePosixPath(unquote(urlsplit(dataset.url).path)).name
    zipped = archive.endswith(".zip") and target.suffix != ".zip"
    part = target.with_name((archive if zipped else target.name) + ".part")
    _download(dataset, part, echo, pause)
    whole = target.with_name(target.name + ".unpacked") if zipped else part
    try:
        if zipped:
            _unpack(dataset, part, whole)
        wrong = _mismatch(dataset, whole)
        if wrong:
            _refuse(dataset, *wrong)
    except UserError:  # what arrived is of no use, so the next call starts afresh
        part.unlink()
        whole.unlink(missing_ok=True)
        raise
    whole.replace(target)
    part.unlink(missing_ok=True)


def _download(dataset: PublicDataset, part: Path, echo: Echo, pause: float) -> None:
    """Asks until `part` is whole; a server's refusal ends it at once."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _attempt(dataset, part, echo)
            return
        except _BrokenOffError as problem:
            reason = str(problem)
        if attempt < ATTEMPTS:
            echo(f"  attempt {attempt} of {ATTEMPTS} broke off ({reason}); next in {pause:.0f} s")
            time.sleep(pause)
            pause *= 2
    _refuse(dataset, f"an answer from {urlsplit(dataset.url).netloc}", f"none in {ATTEMPTS} attempts: {reason}")


def _attempt(dataset: PublicDataset, part: Path, echo: Echo) -> None:
    """One request for what is missing of `part`.

    Raises:
      _BrokenOffError: there is no connection, it broke off, or the server is busy.
    """
    have = part.stat().st_size if part.is_file() else 0
    # identity: a range of compressed bytes could not be appended to what is here.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(dataset.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                _past_the_end(response, part, have)
                return
            _check_status(dataset, response)
            _save(response, part, have, echo)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _BrokenOffError(_reason(error)) from error
    except requests.RequestException as error:  # the address itself is wrong, or redirects in circles
        _refuse(dataset, "an address that can be downloaded", f"{dataset.url}: {error}")


def _check_status(dataset: PublicDataset, response: requests.Response) -> None:
    if response.status_code in RETRIED:
        raise _BrokenOffError(f"HTTP {response.status_code} {response.reason}")
    if response.status_code not in (200, 206):
        _refuse(dataset, f"the file at {dataset.url}", f"HTTP {response.status_code} {response.reason}")


def _past_the_end(response: requests.Response, part: Path, have: int) -> None:
    """Nothing is left to ask for: `part` is whole, or it is not a part of this file and goes."""
    if response.headers.get("Content-Range") == f"bytes */{have}":
        return
    part.unlink()
    raise _BrokenOffError("the server's file is shorter than what was here")


def _save(response: requests.Response, part: Path, have: int, echo: Echo) -> None:
    """Appends the answer to `part`, or replaces it if the server sends the whole file again."""
    start = have if response.status_code == requests.codes.partial_content else 0
    if start != _first_byte(response):
        part.unlink()
        raise _BrokenOffError("the server sent another range than was asked for")
    length = response.headers.get("Content-Length")
    size = "unknown size" if length is None else _megabytes(start + int(length))
    echo(f"  going on after {_megabytes(start)} of {size}" if start else f"  downloading {size}")
    done = start
    # A connection that closes early: urllib3 1 takes it for the end of the file, urllib3 2 raises and drops the last
    # piece. Neither helps a download that is to go on, so the length is checked here.
    response.raw.enforce_content_length = False
    with part.open("ab" if start else "wb") as file:
        for piece in response.iter_content(PIECE):
            done += file.write(piece)
    if length is not None and done < start + int(length):
        raise _BrokenOffError(f"the connection closed after {_megabytes(done)} of {size}")


def _first_byte(response: requests.Response) -> int:
    """Where the answer's content begins in the file: `Content-Range: bytes 100-199/200` says 100."""
    unit, _, content = response.headers.get("Content-Range", "").partition(" ")
    first = content.partition("-")[0]
    return int(first) if response.status_code == 206 and unit == "bytes" and first.isdigit() else 0


def _unpack(dataset: PublicDataset, archive: Path, target: Path) -> None:
    """Copies the one member that is wanted to `target`; no name inside the zip is ever used as a path."""
    try:
        with zipfile.ZipFile(archive) as file:
            if dataset.file not in file.namelist():
                _refuse(dataset, f"{dataset.file!r} in the zip", f"a zip of {', '.join(file.namelist()[:5])}")
            with file.open(dataset.file) as member, target.open("wb") as out:
                shutil.copyfileobj(member, out, PIECE)
    except (zipfile.BadZipFile, zlib.error) as error:
        _refuse(dataset, "a zip that can be read", f"{error} (the download was deleted)")


def _mismatch(dataset: PublicDataset, path: Path) -> tuple[str, str] | None:
    """What was expected and received, or None if the file is the one that was published."""
    if dataset.sha256 is None:
        expected, received = f"{dataset.bytes} bytes", f"{path.stat().st_size} bytes"
    else:
        expected, received = f"sha256 {dataset.sha256}", f"sha256 {sha256_file(path)}"
    return None if expected == received else (f"{dataset.file!r} with {expected}", received)


def _refuse(dataset: PublicDataset, expected: str, received: str) -> NoReturn:
    raise UserError(
        expected=expected,
        received=received,
        todo=f"try again later, or download {dataset.file!r} by hand from {dataset.homepage} and pass --data FILE",
    )


def _reason(error: Exception) -> str:
    """The innermost cause of a network error, in the system's words."""
    while error.__cause__ or error.__context__:
        inner = error.__cause__ or error.__context__
        if not isinstance(inner, Exception):
            break
        error = inner
    return str(error) or type(error).__name__


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
