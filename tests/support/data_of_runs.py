"""Runs that read data and got no further: examples, statistics and metadata, as TFX leaves them, made by hand."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.io.tfrecordio import _TFRecordUtil
from metadata_by_hand import MetadataByHand
from recorded_runs import write_record
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from pipeline.ingestion.raw import RawReport
from pipeline.verdict import Check
from runners.reports.facts import INGESTION, Facts, gather

Columns = Mapping[str, Any]
"""Feature -> its values, row by row."""
SPLIT_NAMES = '["train", "eval", "test"]'
PIPELINE = "clv-main-horizon_days-91"


def customers(rows: int, seed: int = 1, **columns: Any) -> Columns:
    """Examples of the CLV model: incomes with a long tail, three of four from France; `columns` over these."""
    draw = np.random.default_rng(seed)
    past, future = draw.lognormal(6, 1.5, rows), draw.lognormal(5, 1.5, rows)
    days = draw.integers(0, 274, rows)
    usual: dict[str, Any] = {
        "n_purchases": draw.integers(1, 12, rows),
        "avg_purchase_size": draw.lognormal(5, 1, rows),
        "avg_purchase_revenue": draw.lognormal(5, 1, rows),
        "customer_age": days,
        "days_since_last_purchase": days // 2,
        "past_monetary_value": past,
        "tenure_days": days,
        "revenue_30d": past / 4,
        "revenue_91d": past / 2,
        "revenue_182d": past,
        "purchases_91d": draw.integers(0, 6, rows),
        "purchases_182d": draw.integers(0, 12, rows),
        "customer_country": ["Spain" if row % 4 == 3 else "France" for row in range(rows)],
        "future_monetary_value_3M": future,
        "target_monetary_value_3M": past + future,
        "customer_id": [f"customer {row}" for row in range(rows)],
        "customer_weight": np.ones(rows),
        "frequency_band": ["1" if row % 2 else "2-3" for row in range(rows)],
        "days_before_cutoff": np.zeros(rows, int),
    }
    return {**usual, **columns}


def write_examples(file: Path, columns: Columns) -> None:
    """Writes tf.Examples as TFX does; None is no value, a list several."""
    file.parent.mkdir(parents=True)
    lists = {name: [_listed(value) for value in values] for name, values in columns.items()}
    batch = pa.RecordBatch.from_pydict({name: pa.array(values, _type(values)) for name, values in lists.items()})
    with gzip.open(file, "wb") as unzipped:
        for record in RecordBatchToExamplesEncoder().encode(batch):
            _TFRecordUtil.write_record(unzipped, record)


def _listed(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [found.encode() if isinstance(found, str) else found for found in values]


def _type(values: list[list[Any]]) -> Any:
    first = next(value for entry in values for value in entry)
    kind = (
        pa.binary() if isinstance(first, bytes) else pa.int64() if isinstance(first, int | np.integer) else pa.float32()
    )
    return pa.list_(kind)


def write_statistics(file: Path, columns: Columns) -> None:
    """Writes what StatisticsGen writes, as far as it is read."""
    made = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = made.datasets.add()
    for name, values in columns.items():
        feature = dataset.features.add()
        feature.path.step.append(name)
        there = [value for value in values if value is not None]
        texts = isinstance(there[0], str)
        common = (feature.string_stats if texts else feature.num_stats).common_stats
        common.num_missing, common.num_non_missing = len(values) - len(there), len(there)
        (_add_texts if texts else _add_numbers)(feature, there)
    file.parent.mkdir(parents=True)
    file.write_bytes(made.SerializeToString())


def _add_numbers(feature: Any, values: Sequence[Any]) -> None:
    found, stats = np.asarray(values), feature.num_stats
    kinds = statistics_pb2.FeatureNameStatistics
    feature.type = kinds.INT if np.issubdtype(found.dtype, np.integer) else kinds.FLOAT
    stats.num_zeros, stats.mean, stats.std_dev = int((found == 0).sum()), found.mean(), found.std()
    stats.min, stats.median, stats.max = found.min(), np.median(found), found.max()


def _add_texts(feature: Any, values: Sequence[str]) -> None:
    feature.type = statistics_pb2.FeatureNameStatistics.STRING
    names, counts = np.unique(values, return_counts=True)
    feature.string_stats.unique = len(names)
    for rank, place in enumerate(np.argsort(-counts)):
        bucket = feature.string_stats.rank_histogram.buckets.add(low_rank=rank, label=names[place])
        bucket.sample_count = counts[place]


def report(**fields: Any) -> RawReport:
    """What ingestion says of a hundred rows: 97 usable ones, three in quarantine."""
    usual: dict[str, Any] = {
        "source": "shop.csv",
        "source_sha256": "5e" * 32,
        "rows_read": 100,
        "rows_usable": 97,
        "quarantined": 3,
        "quarantined_by_reason": {"price: no number": 2, "date: no date": 1},
        "left_out": {"cancelled or returned": 4},
        "forbidden": {"negative price": {"rows": 0, "examples": []}},
    }
    return RawReport.model_validate({**usual, **fields})


class RootByHand:
    """Runs of the CLV model below a root."""

    def __init__(self, root: Path) -> None:
        self._root, self._metadata = root, MetadataByHand(root)

    def examples(self, run: str, splits: Mapping[str, Columns], ingestion: RawReport | None = None) -> int:
        """Has ExampleGen make examples, and returns their artifact's id."""
        folder = self._root / run / "examples"
        for split, columns in splits.items():
            write_examples(folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz", columns)
        if ingestion:
            (folder / INGESTION).write_text(ingestion.model_dump_json(), encoding="utf-8")
        counts = {f"examples_{split}": len(next(iter(columns.values()))) for split, columns in splits.items()}
        made = self._metadata.artifact("Examples", folder, split_names=SPLIT_NAMES, **counts)
        self._metadata.node("ExampleGen", pipeline=PIPELINE, run=run, left={"examples": made})
        return made

    def statistics(self, run: str, splits: Mapping[str, Columns], examples: int) -> int:
        """Has StatisticsGen describe examples, and returns the id of what it made."""
        folder = self._root / run / "statistics"
        for split, columns in splits.items():
            write_statistics(folder / f"Split-{split}" / "FeatureStats.pb", columns)
        made = self._metadata.artifact("ExampleStatistics", folder, split_names=SPLIT_NAMES)
        taken, left = {"examples": examples}, {"statistics": made}
        self._metadata.node("StatisticsGen", pipeline=PIPELINE, run=run, took=taken, left=left)
        return made

    def refusal(self, run: str, reference: int) -> None:
        """Has the data gate refuse a run that it compared with the statistics of another one."""
        self._metadata.node("DataGate", pipeline=PIPELINE, run=run, state="FAILED", took={"reference": reference})

    def facts(self, run: str, checks: Sequence[Check] = (), **fields: Any) -> Facts:
        """Writes a record of the run, and returns all that is known of it."""
        usual = {
            "outcome": "pushed" if all(check.passed for check in checks) else "refused",
            "data": {"file": "shop.csv", "digest": "d1e", "quarantine": "/shop/quarantine.csv"},
        }
        write_record(self._root, run, **{**usual, "pipeline": PIPELINE, "checks": list(checks), **fields})
        return gather(self._root, run)
