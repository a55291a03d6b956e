"""Real transactions, predicted in each way: as rows, as tf.Examples, by Beam, and by TFX's own BulkInferrer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bulk_inferrer
import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from small_servable import example

ROWS = 4_000
SELECT = """
  SELECT CAST("InvoiceNo" AS VARCHAR) AS invoice, CAST("UnitPrice" AS DOUBLE) AS amount,
    CAST("Quantity" AS BIGINT) AS count, "Country" AS country
  FROM read_parquet(?) LIMIT ?
"""


@pytest.fixture(scope="module")
def folder(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows as rows.parquet, .csv, .jsonl, and as tf.Examples where TFX looks for a split."""
    folder = tmp_path_factory.mktemp("real")
    source = real_data / "online_retail" / "online_retail.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE found AS {SELECT}", [str(source), ROWS])
        for kind in ("csv", "json", "parquet"):
            connection.execute(f"COPY found TO '{folder}/rows.{kind}'")
    (folder / "rows.json").rename(folder / "rows.jsonl")
    split = folder / "examples" / "Split-all"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "rows.tfrecord")) as writer:
        for row in pq.read_table(folder / "rows.parquet").to_pylist():
            writer.write(example(**row))
    return folder


def _totals(path: Path) -> tuple[list[str], Any]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row["invoice"] for row in rows], np.array([row["total"] for row in rows])


def test_all_ways_agree_to_the_precision_of_floats(predict: Any, folder: Path, root: Path, tmp_path: Path) -> None:
    ways: dict[str, tuple[Path, tuple[str, ...]]] = {
        name: (folder / f"rows.{name}", ()) for name in ("parquet", "csv", "jsonl")
    }
    examples = folder / "examples" / "Split-all" / "rows.tfrecord"
    ways["examples"] = (examples, ("--signature", "totals"))
    ways["beam"] = (examples, ("--signature", "totals", "--beam"))
    for name, (source, more) in ways.items():
        screen = predict("--input", source, "--output", f"{name}.jsonl", *more)
        assert (screen.code, "4,000 predictions" in screen.err) == (0, True), screen.err
    invoices, expected = _totals(tmp_path / "parquet.jsonl")
    assert len(set(invoices)) > 100
    for name in ways:
        found, totals = _totals(tmp_path / f"{name}.jsonl")
        assert found == invoices
        np.testing.assert_allclose(totals, expected, rtol=1e-6)
    records = list(tf.data.TFRecordDataset(str(examples)).as_numpy_iterator())
    (model,) = (root / "pushed" / "clv-small").glob("1*")
    totals = bulk_inferrer.answers(records, model, "totals", tmp_path / "bulk")["total"]
    np.testing.assert_allclose(totals, expected, rtol=1e-6)
