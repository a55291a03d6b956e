"""A folder of pictures in, a folder of files out: for signatures whose one input is a file's bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.contract import UserError
from runners.batch.predicting import Ask, Counts, predict, publish_errors
from runners.batch.rows import BATCH_PICTURES, BadRow, Rows, Source
from runners.batch.sinks import BadRows, Sink, open_sink, written
from runners.serving.loaded import Columns, Signature

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp")
"""What counts as a picture in a folder: what `tf.io.decode_image` reads."""
BYTES = "_bytes"
BATCH_PIXELS = 16_000_000
"""Pixels of pictures that are asked about at once; a larger picture is asked about alone."""
PREDICTIONS = "predictions.jsonl"
"""The list in the folder of answers: a line for each picture."""


def signature_of(signatures: dict[str, Signature], folder: Path) -> Signature:
    """Returns the signature with one input that is the bytes of a file.

    Raises:
      UserError: the model has none.
    """
    for signature in signatures.values():
        if [name.endswith(BYTES) for name in signature.inputs] == [True]:
            return signature
    raise UserError(
        expected=f"a model with a signature of one input named ..{BYTES}, to be asked with the files of {folder}",
        received=f"one with the signatures {', '.join(signatures)}",
        todo="name a file of rows with --input",
    )


def predict_to_folder(folder: Path, signature: Signature, ask: Ask, output: Path) -> Counts:
    """Writes what the model answers to each picture of a folder and those below it.

    An output `png_bytes` becomes a file NAME.png in the folder `output`; all else is in its `predictions.jsonl`, by
    `file`. The folder appears when everything is in it, or not at all.

    Raises:
      UserError: there is no picture, or something is at `output` already.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise UserError(
            expected=f"pictures in {folder}, files that end in {', '.join(SUFFIXES)}",
            received="none",
            todo="correct --input",
        )
    if output.exists() or output.suffix in (".jsonl", ".csv", ".parquet"):
        raise UserError(
            expected="a new folder for what the model answers to a folder of pictures",
            received=f"{output}, which {'exists' if output.exists() else 'is named as a file'}",
            todo="choose another --output",
        )
    source = Source(_read(folder, paths, signature), total=len(paths), counted="picture")
    with written(output) as draft:
        draft.mkdir()
        bad = BadRows(output, draft.with_name(".errors"), source.counted)
        sink = _Files(draft)
        try:
            counts = predict(source, signature, ask, sink, bad)
        finally:
            sink.close()
        publish_errors(bad)
    return counts


def _read(folder: Path, paths: list[Path], signature: Signature) -> Iterator[Rows]:
    (only,) = signature.inputs
    start = 0
    for chunk in _chunks(paths):
        found = {number: _content(path) for number, path in enumerate(chunk, start + 1)}
        named = {number: path.relative_to(folder).as_posix() for number, path in enumerate(chunk, start + 1)}
        start += len(chunk)
        good = [number for number, content in found.items() if isinstance(content, bytes)]
        names = [named[number] for number in good]
        yield Rows(
            numbers=np.array(good, np.int64),
            wanted={only: [found[number] for number in good]},
            kept=[{"file": name} for name in names],
            instance=names.__getitem__,
            unreadable=[BadRow(number, named[number], str(found[number])) for number in found if number not in good],
        )


def _chunks(paths: list[Path]) -> Iterator[list[Path]]:
    """Groups pictures by number and by size: the model holds all pixels of a group in memory, several times."""
    chunk: list[Path] = []
    size = 0
    for path in paths:
        pixels = _pixels(path)
        if chunk and (len(chunk) == BATCH_PICTURES or size + pixels > BATCH_PIXELS):
            yield chunk
            chunk, size = [], 0
        chunk.append(path)
        size += pixels
    if chunk:
        yield chunk


def _pixels(path: Path) -> int:
    """Pixels by the header; 0 of what Pillow cannot read, which the model will refuse."""
    try:
        with Image.open(path) as picture:
            return picture.width * picture.height
    except Image.DecompressionBombError:
        return BATCH_PIXELS
    except OSError:
        return 0


def _content(path: Path) -> bytes | str:
    """The bytes of a file, or why they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)


class _Files:
    """Answers that are files, each under the name of the picture; the others in a list."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.list: Sink = open_sink(folder / PREDICTIONS)

    def write(self, kept: pa.Table | list[dict[str, Any]], answer: Columns) -> None:
        named: list[dict[str, Any]] = [dict(row) for row in kept]
        for output in [name for name in answer if name.endswith(BYTES)]:
            kind = output.removesuffix(BYTES)
            for row, content in zip(named, answer[output], strict=True):
                # The whole name, so that a.jpg and a.gif do not meet.
                row[kind] = f"{row['file']}.{kind}" if not row["file"].endswith(f".{kind}") else row["file"]
                path = self.folder / row[kind]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        self.list.write(named, {name: values for name, values in answer.items() if not name.endswith(BYTES)})

    def close(self) -> None:
        self.list.close()
