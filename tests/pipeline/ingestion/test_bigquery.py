"""Google's own client against the stand-in: what comes through BigQuery is what comes from a file."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tensorflow as tf
from google.cloud import bigquery as client_library
from tfx.types import standard_artifacts

from models.clv.sample import write_sample
from models.clv.settings import Features
from models.clv.source import SOURCE, resolve
from pipeline.contract import FeatureSettings, Query, Settings, UserError
from pipeline.ingestion import bigquery, bigquery_example_gen, duckdb_example_gen, raw
from pipeline.ingestion.bigquery import BigQueryTable, ask, connect, count_query, download, find_table, read_report
from pipeline.ingestion.example_files import REPORT
from pipeline.ingestion.raw import RawReport, RawTable, feature_table, load_raw
from pipeline.ingestion.sql import AUTO, render, split_queries
from runners.vertex.bigquery_standin import serve
from runners.vertex.load import load

PROJECT, PLACE = "my-project", "europe-west4"
TABLE = BigQueryTable(PROJECT, PLACE, f"{PROJECT}.shop.transactions")


class Loaded(NamedTuple):
    """The same raw rows in a file and in the stand-in."""

    raw: RawTable
    table: BigQueryTable


@pytest.fixture(scope="module")
def standin() -> Iterator[str]:
    with serve() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGQUERY_EMULATOR_HOST", address)
        yield address


@pytest.fixture(scope="module")
def loaded(standin: str, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """The generated sample, with a negative price in it."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder / "sample.csv", 7)
    with (folder / "sample.csv").open("a") as file:
        header = (folder / "sample.csv").read_text().partition("\n")[0].split(",")
        row = {"InvoiceNo": "1", "Quantity": "1", "InvoiceDate": "2011-01-02", "UnitPrice": "-5.0", "CustomerID": "c"}
        file.write(",".join({"Country": "UK", **row}.get(name, "") for name in header) + "\n")
    found = load_raw(folder / "sample.csv", SOURCE, folder / "raw")
    load(found, SOURCE, TABLE)
    return Loaded(found, find_table(PROJECT, PLACE, TABLE.address, SOURCE))


def resolved(table: RawTable) -> Features:
    features = resolve(Settings(features=Features()), raw.ask(table, SOURCE)).features
    assert isinstance(features, Features)
    return features


