"""The rows of the judged split that a report shows as pictures: a parquet file, written by the serving gate.

A row of the file is a row of the split's predictions (see `pipeline.predictions`): all its columns, then

- `kind`: `best`, `median` or `worst`, by the measure that `Model.illustration` names; least is best;
- the pictures that `Model.illustration` makes of it, a column each, in its order.

Rows stand in the order of the measure, the least first. Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

FOLDER = "illustrations"
"""Name of the folder of the file, beside the serving gate's blessing and in a run's record."""
KIND = "kind"
BEST, MEDIAN, WORST = "best", "median", "worst"
EACH = 6
"""Rows of a kind at most."""


def choose(values: NDArray[Any], each: int = EACH) -> list[tuple[str, int]]:
    """Returns kind and index of the rows to show, the least value first, each row once.

    Rows of the same value keep their order. Of few rows, best and worst get a third each, rounded; those that are left
    between them are the median.

    Args:
      values: of a measure, [rows]; rows without a finite value are left out.
      each: rows of a kind at most.
    """
    order = [int(row) for row in np.argsort(values, kind="stable") if np.isfinite(values[row])]
    ends = min(each, (len(order) + 1) // 3)
    between = min(each, len(order) - 2 * ends)
    first = (len(order) - between) // 2
    parts = {
        BEST: order[:ends],
        MEDIAN: order[first : first + between],
        WORST: order[len(order) - ends :],
    }
    return [(kind, row) for kind, rows in parts.items() for row in rows]


def write(rows: pa.Table, kinds: Sequence[str], pictures: Mapping[str, Sequence[bytes]], path: Path) -> None:
    """Writes rows of predictions with their kind and their pictures, all in the same order.

    Raises:
      ValueError: a picture has the name of a column, or there is not one for each row.
    """
    if shared := sorted(pictures.keys() & {*rows.column_names, KIND}):
        raise ValueError(f"expected pictures that are named otherwise than columns; received {shared}")
    table = rows.append_column(KIND, pa.array(kinds, pa.string()))
    for name, files in pictures.items():
        table = table.append_column(name, pa.array(files, pa.binary()))
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)
