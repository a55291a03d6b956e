"""The work of `pipelines run clv` as a plain script: same SQL, same network and training, same metrics, an export.

No statistics, no validation, no transform graph, no gates, no metadata, no cache, no versions: what is left is the
least that the work costs. Usage: python tests/benchmarks/plain_script.py DATA CUTOFF FOLDER
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.clv import MODEL, features, network, trainer
from models.clv.naive import naive
from models.clv.settings import Features
from models.clv.source import SOURCE
from pipeline.contract import Rows, load
from pipeline.ingestion.raw import feature_table, load_raw

Arrays = dict[str, Any]


def encode(rows: Arrays, train: Arrays) -> Arrays:
    """Scales and ranks as `preprocessing_fn` does, by numpy."""
    columns = []
    for name in features.NUMERIC_INPUTS:
        known, values = np.log1p(train[name]), np.log1p(rows[name])
        columns.append((values - known.mean()) / known.std())
        columns.append(np.searchsorted(np.quantile(known, np.arange(1, 10) / 10), values) / 9 - 0.5)
    countries = sorted(set(train[features.COUNTRY]))
    index = {country: position for position, country in enumerate(countries)}
    place = [index.get(country, len(countries)) for country in rows[features.COUNTRY]]
    return {network.NUMERIC: np.stack(columns, 1).astype("float32"), network.COUNTRY: np.array(place)}


def fit(train: Arrays, settings: Arrays) -> keras.Model:
    """Trains for a fixed number of epochs."""
    label = train[features.FUTURE_LABEL].astype("float32")
    inputs = encode(train, train)
    totals = trainer.Totals(len(label), float(label.mean()), float(label.max()))
    size = int(inputs[network.COUNTRY].max()) + 2
    model = network.build(
        settings,
        numeric_size=inputs[network.NUMERIC].shape[1],
        country_size=size,
        scale=totals.mean,
        ceiling=totals.largest,
    )
    blocks = tf.data.Dataset.from_tensors((inputs, label))
    trainer.fit(model, blocks, None, totals, settings)
    return model


def judge(rows: Arrays, future: Any) -> dict[str, float]:
    """Computes the product's metrics."""
    past = rows[features.PAST]
    total_naive = naive(rows, {"horizon_days": 91})
    values = {}
    for metric in MODEL.metrics:
        less = past if metric.minus else 0.0
        sliced = Rows(
            rows[features.TOTAL_LABEL] - less, past + future - less, total_naive - less, rows[features.WEIGHT]
        )
        values[metric.name] = load(metric.function)(sliced)
    return values


def main(data: Path, cutoff: str, folder: Path) -> None:
    """Reads, trains, judges on VALIDATE, saves."""
    raw = load_raw(data, SOURCE, folder / "raw")
    table = feature_table(raw, SOURCE, Features(cutoff=date.fromisoformat(cutoff)))
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    splits = {
        name: {key: column[columns["split"] == name] for key, column in columns.items()}
        for name in ("TRAIN", "VALIDATE")
    }
    settings = MODEL.settings().training.model_copy(update={"early_stopping": False}).model_dump()
    keras.utils.set_random_seed(settings["seed"])
    model = fit(splits["TRAIN"], settings)
    future = model.predict(encode(splits["VALIDATE"], splits["TRAIN"]), verbose=0).mean(axis=1)
    metrics = judge(splits["VALIDATE"], future.astype("float64"))
    model.export(str(folder / "model"), verbose=False)
    (folder / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
