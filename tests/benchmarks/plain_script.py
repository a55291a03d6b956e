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

from models.clv import MODEL, features, network, preprocessing, trainer
from models.clv.naive import naive
from models.clv.settings import Features
from models.clv.source import SOURCE
from pipeline.contract import Rows, load
from pipeline.ingestion.raw import feature_table, load_raw

Arrays = dict[str, Any]


def encode(rows: Arrays, train: Arrays) -> Arrays:
    """Scales and ranks as `preprocessing_fn` does, by numpy."""
    columns = []
    numbers, of_train = ({**table, **derived(table)} for table in (rows, train))
    for name in (*features.NUMERIC_INPUTS, *derived(train)):
        known, values = np.log1p(of_train[name]), np.log1p(numbers[name])
        columns.append((values - known.mean()) / known.std())
        columns.append(np.searchsorted(np.quantile(known, np.arange(1, 10) / 10), values) / 9 - 0.5)
    countries = sorted(set(train[features.COUNTRY]))
    index = {country: position for position, country in enumerate(countries)}
    place = [index.get(country, len(countries)) for country in rows[features.COUNTRY]]
    return {
        network.NUMERIC: np.stack(columns, 1).astype("float32"),
        network.COUNTRY: np.array(place),
        network.BEFORE: (rows[features.BEFORE_CUTOFF] / preprocessing.WINDOW_DAYS).astype("float32"),
    }


def derived(rows: Arrays) -> Arrays:
    """What `preprocessing_fn` makes of the numbers besides, by numpy."""
    past, tenure, bought = rows[features.PAST], rows["tenure_days"], rows["n_purchases"]
    gap = np.where(bought > 1, rows["customer_age"] / np.maximum(bought - 1, 1), tenure)
    window = preprocessing.WINDOW_DAYS
    return {
        "naive": past * window / np.maximum(tenure, window),
        "lately": rows["revenue_91d"] / np.maximum(past, preprocessing.PENNY),
        "gap": gap,
        "gaps": rows["days_since_last_purchase"] / (gap + 1),
        "price": rows["avg_purchase_revenue"] / np.maximum(rows["avg_purchase_size"], 1),
    }


def fit(learnt: Arrays, train: Arrays, settings: Arrays) -> tuple[keras.Model, network.Answers]:
    """Trains for a fixed number of epochs; returns the network and what it answers.

    Args:
      learnt: rows to learn from, those of earlier days as well.
      train: rows that features are scaled by.
      settings: the training settings.
    """
    label = learnt[features.FUTURE_LABEL].astype("float32")
    inputs = encode(learnt, train)
    totals = trainer.Totals(len(label), float(label.mean()), float(label.max()))
    size = int(inputs[network.COUNTRY].max()) + 2
    model = network.build(settings, numeric_size=inputs[network.NUMERIC].shape[1], country_size=size, scale=totals.mean)
    blocks = tf.data.Dataset.from_tensors((inputs, label))
    trainer.fit(model, blocks, None, totals, settings)
    return model, network.answers(settings, ceiling=totals.largest)


def judge(rows: Arrays, answered: Arrays) -> dict[str, float]:
    """Computes the product's metrics."""
    past, future = rows[features.PAST], answered[features.FUTURE]
    total_naive = naive(rows, {"horizon_days": 91})
    values = {}
    for metric in MODEL.metrics:
        less = past if metric.minus else 0.0
        sliced = Rows(
            rows[features.TOTAL_LABEL] - less,
            past + future - less,
            total_naive - less,
            rows[features.WEIGHT],
            outputs=answered,
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
        for name in ("TRAIN", "VALIDATE", "EARLIER")
    }
    learnt = {key: np.concatenate([splits[name][key] for name in ("TRAIN", "EARLIER")]) for key in columns}
    settings = MODEL.settings().training.model_copy(update={"early_stopping": False}).model_dump()
    keras.utils.set_random_seed(settings["seed"])
    model, answers = fit(learnt, splits["TRAIN"], settings)
    answered = answers(model(encode(splits["VALIDATE"], splits["TRAIN"]), training=False))
    metrics = judge(splits["VALIDATE"], {name: np.asarray(value, "float64") for name, value in answered.items()})
    model.export(str(folder / "model"), verbose=False)
    (folder / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
