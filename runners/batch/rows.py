"""Rows on their way to a model, and those that did not get there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runners.serving.loaded import Signature

BATCH_ROWS = 8192
"""Rows of numbers and text that are asked at once."""
BATCH_PICTURES = 16
"""Rows that are asked at once where a value of them is an array or a file."""
BATCH_BYTES = 4 << 20
"""No batch is read further than this, however few rows it has."""

Column: TypeAlias = Any
"""The values of a column, a row each, as a list or a pyarrow Array: None, or null, where a row has none."""


class BadRow(NamedTuple):
    """A row without a prediction.

    Attributes:
      number: which one, from 1: the line of a JSONL file, the row of others (a CSV's header is none).
      row: what it says.
      reason: what is wrong with it.
    """

    number: int
    row: Any
    reason: str


@dataclass(frozen=True)
class Rows:
    """Rows as they were read, in order.

    Attributes:
      numbers: of each, see `BadRow`.
      wanted: the columns that the signature asks for; one that no row has is a list of None.
      kept: what else the rows say, which goes to the output as it is.
      instance: index -> the row as a server would be asked about it, in JSON's types.
      told: index -> what the file of bad rows shows; the instance if None.
      unreadable: rows between these that cannot be read at all.
    """

    numbers: NDArray[np.int64]
    wanted: Mapping[str, Column]
    kept: pa.Table | list[dict[str, Any]]
    instance: Callable[[int], Any]
    told: Callable[[int], Any] | None = None
    unreadable: Sequence[BadRow] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def bad(self, index: int, reason: str) -> BadRow:
        """Returns a row of these as one that gets no prediction."""
        return BadRow(int(self.numbers[index]), (self.told or self.instance)(index), reason)

    def kept_at(self, indices: NDArray[np.int64]) -> pa.Table | list[dict[str, Any]]:
        """Returns what is kept of some rows."""
        if len(indices) == len(self):
            return self.kept
        if isinstance(self.kept, list):
            return [self.kept[index] for index in indices]
        return self.kept.take(pa.array(indices))


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
      batches: the rows.
      total: how many there are, if that is known.
      counted: what `BadRow.number` counts: line, row, record, picture.
    """

    batches: Iterator[Rows]
    total: int | None = None
    counted: str = field(default="row")


def batch_rows(signature: Signature) -> int:
    """Returns how many rows a signature is asked about at once: memory stays flat, pictures are large."""
    tensors = (*signature.inputs.values(), *signature.outputs.values())
    small = all(len(tensor.shape) == 1 and not tensor.name.endswith("_bytes") for tensor in tensors)
    return BATCH_ROWS if small else BATCH_PICTURES


def chunks(records: Iterator[bytes], rows: int) -> Iterator[list[bytes]]:
    """Groups records, by number and by size.

    >>> list(chunks(iter([b"a", b"b", b"c"]), 2))
    [[b'a', b'b'], [b'c']]
    """
    chunk: list[bytes] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record)
        if len(chunk) >= rows or size >= BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
