"""Reads files of serialized tf.Examples, as TFX writes them: the signature takes them as they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from runners.batch.rows import BadRow, Rows, batch_rows, chunks
from runners.serving.loaded import Signature, quiet_tensorflow

GZIP = b"\x1f\x8b"


def records(path: Path) -> Iterator[bytes]:
    """Yields the records of a file, gzipped or not, whatever its name.

    Raises:
      ValueError: the file is cut off or damaged.
    """
    tf = quiet_tensorflow()
    with path.open("rb") as file:
        compression = "GZIP" if file.read(2) == GZIP else ""
    try:
        yield from tf.data.TFRecordDataset(str(path), compression).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise ValueError(error.message.splitlines()[0]) from error


def batches(path: Path, signature: Signature) -> Iterator[Rows]:
    """Yields the tf.Examples of a file; a signature takes them in its only input."""
    numbered = itertools.count(1)
    for chunk in chunks(records(path), batch_rows(signature)):
        yield rows_of(signature, [(next(numbered), record) for record in chunk])


def rows_of(signature: Signature, numbered: list[tuple[int, bytes]]) -> Rows:
    """Returns records as rows. Kept are their features of one number or text each; which of them the model reads,
    only the model knows.
    """
    good, unreadable = numbered, []
    features = _decoded([record for _, record in numbered])
    if features is None:
        good = [(number, record) for number, record in numbered if _decoded([record]) is not None]
        numbers = {number for number, _ in good}
        bad = [(number, record) for number, record in numbered if number not in numbers]
        unreadable = [BadRow(number, record, "no serialized tf.Example") for number, record in bad]
        features = _decoded([record for _, record in good]) if good else None
    (only,) = signature.inputs
    values = [record for _, record in good]
    return Rows(
        numbers=np.array([number for number, _ in good], np.int64),
        wanted={only: values},
        kept=_kept(features, signature) if features is not None else [{}] * len(good),
        instance=lambda index: values[index],
        unreadable=unreadable,
    )


def _decoded(examples: list[bytes]) -> Any:
    """The features of tf.Examples as a record batch of lists, or None if one of them is none."""
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    try:
        return ExamplesToRecordBatchDecoder().DecodeBatch(examples)
    except (ValueError, RuntimeError):  # One or the other, by the version of tfx_bsl.
        return None


def _kept(features: Any, signature: Signature) -> Any:
    kept = {}
    for name, column in zip(features.schema.names, features.columns, strict=True):
        values = None if name in signature.outputs else _single(column)
        if values is not None:
            kept[name] = values
    return pa.table(kept) if kept else [{}] * len(features)


def _single(column: Any) -> Any:
    """The values of a feature where an example has one; null where it has none or several. None if no example has one,
    and for bytes that are no text.
    """
    if pa.types.is_null(column.type) or 1 not in set(_lengths(column)):
        return None
    offsets = np.append(np.asarray(column.offsets), [])
    starts = np.where(np.diff(offsets) == 1, offsets[:-1], -1)
    indices = pa.array(starts, pa.int64(), mask=starts < 0)
    values = column.values.take(indices)
    try:
        return values.cast(pa.string()) if pa.types.is_binary(values.type) or _large(values) else values
    except pa.ArrowInvalid:
        return None


def _large(values: Any) -> bool:
    return bool(pa.types.is_large_binary(values.type))


def _lengths(column: Any) -> Any:
    return np.diff(np.asarray(column.offsets)).tolist()
