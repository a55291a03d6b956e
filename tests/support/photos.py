"""Small pictures and the containers they come in, for the tests of ingestion."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def photo(seed: int = 0, width: int = 60, height: int = 40) -> Image.Image:
    """Smooth colours that differ in the four corners, and from seed to seed."""
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3)).astype(np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The content of a picture file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Writes files, by relative name, into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def to_tar(files: dict[str, bytes], path: Path, mode: str = "w") -> Path:
    """Packs files, in the order given."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def to_tar_gz(files: dict[str, bytes], path: Path) -> Path:
    """The same, compressed."""
    return to_tar(files, path, "w:gz")


def to_zip(files: dict[str, bytes], path: Path) -> Path:
    """Packs files, in the order given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


Pack = Callable[[dict[str, bytes], Path], Path]
"""Writes files by name into a container and returns it."""

CONTAINERS: dict[str, Pack] = {
    "folder": lambda files, path: write(path, files),
    "tar": to_tar,
    "tar.gz": to_tar_gz,
    "zip": to_zip,
}
"""Kind of container -> what makes one of files by name."""
