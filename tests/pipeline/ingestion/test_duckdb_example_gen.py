"""The example generator: what lands in the records, and what stops it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from pipeline.contract import FeatureSettings, Query, UserError
from pipeline.ingestion import query_example_gen
from pipeline.ingestion.duckdb_example_gen import DuckDBExampleGen, Executor, write_examples
from pipeline.ingestion.query_example_gen import to_examples
from pipeline.ingestion.raw import RawTable, load_raw
from pipeline.ingestion.sql import render, split_queries

SELECT = """
SELECT who, SUM(amount) > 3 AS many, CAST(SUM(amount) AS INT64) AS amount, CAST(SUM(price) AS FLOAT64) AS price,
  CASE WHEN MAX(amount) > 4 THEN 'b' ELSE 'a' END AS fold
FROM sales
GROUP BY who
"""
ROWS = "Day,Amount,Price,Who\n" + "".join(f"2024-01-01,{amount},{amount}.5,w{amount}\n" for amount in (3, 0, 2, 6, 5))


class Settings(FeatureSettings):
    """No parameters."""

    until: date = date(2024, 3, 1)


@pytest.fixture
def raw_query(make_query: Callable[[str], Query], tmp_path: Path) -> tuple[RawTable, Query]:
    """A small raw table and its query."""
    query = make_query(SELECT)
    (tmp_path / "sales.csv").write_text(ROWS + "2024-01-01,1,0.0,\n")
    return load_raw(tmp_path / "sales.csv", query, tmp_path / "raw"), query


def run(generator: DuckDBExampleGen, folder: Path) -> standard_artifacts.Examples:
    """Runs the component's executor in this process, with the properties that TFX would pass."""
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    Executor().Do({}, {"examples": [examples]}, dict(generator.exec_properties))
    return examples


def read(folder: Path, split: str) -> list[dict[str, list[Any]]]:
    """The examples of a split."""
    files = [str(path) for path in (folder / f"Split-{split}").iterdir()]
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return [features(record) for record in records]


def features(record: bytes) -> dict[str, list[Any]]:
    """Feature name -> values."""
    example = tf.train.Example.FromString(record)
    return {
        name: list(getattr(feature, feature.WhichOneof("kind") or "int64_list").value)
        for name, feature in example.features.feature.items()
    }


def generator_of(raw: RawTable, query: Query) -> DuckDBExampleGen:
    return DuckDBExampleGen(split_queries(query, Settings()), render(query, Settings()), raw, query.table)


def test_splits_become_ordered_records(raw_query: tuple[RawTable, Query], tmp_path: Path) -> None:
    raw, query = raw_query
    examples = run(
        DuckDBExampleGen(split_queries(query, Settings()), render(query, Settings()), raw, query.table),
        tmp_path / "examples",
    )

    assert read(tmp_path / "examples", "train") == [
        {"who": [b"w0"], "many": [0], "amount": [0], "price": [0.5]},
        {"who": [b"w2"], "many": [0], "amount": [2], "price": [2.5]},
        {"who": [b"w3"], "many": [0], "amount": [3], "price": [3.5]},
        {"who": [], "many": [0], "amount": [1], "price": [0.0]},
    ]
    assert [row["who"] for row in read(tmp_path / "examples", "eval")] == [[b"w5"], [b"w6"]]
    assert artifact_utils.decode_split_names(examples.split_names) == ["train", "eval"]
    assert examples_utils.get_payload_format(examples) == example_gen_pb2.FORMAT_TF_EXAMPLE
    assert examples_utils.get_file_format(examples) == "tfrecords_gzip"


def test_the_report_on_the_raw_rows_lies_beside_the_splits(raw_query: tuple[RawTable, Query], tmp_path: Path) -> None:
    raw, query = raw_query
    run(
        DuckDBExampleGen(split_queries(query, Settings()), render(query, Settings()), raw, query.table),
        tmp_path / "examples",
    )
    assert json.loads((tmp_path / "examples" / "ingestion.json").read_text()) == raw.report.model_dump(mode="json")


