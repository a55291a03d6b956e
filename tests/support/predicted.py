"""The files of predictions that a run leaves, read and reckoned with as an analyst would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.contract import Metric, Model, Rows, load
from runners.run import RunResult

Columns = dict[str, NDArray[Any]]
ANSWERS = {"actual", "predicted", "naive"}


def columns(result: RunResult, split: str) -> Columns:
    """The file that a run's record holds of a split, as arrays by column."""
    file = Path(result.folder) / "predictions" / f"{split}.parquet"
    assert result.predictions[split] == str(file)
    table = pq.read_table(file)
    return {name: table[name].to_numpy() for name in table.column_names}


def metrics(model: Model, found: Columns) -> dict[str, float]:
    """The model's metrics, from nothing but the columns."""
    return {"rows": len(found[model.key[0]])} | {
        one.name: load(one.function)(_rows(model, one, found)) for one in model.metrics if not one.against_champion
    }


def reported(result: RunResult, split: str) -> Any:
    """The metrics of a run's record, to compare with; those without a value are NaN."""
    found = {name: np.nan if value is None else value for name, value in result.metrics[split].items()}
    return pytest.approx(found, rel=1e-12, nan_ok=True)


def _rows(model: Model, metric: Metric, found: Columns) -> Rows:
    count = len(found[model.key[0]])
    weight = found[model.weight] if model.weight else np.ones(count)
    if model.measure:
        nothing = np.empty((count, 0))
        return Rows(nothing, nothing, nothing, weight, found)
    known = found[metric.minus] if metric.minus else 0.0
    outputs = {name: found[name] for name in model.outputs}
    actual, predicted, naive = (found[name] - known for name in ("actual", "predicted", "naive"))
    return Rows(actual, predicted, naive, weight, outputs=outputs)


def examples(root: Path, pipeline: str, split: str, *names: str) -> list[tuple[Any, ...]]:
    """The features `names` of each row of a split, as ingestion wrote them first, text decoded."""
    folders = (root / "artifacts" / pipeline / "ExampleGen" / "examples").iterdir()
    first = min(folders, key=lambda path: int(path.name))
    (file,) = (first / f"Split-{split}").iterdir()
    records = tf.data.TFRecordDataset(str(file), compression_type="GZIP").as_numpy_iterator()
    return [tuple(_value(tf.train.Example.FromString(record), name) for name in names) for record in records]


def _value(example: Any, name: str) -> Any:
    feature = example.features.feature[name]
    (value,) = getattr(feature, feature.WhichOneof("kind")).value
    return value.decode() if isinstance(value, bytes) else value
