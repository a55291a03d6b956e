"""A small feature table and its transformed examples, made once for all tests of the model's parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

Table = dict[str, NDArray[Any]]


class Transformed(NamedTuple):
    """A feature table, a file pattern of its transformed examples, and the folder of the transform graph."""

    table: Table
    examples: str
    graph: str


@pytest.fixture(scope="session")
def table() -> Table:
    """600 customers, one row each: those who bought more and more lately go on buying."""
    draw = np.random.Generator(np.random.PCG64(5))
    rows = 600
    purchases = draw.integers(1, 12, rows)
    tenure = draw.integers(30, 270, rows)
    since = (tenure * draw.random(rows)).astype("int64")
    revenue = np.round(draw.gamma(4.0, 75.0, rows), 2)
    past = purchases * revenue
    future = np.where(draw.random(rows) < 0.6, past * np.exp(-since / 60) * draw.gamma(4.0, 0.15, rows), 0.0)
    return {
        "customer_id": np.array([f"{100000 + row}" for row in range(rows)], object),
        "n_purchases": purchases,
        "avg_purchase_size": np.round(revenue * 0.6),
        "avg_purchase_revenue": revenue,
        "customer_age": tenure - since,
        "days_since_last_purchase": since,
        "past_monetary_value": past,
        "tenure_days": tenure,
        "revenue_30d": np.where(since < 30, past / 3, 0.0),
        "revenue_91d": np.where(since < 91, past / 2, 0.0),
        "revenue_182d": np.where(since < 182, past, 0.0),
        "purchases_91d": np.where(since < 91, (purchases + 1) // 2, 0),
        "purchases_182d": np.where(since < 182, purchases, 0),
        "customer_country": np.where(draw.random(rows) < 0.9, "United Kingdom", "France").astype(object),
        "future_monetary_value_3M": future,
        "target_monetary_value_3M": past + future,
        "days_before_cutoff": np.where(np.arange(rows) % 4 == 3, 91, 0),
    }


def transformed_in(table: Table, folder: Path) -> Transformed:
    """Runs TFX Transform's own code on a table in process, and leaves what it writes in a folder."""
    import apache_beam as beam
    import tensorflow as tf
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

    from models.clv import features, preprocessing, serving

    types = serving.input_types() | {name: tf.float32 for name in features.LABELS}
    types |= {features.CUSTOMER: tf.string, features.BEFORE_CUTOFF: tf.int64}
    spec = {name: tf.io.FixedLenFeature([], kind) for name, kind in types.items()}
    rows = [{name: table[name][row] for name in spec} for row in range(len(table[features.PAST]))]
    raw = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(temp_dir=str(folder / "tmp")):
        analysed = (pipeline | beam.Create(rows), raw) | tft_beam.AnalyzeAndTransformDataset(
            preprocessing.preprocessing_fn
        )
        (examples, metadata), graph = analysed
        encode = tft.coders.ExampleProtoCoder(metadata.schema).encode
        write = beam.io.WriteToTFRecord(str(folder / "examples"), file_name_suffix=".gz")
        _ = examples | "encode" >> beam.Map(encode) | "examples" >> write
        _ = graph | tft_beam.WriteTransformFn(str(folder / "graph"))
    return Transformed(table, f"{folder}/examples-*", str(folder / "graph"))


@pytest.fixture(scope="session")
def transform() -> Callable[[Table, Path], Transformed]:
    """For tables of a test's own."""
    return transformed_in


@pytest.fixture(scope="session")
def transformed(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    """The table after TFX Transform's own code, run in process."""
    return transformed_in(table, tmp_path_factory.mktemp("transformed"))
