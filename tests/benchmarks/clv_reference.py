"""The CLV model beside the reference lab's network and its SQL baseline, over seeds, as a table in Markdown.

One run of the pipeline brings the transformed examples; each training goes through the product's trainer and its saved
model, and is judged by the product's metrics. The test split is reported and chooses nothing.

Usage: python tests/benchmarks/clv_reference.py DATA CUTOFF [--seeds 3]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import tensorflow as tf

from models.clv import MODEL, features, serving, trainer
from models.clv.naive import naive
from models.clv.settings import Features
from models.clv.source import SOURCE
from pipeline.contract import Rows, load
from pipeline.ingestion.raw import RawTable, feature_table, subjects
from pipeline.settings import make_settings
from runners.local import execute
from runners.run import Run, prepare

Columns = dict[str, Any]
SPLITS = ("VALIDATE", "TEST")
SHOWN = ("mae", "rmse", "future_mae_vs_naive", "future_bias", "future_spearman", "future_gini")


def columns_of(table: pa.Table) -> Columns:
    """Returns a table's columns as arrays."""
    return {name: table.column(name).to_numpy() for name in table.column_names}


def judge(rows: Columns, total: Any) -> dict[str, float]:
    """Computes the product's metrics of predicted totals."""
    values = {}
    for metric in (metric for metric in MODEL.metrics if metric.name in SHOWN):
        less = rows[metric.minus] if metric.minus else 0.0
        rule = naive(rows, {"horizon_days": Features().horizon_days})
        judged = Rows(rows[features.TOTAL_LABEL] - less, total - less, rule - less, rows[features.WEIGHT])
        values[metric.name] = float(load(metric.function)(judged))
    return values


def baseline(rows: Columns) -> Any:
    """The lab's SQL baseline, as a total of each row.

    The lab's SQL reads, by customer,

        AVG(avg_purchase_revenue) * (COUNT(n_purchases) * (1 + COUNT(target_days) / COUNT(feature_days)))

    against SUM(target_monetary_value_3M). Its COUNTs count rows, not purchases and days, so that a customer is
    predicted twice his mean day; and one of two countries twice that, against a target that is summed twice as well.
    """
    _, index, count = np.unique(rows[features.CUSTOMER].astype(str), return_inverse=True, return_counts=True)
    mean = np.bincount(index, rows["avg_purchase_revenue"]) / count
    return 2 * mean[index]


def trained(run: Run, network: str, seed: int, splits: dict[str, Columns]) -> dict[str, Any]:
    """Trains a network on the run's transformed examples and returns its predicted totals by split."""
    chosen = make_settings(MODEL, {"training": {"network": network, "seed": seed}}).training
    transform = run.root / "artifacts" / run.pipeline / "Transform"
    (graph,) = (transform / "transform_graph").iterdir()
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(
            examples=[f"{transform}/transformed_examples/*/Split-*/*"],
            transform_folder=str(graph),
            serving_folder=folder,
            settings=chosen.model_dump(mode="json"),
        )
        answer = tf.saved_model.load(folder).signatures["serving_default"]
        return {split: _asked(answer, rows) for split, rows in splits.items()}


def _asked(answer: Any, rows: Columns) -> Any:
    asked = {name: tf.constant(rows[name], kind) for name, kind in serving.input_types().items()}
    return answer(**asked)[features.TOTAL].numpy().astype("float64")


def lines(run: Run, seeds: int) -> Iterator[str]:
    """Yields the rows of the table."""
    table = feature_table(cast(RawTable, run.raw), SOURCE, cast(Features, run.settings.features))
    columns = columns_of(subjects(table, SOURCE))
    # The error by customer, weighed by his rows: the lab sums over them.
    every = np.abs(baseline(columns) - columns[features.TOTAL_LABEL]).sum() / columns[features.WEIGHT].sum()
    yield f"The lab's SQL over all {columns[features.WEIGHT].sum():.0f} customers: MAE {every:.2f}\n"
    yield f"| model | seed | {' | '.join(f'{split} {m}' for split in ('eval', 'test') for m in SHOWN)} |"
    yield f"|---|---|{'---|' * 2 * len(SHOWN)}"
    splits = {split: {name: values[columns["split"] == split] for name, values in columns.items()} for split in SPLITS}
    yield _line("naive rule", "", {s: naive(rows, {"horizon_days": 91}) for s, rows in splits.items()}, splits)
    yield _line("lab's SQL baseline", "", {s: baseline(rows) for s, rows in splits.items()}, splits)
    for network in ("reference", "ensemble"):
        for seed in range(seeds):
            yield _line(f"`network={network}`", str(seed), trained(run, network, seed, splits), splits)


def _line(name: str, seed: str, totals: dict[str, Any], splits: dict[str, Columns]) -> str:
    judged = {split: judge(splits[split], total) for split, total in totals.items()}
    values = [judged[split][metric] for split in SPLITS for metric in SHOWN]
    shown = [f"{value:.0f}" if abs(value) > 10 else f"{value:.3f}" for value in values]
    return f"| {name} | {seed} | {' | '.join(shown)} |"


def main() -> None:
    """Prints the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cutoff", type=date.fromisoformat)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        layer = {"features": {"cutoff": arguments.cutoff}, "training": {"epochs": 1, "early_stopping": False}}
        run = prepare(MODEL, Path(root), data=arguments.data, layers=(layer,))
        execute(run)
        for line in lines(run, arguments.seeds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
