"""The rows behind a run's metrics, for people: a parquet file a split, written by the serving gate.

A row of the split is a row of the file, in the split's order. Its columns, in this order:

- the features that say which row it is (`Model.key`), those that it is sliced by, and those that the metrics read
  besides (a weight, the known part of a total);
- `actual`, `predicted` and `naive`; or, where an answer is no single number, what `Model.measure` keeps of it;
- what the model answers besides, `Model.outputs`.

So every metric of the run can be computed again from its file, on any part of the rows. Imports no TensorFlow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from pipeline.slice_metrics import Table

FOLDER = "predictions"
"""Name of the folder of the files, beside the serving gate's blessing and in a run's record."""
ACTUAL, PREDICTED, NAIVE = "actual", "predicted", "naive"


def describe(features: Mapping[str, NDArray[Any]], table: Table) -> pa.Table:
    """Returns a batch of rows as they are written.

    Args:
      features: those that are written of the rows, [rows] each: numbers, or an object array of UTF-8 bytes.
      table: what was kept of the answers for the metrics.

    Raises:
      ValueError: two columns would have one name.
    """
    answers = table.measures or {ACTUAL: table.label, PREDICTED: table.prediction, NAIVE: table.naive}
    parts: tuple[Mapping[str, NDArray[Any]], ...] = (features, answers, table.outputs)
    counts = Counter(name for part in parts for name in part)
    if shared := sorted(name for name, count in counts.items() if count > 1):
        names = sorted(answers)
        raise ValueError(f"expected features and outputs that are named otherwise than {names}; received {shared}")
    return pa.table({name: _column(values) for part in parts for name, values in part.items()})


def write(batches: Sequence[pa.Table], path: Path) -> pa.Table:
    """Writes the rows of a split, given in batches of at least one, to a parquet file, and returns them as one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = pa.concat_tables(batches)
    parquet.write_table(rows, path)
    return rows


def _column(values: NDArray[Any]) -> pa.Array:
    if values.dtype.kind == "O":
        return pa.array([value.decode(errors="backslashreplace") for value in values], pa.string())
    return pa.array(values.astype(np.float64) if values.dtype.kind == "f" else values)
