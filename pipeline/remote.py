"""Artifacts at addresses such as gs://, for what can only read and write local files: parquet, other processes.

What TensorFlow or `tfx.dsl.io.fileio` reads and writes needs none of this.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfx.dsl.io import fileio
from tfx.utils import io_utils


def is_remote(uri: str) -> bool:
    """Whether an address names no local path."""
    return "://" in uri


@contextmanager
def local_folder(uri: str) -> Iterator[Path]:
    """Yields a local folder as it is; of a remote one, a temporary copy."""
    if not is_remote(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory() as folder:
        io_utils.copy_dir(uri, folder)
        yield Path(folder)


@contextmanager
def local_file(uri: str) -> Iterator[Path]:
    """Yields a local file as it is; of a remote one, a temporary copy of the same name."""
    if not is_remote(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / uri.rpartition("/")[2]
        fileio.copy(uri, str(copy))
        yield copy


@contextmanager
def written_folder(uri: str) -> Iterator[Path]:
    """Yields a local folder to write to: the very one, or a temporary one that is copied to a remote one at the end."""
    if not is_remote(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
        io_utils.copy_dir(folder, uri)