def through_bigquery(table: BigQueryTable, features: FeatureSettings, folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows = download(table, render(SOURCE, features, table=table.address), folder / "rows.parquet")
    found: list[dict[str, Any]] = pq.read_table(folder / "rows.parquet").to_pylist()
    assert len(found) == rows
    return sorted(found, key=lambda row: tuple(row.values()))


def test_the_query_gives_the_same_rows_as_from_the_file(loaded: Loaded, tmp_path: Path) -> None:
    features = resolved(loaded.raw)
    local = feature_table(loaded.raw, SOURCE, features).to_pylist()
    assert through_bigquery(loaded.table, features, tmp_path) == local


def test_auto_finds_in_bigquery_the_cutoff_that_resolving_finds(loaded: Loaded, tmp_path: Path) -> None:
    settings = Settings(features=Features())
    assert resolve(settings, ask(loaded.table, SOURCE)).features == resolved(loaded.raw)
    assert Features().cutoff == AUTO
    late = through_bigquery(loaded.table, Features(), tmp_path)
    assert late == through_bigquery(loaded.table, resolved(loaded.raw), tmp_path)


def test_an_auto_that_nothing_finds_is_refused(make_query: Callable[[str], Query]) -> None:
    class Open(FeatureSettings):
        until: str = AUTO

    with pytest.raises(UserError, match=r"expected a value of the setting until, .*received auto; set features.until"):
        render(make_query("SELECT * FROM sales WHERE day <= @until"), Open())


@pytest.mark.parametrize(
    ("file", "splits"),
    [("online_retail.csv.gz", (2638, 353, 339)), ("online_retail.parquet", (2637, 347, 346))],
    ids=["float ids", "integer ids"],
)
def test_real_data_gives_the_known_splits(
    standin: str, real_data: Path, tmp_path: Path, file: str, splits: tuple[int, int, int]
) -> None:
    found = load_raw(real_data / "online_retail" / file, SOURCE, tmp_path / "raw")
    table = BigQueryTable(PROJECT, PLACE, f"{PROJECT}.real.{file.partition('.')[2].replace('.', '_')}")
    assert load(found, SOURCE, table) == 541_909
    features = Features(cutoff=date(2011, 9, 1))
    queries = split_queries(SOURCE, features, table=table.address)
    counts = {split: download(table, sql, tmp_path / "split.parquet") for split, sql in queries.items()}
    assert counts.pop("earlier") > counts["train"]
    assert counts == dict(zip(("train", "eval", "test"), splits, strict=True))
    assert through_bigquery(table, features, tmp_path) == feature_table(found, SOURCE, features).to_pylist()
    report = read_report(table, count_query(table.address, SOURCE))
    assert report.left_out == found.report.left_out
    assert through_bigquery(table, Features(), tmp_path) == feature_table(found, SOURCE, resolved(found)).to_pylist()


# --- the component ---------------------------------------------------------------------------------------


def run(executor: Any, generator: Any, folder: Path) -> standard_artifacts.Examples:
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    executor().Do({}, {"examples": [examples]}, dict(generator.exec_properties))
    return examples


def records(folder: Path, split: str) -> list[tf.train.Example]:
    files = [str(path) for path in (folder / f"Split-{split}").iterdir()]
    found = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return [tf.train.Example.FromString(record) for record in found]


def generator_of(table: BigQueryTable, features: Features) -> bigquery_example_gen.BigQueryTableExampleGen:
    queries = split_queries(SOURCE, features, table=table.address)
    whole = render(SOURCE, features, table=table.address)
    return bigquery_example_gen.BigQueryTableExampleGen(queries, whole, table, SOURCE)


def test_both_generators_write_the_same_examples_in_the_same_order_and_count_alike(
    loaded: Loaded, tmp_path: Path
) -> None:
    features = resolved(loaded.raw)
    local = duckdb_example_gen.DuckDBExampleGen(
        split_queries(SOURCE, features), render(SOURCE, features), loaded.raw, SOURCE.table
    )
    run(duckdb_example_gen.Executor, local, tmp_path / "local")
    artifact = run(bigquery_example_gen.Executor, generator_of(loaded.table, features), tmp_path / "cloud")

    for split in SOURCE.splits:
        found = records(tmp_path / "cloud", split)
        assert found == records(tmp_path / "local", split)
        assert artifact.get_int_custom_property(f"examples_{split}") == len(found) > 0
    here, there = (json.loads((tmp_path / side / "ingestion.json").read_text()) for side in ("local", "cloud"))
    assert there["rows_read"] == here["rows_read"]
    assert there["left_out"] == here["left_out"]
    assert there["forbidden"]["negative price"]["rows"] == here["forbidden"]["negative price"]["rows"] == 1
    assert '"unit_price":-5.0' in there["forbidden"]["negative price"]["examples"][0]
    assert (there["source"], there["source_sha256"]) == (TABLE.address, loaded.table.state)


def test_rows_without_what_a_row_needs_are_forbidden(loaded: Loaded, tmp_path: Path) -> None:
    """From a file they would have gone to quarantine; who fills a table by another way has none."""
    other = BigQueryTable(PROJECT, PLACE, f"{PROJECT}.shop.of_others")
    select = f"SELECT * REPLACE (IF(quantity = 3, NULL, invoice) AS invoice) FROM `{TABLE.address}`"
    config = client_library.QueryJobConfig(destination=other.address)
    connect(PROJECT, PLACE).query(select, job_config=config).result()
    examples = run(bigquery_example_gen.Executor, generator_of(other, resolved(loaded.raw)), tmp_path)
    found = RawReport.model_validate_json((Path(examples.uri) / REPORT).read_bytes()).forbidden["no invoice"]
    assert found.rows > 100
    assert '"quantity":3' in found.examples[0]


def test_a_row_in_no_split_stops_the_run(loaded: Loaded, tmp_path: Path) -> None:
    features = resolved(loaded.raw)
    whole = render(SOURCE, features, table=TABLE.address)
    queries = {"train": split_queries(SOURCE, features, table=TABLE.address)["train"]}
    generator = bigquery_example_gen.BigQueryTableExampleGen(queries, whole, loaded.table, SOURCE)
    with pytest.raises(RuntimeError, match="some are in no split"):
        run(bigquery_example_gen.Executor, generator, tmp_path / "examples")


def test_an_empty_split_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    whole = render(SOURCE, resolved(loaded.raw), table=TABLE.address)
    queries = {"eval": f"SELECT * FROM ({whole}) WHERE FALSE"}
    generator = bigquery_example_gen.BigQueryTableExampleGen(queries, whole, loaded.table, SOURCE)
    with pytest.raises(UserError, match="at least one row in the split 'eval'"):
        run(bigquery_example_gen.Executor, generator, tmp_path / "examples")


def test_a_changed_table_has_another_state_and_cache_key(loaded: Loaded) -> None:
    other = BigQueryTable(PROJECT, PLACE, f"{PROJECT}.shop.changing")
    states = []
    for _ in range(2):
        load(loaded.raw, SOURCE, other, "append")
        states.append(find_table(PROJECT, PLACE, other.address, SOURCE))
    assert find_table(PROJECT, PLACE, other.address, SOURCE) == states[1]
    keys = [generator_of(state, Features()).exec_properties["custom_config"] for state in states]
    assert keys[0] != keys[1]


# --- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "location", "words"),
    [
        (f"{PROJECT}.shop.missing", PLACE, "received 404 .*Not found: Table"),
        (f"{PROJECT}.nowhere.missing", PLACE, "received 404 .*Not found: Dataset"),
        ("shop.missing", PLACE, "expected a table in BigQuery, as project.dataset.table"),
    ],
)
def test_a_table_that_is_not_there_is_refused(loaded: Loaded, address: str, location: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        find_table(PROJECT, location, address, SOURCE)


def test_another_location_is_refused(loaded: Loaded) -> None:
    elsewhere = BigQueryTable(PROJECT, "US", TABLE.address)
    with pytest.raises(UserError, match=r"was not found in location US.*correct vertex.sources, vertex.bigquery_loc"):
        ask(elsewhere, SOURCE)("SELECT COUNT(*) FROM transactions")


def test_a_bad_select_is_refused_in_bigquerys_words(loaded: Loaded) -> None:
    with pytest.raises(UserError, match=r"nosuch.*; correct the SQL or the table"):
        ask(loaded.table, SOURCE)("SELECT nosuch FROM transactions")


def test_a_table_without_the_columns_is_refused(loaded: Loaded, query: Query) -> None:
    with pytest.raises(UserError, match=r"expected columns of .*: day \(DATETIME or TIMESTAMP or DATE\)"):
        find_table(PROJECT, PLACE, TABLE.address, query)


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(bigquery, "PATIENCE_S", 1)
    with pytest.raises(UserError, match=f"expected to reach http://127.0.0.1:{port}"):
        find_table(PROJECT, PLACE, TABLE.address, SOURCE)