def test_the_same_data_gives_the_same_records_in_the_same_order(
    raw_query: tuple[RawTable, Query], tmp_path: Path
) -> None:
    raw, query = raw_query
    generator = generator_of(raw, query)
    run(generator, tmp_path / "one")
    run(generator, tmp_path / "two")
    assert read(tmp_path / "one", "train") == read(tmp_path / "two", "train")


def test_an_empty_split_is_refused(raw_query: tuple[RawTable, Query], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected at least one row in the split 'eval'; received none"):
        run(_without_eval(raw_query), tmp_path / "examples")


def test_a_split_that_may_be_empty_is_written_as_it_is(raw_query: tuple[RawTable, Query], tmp_path: Path) -> None:
    examples = run(_without_eval(raw_query, "eval"), tmp_path / "examples")
    assert artifact_utils.decode_split_names(examples.split_names) == ["train", "eval"]
    assert len(read(tmp_path / "examples", "train")) == 6
    assert read(tmp_path / "examples", "eval") == []


def _without_eval(raw_query: tuple[RawTable, Query], *optional: str) -> DuckDBExampleGen:
    raw, query = raw_query
    rows = "SELECT who, amount FROM sales"
    return DuckDBExampleGen({"train": rows, "eval": f"{rows} WHERE FALSE"}, rows, raw, query.table, optional)


def test_a_lost_row_stops_the_run(
    raw_query: tuple[RawTable, Query], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, query = raw_query
    monkeypatch.setattr(query_example_gen, "to_examples", lambda batch: to_examples(batch)[1:])
    with pytest.raises(RuntimeError, match="split 'train': the query returned 6 rows, but 5 examples were written"):
        write_examples(raw.parquet, query.table, "SELECT who, amount FROM sales", "train", str(tmp_path / "out"))


def test_types_that_bigquery_example_gen_refuses_are_refused(raw_query: tuple[RawTable, Query], tmp_path: Path) -> None:
    raw, query = raw_query
    with pytest.raises(TypeError, match=r"column 'day': expected INT64, .* received timestamp\[us\]; CAST it"):
        write_examples(raw.parquet, query.table, "SELECT day FROM sales", "train", str(tmp_path / "out"))


def test_nulls_anywhere_become_features_without_values() -> None:
    batch = pa.RecordBatch.from_arrays(
        [pa.array([None, 1, None], pa.int32()), pa.array([1.5, None, None], pa.float64()), pa.array(["", None, "é"])],
        names=["i", "f", "s"],
    )
    assert [features(record) for record in to_examples(batch)] == [
        {"i": [], "f": [1.5], "s": [b""]},
        {"i": [1], "f": [], "s": []},
        {"i": [], "f": [], "s": ["é".encode()]},
    ]


def test_the_cache_key_follows_the_data_and_the_queries(raw_query: tuple[RawTable, Query], tmp_path: Path) -> None:
    raw, query = raw_query
    (tmp_path / "more.csv").write_text(ROWS)
    more = load_raw(tmp_path / "more.csv", query, tmp_path / "raw")
    queries = split_queries(query, Settings())

    def key(generator: DuckDBExampleGen) -> str:
        return "".join(generator.exec_properties[name] for name in ("input_config", "custom_config"))

    same = key(DuckDBExampleGen(queries, "SELECT 1", raw, "sales"))
    assert key(DuckDBExampleGen(queries, "SELECT 1", raw, "sales")) == same
    assert key(DuckDBExampleGen(queries, "SELECT 1", more, "sales")) != same
    assert key(DuckDBExampleGen({**queries, "eval": queries["train"]}, "SELECT 1", raw, "sales")) != same


def test_a_row_in_no_split_stops_the_run(raw_query: tuple[RawTable, Query], tmp_path: Path) -> None:
    raw, query = raw_query
    fewer = query.model_copy(update={"splits": {"train": query.splits["train"]}})
    with pytest.raises(RuntimeError, match=r"the query returned \d+ rows, but \d+ examples were written"):
        run(generator_of(raw, fewer), tmp_path / "examples")
