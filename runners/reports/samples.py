"""Examples of a split, evenly sampled: what TFX wrote as gzipped TFRecords of tf.Examples, as a table.

Reads the files itself, since TensorFlow's reader takes ten seconds to import: a record is its length (8 bytes, the
least first), a checksum of that (4), the content, and a checksum of it (4). tfx_bsl decodes the content, without
TensorFlow.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from runners.reports.store import Artifact

ROWS = 5000
"""Rows of a split that a report is made from, at most."""
PICTURES = 120
"""Of these, rows whose bytes that are no text (pictures) are kept."""
CHUNK = 200
"""Records that are decoded at once: their pictures are in memory."""


def of_artifact(examples: Artifact) -> dict[str, pa.Table]:
    """Returns split -> its examples, evenly sampled; of the splits whose files are still there."""
    counts = counts_of(examples)
    found = {split: sorted(Path(examples.uri, f"Split-{split}").glob("*.gz")) for split in splits_of(examples)}
    return {
        split: sample(files, counts[split] if split in counts else sum(1 for file in files for _ in records(file)))
        for split, files in found.items()
        if files
    }


def splits_of(artifact: Artifact) -> list[str]:
    """Returns the splits of examples or statistics, in the order in which they were made."""
    return list(json.loads(artifact.properties.get("split_names", "[]")))


def counts_of(examples: Artifact) -> Mapping[str, int]:
    """Returns split -> its number of examples, where ingestion noted it."""
    noted = {split: examples.properties.get(f"examples_{split}") for split in splits_of(examples)}
    return {split: count for split, count in noted.items() if count is not None}


def sample(files: Sequence[Path], count: int, rows: int = ROWS, pictures: int = PICTURES) -> pa.Table:
    """Returns evenly chosen examples in their order: a column a feature with one value at most in each of them.

    Args:
      files: of the split.
      count: how many examples they hold.
      rows: how many to choose at most.
      pictures: bytes that are no text are null but in so many rows at most, evenly chosen as well.
    """
    step = max(1, -(-count // rows))
    chosen = itertools.islice(itertools.chain.from_iterable(map(records, files)), 0, None, step)
    keep = max(1, -(-count // step // max(pictures, 1)))
    numbered = enumerate(chosen)
    chunks = iter(lambda: list(itertools.islice(numbered, CHUNK)), [])
    return _joined([_decoded(chunk, keep) for chunk in chunks])


def records(file: Path) -> Iterator[bytes]:
    """Yields the records of a gzipped file.

    Raises:
      EOFError: the file is cut off.
    """
    with gzip.open(file) as unzipped, io.BufferedReader(unzipped, 1 << 20) as content:  # type: ignore[type-var]
        while head := content.read(12):
            yield content.read(struct.unpack("<Q", head[:8])[0])
            content.read(4)


def _decoded(numbered: Sequence[tuple[int, bytes]], keep: int) -> dict[str, Any]:
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    batch = ExamplesToRecordBatchDecoder().DecodeBatch([record for _, record in numbered])
    kept = pa.array([number % keep == 0 for number, _ in numbered])
    columns = {name: _single(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    return {name: _text_or(values, kept) for name, values in columns.items() if values is not None}


def _single(column: Any) -> Any:
    """The values of a feature, null where there is none; None where an example has several."""
    if pa.types.is_null(column.type):
        return column
    starts = np.asarray(column.offsets)
    lengths = np.diff(starts)
    if lengths.max(initial=0) > 1:
        return None
    return column.values.take(pa.array(starts[:-1], pa.int64(), mask=lengths == 0))


def _text_or(values: Any, kept: Any) -> Any:
    """Bytes as text; those that are no text only where they are kept."""
    if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
        return values
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return pc.if_else(kept, values, None)


def _joined(chunks: Sequence[dict[str, Any]]) -> pa.Table:
    """One table of all chunks; a feature that a chunk lacks is null there."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(chunks)))
    lengths = [len(next(iter(chunk.values()), [])) for chunk in chunks]
    columns = {}
    for name in names:
        types = {chunk[name].type for chunk in chunks if name in chunk and not pa.types.is_null(chunk[name].type)}
        kind = next(iter(types)) if len(types) == 1 else pa.binary() if types else pa.null()
        parts = [
            chunk[name].cast(kind) if name in chunk else pa.nulls(length, kind)
            for chunk, length in zip(chunks, lengths, strict=True)
        ]
        columns[name] = pa.chunked_array(parts, kind)
    return pa.table(columns)
