"""BigQuery in the place of DuckDB: Google's own client against a stand-in on loopback, with the same rows.

The stand-in is this project's; a second opinion on the SQL is what the known answers of the real data are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
import yaml
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery as client_library
from tfx.types import standard_artifacts
from typer.testing import CliRunner

from models.clv import sample
from models.clv.settings import Features
from models.clv.source import SOURCE, resolve
from pipeline.contract import Condition, Query, Settings, UserError
from pipeline.ingestion import bigquery, bigquery_example_gen, duckdb_example_gen
from pipeline.ingestion.bigquery import BigQueryTable
from pipeline.ingestion.example_files import REPORT
from pipeline.ingestion.raw import RawReport, RawTable, ask, feature_table, load_raw
from pipeline.ingestion.sql import render, split_queries
from runners import cli
from runners.vertex.bigquery_standin import serve
from runners.vertex.load import load

ADDRESS = "my-project.shop.transactions"
FEATURES = Features(cutoff=date(2011, 9, 1))


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty BigQuery, which Google's client finds."""
    with serve() as address:
        monkeypatch.setenv(bigquery.EMULATOR, address)
        yield address


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> RawTable:
    """The generated sample."""
    folder = tmp_path_factory.mktemp("sample")
    sample.write_sample(folder / "sample.csv", 7)
    return load_raw(folder / "sample.csv", SOURCE, folder / "raw")


@pytest.fixture
def table(warehouse: str, raw: RawTable) -> BigQueryTable:
    """The sample, loaded."""
    empty = BigQueryTable("my-project", "EU", ADDRESS)
    load(raw, SOURCE, empty)
    return bigquery.find_table("my-project", "EU", ADDRESS, SOURCE)


def rows_of(found: pa.Table) -> list[dict[str, Any]]:
    return sorted(found.to_pylist(), key=lambda row: (row["customer_id"], row["customer_country"]))


def features_in_bigquery(table: BigQueryTable, features: Features) -> pa.Table:
    sql = render(SOURCE, features, table=table.address)
    return bigquery.connect(table.project, table.location).query(sql).to_arrow(create_bqstorage_client=False)


def resolved(raw: RawTable) -> Features:
    """The settings of the features with the sample's latest cut-off."""
    features = resolve(Settings(features=Features()), ask(raw, SOURCE)).features
    assert isinstance(features, Features)
    return features


# --- the same rows ---------------------------------------------------------------------------------------


def test_the_query_has_the_same_rows_in_both(table: BigQueryTable, raw: RawTable) -> None:
    features = resolved(raw)
    ours = rows_of(feature_table(raw, SOURCE, features))
    assert len(ours) > 3000
    assert rows_of(features_in_bigquery(table, features)) == ours


@pytest.mark.parametrize(
    ("file", "splits"),
    [
        ("online_retail.csv.gz", {"TRAIN": 2638, "VALIDATE": 353, "TEST": 339}),
        ("online_retail.parquet", {"TRAIN": 2637, "VALIDATE": 347, "TEST": 346}),
    ],
)
def test_real_data_give_the_known_splits_and_the_embedded_rows(
    warehouse: str, real_data: Path, tmp_path: Path, file: str, splits: dict[str, int]
) -> None:
    raw = load_raw(real_data / "online_retail" / file, SOURCE, tmp_path)
    table = BigQueryTable("my-project", "EU", ADDRESS)
    assert load(raw, SOURCE, table) == 541_909
    found = features_in_bigquery(table, FEATURES)
    counts = found.column("split").value_counts().to_pylist()
    assert {count["values"]: count["counts"] for count in counts} == splits
    assert rows_of(found) == rows_of(feature_table(raw, SOURCE, FEATURES))


def test_the_cutoff_is_found_in_the_table(table: BigQueryTable, raw: RawTable) -> None:
    there = resolve(Settings(features=Features()), bigquery.ask(table, SOURCE))
    assert there == resolve(Settings(features=Features()), ask(raw, SOURCE))


def test_a_query_that_finds_its_own_cutoff_has_the_rows_of_that_cutoff(table: BigQueryTable, raw: RawTable) -> None:
    assert rows_of(features_in_bigquery(table, Features())) == rows_of(feature_table(raw, SOURCE, resolved(raw)))


# --- the same examples -----------------------------------------------------------------------------------


def generated(executor: Any, generator: Any, folder: Path) -> Path:
    """Runs a generator's executor in this process, with the properties that TFX would pass."""
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    executor().Do({}, {"examples": [examples]}, dict(generator.exec_properties))
    return folder


def records(folder: Path, split: str) -> list[tf.train.Example]:
    files = [str(path) for path in (folder / f"Split-{split}").iterdir()]
    read = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return [tf.train.Example.FromString(record) for record in read]


def in_bigquery(table: BigQueryTable, features: Features, folder: Path, query: Query = SOURCE) -> Path:
    queries = split_queries(query, features, table=table.address)
    whole = render(query, features, table=table.address)
    generator = bigquery_example_gen.BigQueryTableExampleGen(queries, whole, table, query)
    return generated(bigquery_example_gen.Executor, generator, folder)


def embedded(raw: RawTable, features: Features, folder: Path) -> Path:
    queries, whole = split_queries(SOURCE, features), render(SOURCE, features)
    generator = duckdb_example_gen.DuckDBExampleGen(queries, whole, raw, SOURCE.table)
    return generated(duckdb_example_gen.Executor, generator, folder)


def test_both_generators_write_the_same_examples_in_the_same_order_and_the_same_report(
    table: BigQueryTable, raw: RawTable, tmp_path: Path
) -> None:
    features = resolved(raw)
    there, here = in_bigquery(table, features, tmp_path / "there"), embedded(raw, features, tmp_path / "here")
    for split in ("train", "eval", "test"):
        assert records(there, split) == records(here, split)
    reports = [RawReport.model_validate_json((folder / REPORT).read_bytes()) for folder in (there, here)]
    counts = [report.model_dump(include={"rows_read", "rows_usable", "left_out", "forbidden"}) for report in reports]
    assert counts[0] == counts[1]
    assert (reports[0].source, reports[0].source_sha256) == (ADDRESS, table.state)


def test_forbidden_rows_are_reported_with_an_example(warehouse: str, tmp_path: Path) -> None:
    sample.write_sample(tmp_path / "sample.csv", 7)
    sample.spoil(tmp_path / "sample.csv", tmp_path / "spoilt.csv")
    raw = load_raw(tmp_path / "spoilt.csv", SOURCE, tmp_path / "raw")
    table = BigQueryTable("my-project", "EU", ADDRESS)
    load(raw, SOURCE, table)
    folder = in_bigquery(table, resolved(raw), tmp_path / "there")
    found = RawReport.model_validate_json((folder / REPORT).read_bytes()).forbidden["negative price"]
    assert found.rows == raw.report.forbidden["negative price"].rows > 0
    assert '"unit_price":-' in found.examples[0]


def test_rows_without_what_a_row_needs_are_forbidden(warehouse: str, raw: RawTable, tmp_path: Path) -> None:
    """From a file they would have gone to quarantine; who fills a table by another way has no quarantine."""
    load(raw, SOURCE, BigQueryTable("my-project", "EU", ADDRESS))
    other = BigQueryTable("my-project", "EU", f"{ADDRESS}_of_others")
    select = f"SELECT * REPLACE (IF(quantity = 3, NULL, invoice) AS invoice) FROM `{ADDRESS}`"
    config = client_library.QueryJobConfig(destination=other.address)
    bigquery.connect("my-project", "EU").query(select, job_config=config).result()
    folder = in_bigquery(other, resolved(raw), tmp_path)
    found = RawReport.model_validate_json((folder / REPORT).read_bytes()).forbidden["no invoice"]
    assert found.rows > 100
    assert '"quantity":3' in found.examples[0]


# --- what is in the table --------------------------------------------------------------------------------


def test_the_table_says_what_it_holds(table: BigQueryTable, raw: RawTable) -> None:
    client = bigquery.connect("my-project", "EU")
    found = client.get_table(ADDRESS)
    assert found.num_rows == raw.report.rows_usable
    assert {field.name: field.field_type for field in found.schema} == {
        "invoice": "STRING",
        "date": "DATETIME",
        "quantity": "INTEGER",
        "unit_price": "FLOAT",
        "customer_id": "STRING",
        "country": "STRING",
    }
    assert found.schema[0].description == "InvoiceNo"
    assert (found.time_partitioning.type_, found.time_partitioning.field) == ("MONTH", "date")
    assert client.get_dataset("my-project.shop").location == "EU"
    (day,) = client.query(f"SELECT MIN(date) AS day FROM `{ADDRESS}`").result()
    assert isinstance(day["day"], datetime)


def test_the_state_changes_with_the_table(table: BigQueryTable, raw: RawTable) -> None:
    again = bigquery.find_table("my-project", "EU", ADDRESS, SOURCE)
    assert again.state == table.state
    load(raw, SOURCE, table, "append")
    assert bigquery.find_table("my-project", "EU", ADDRESS, SOURCE).state != table.state


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def shop(warehouse: str, raw: RawTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an environment, and the sample as a file."""
    sample.write_sample(tmp_path / "sample.csv", 7)
    monkeypatch.chdir(tmp_path)
    settings = {"project": "my-project", "region": "europe-west4", "root": "gs://bucket/root", "image": "r.io/p/i:1"}
    environment = {"vertex": {**settings, "sources": {"clv": ADDRESS}, "bigquery_location": "EU"}}
    (tmp_path / "deploy" / "environments").mkdir(parents=True)
    (tmp_path / "deploy" / "environments" / "vertex.yaml").write_text(yaml.safe_dump(environment))
    return tmp_path


def typed(*words: str) -> tuple[int, str]:
    """What the command ends with, and says."""
    result = CliRunner().invoke(cli.app, ["load-bigquery", "clv", "--data", "sample.csv", *words])
    return result.exit_code, result.output + str(result.exception or "")


def test_loading_adding_and_replacing(shop: Path, raw: RawTable) -> None:
    rows = raw.report.rows_usable
    assert typed() == (0, f"Loaded {rows:,} rows of sample.csv\n{ADDRESS} has {rows:,} rows now\n")
    code, words = typed()
    assert code == 1
    assert f"expected no rows in {ADDRESS}; received a table that holds some; add to them with --write append" in words
    assert f"{ADDRESS} has {2 * rows:,} rows now" in typed("--write", "append")[1]
    assert f"{ADDRESS} has {rows:,} rows now" in typed("--write", "replace")[1]


def test_the_clean_and_the_feature_table(shop: Path, raw: RawTable) -> None:
    code, words = typed("--features")
    assert code == 0
    features = feature_table(raw, SOURCE, resolved(raw)).num_rows
    assert f"{ADDRESS}_features has {features:,} rows now" in words
    assert f"{ADDRESS}_clean has " in words


def test_too_many_unusable_rows_are_not_loaded(shop: Path) -> None:
    with (shop / "sample.csv").open("a") as file:
        file.write("1,2,3,not a number,yesterday,x,y,z\n" * 2000)
    code, words = typed()
    assert code == 1
    assert "at most 1.00% unusable rows in sample.csv; received 2,000 of 95,004, 2.11%; reasons in " in words
    with pytest.raises(NotFound):
        bigquery.connect("my-project", "EU").get_table(ADDRESS)


def test_a_data_set_in_another_region(shop: Path) -> None:
    elsewhere = client_library.Dataset("my-project.shop")
    elsewhere.location = "US"
    bigquery.connect("my-project", "US").create_dataset(elsewhere)
    assert "expected the data set my-project.shop in EU; received one in US; set vertex.bigquery_location" in typed()[1]


# --- refusals --------------------------------------------------------------------------------------------


def test_no_such_table(warehouse: str) -> None:
    with pytest.raises(UserError, match=r"my-project\.shop\.transactions in the location EU.*load the table first"):
        bigquery.find_table("my-project", "EU", ADDRESS, SOURCE)


def test_an_address_that_is_none() -> None:
    with pytest.raises(UserError, match=r"as project\.dataset\.table; received 'shop\.transactions'"):
        bigquery.find_table("my-project", "EU", "shop.transactions", SOURCE)


def test_a_column_that_is_missing_or_of_another_type(table: BigQueryTable) -> None:
    client = bigquery.connect("my-project", "EU")
    select = f"SELECT * EXCEPT (country, quantity), CAST(quantity AS STRING) AS quantity FROM `{ADDRESS}`"
    client.query(select, job_config=client_library.QueryJobConfig(destination=f"{ADDRESS}_2")).result()
    with pytest.raises(UserError, match=r"quantity \(INTEGER or INT64\), country \(STRING\).*load-bigquery"):
        bigquery.find_table("my-project", "EU", f"{ADDRESS}_2", SOURCE)


def test_a_query_that_bigquery_refuses(table: BigQueryTable, tmp_path: Path) -> None:
    wrong = SOURCE.model_copy(update={"left_out": (Condition(name="no such column", where="nothing IS NULL"),)})
    with pytest.raises(UserError, match="nothing"):
        in_bigquery(table, FEATURES, tmp_path, wrong)


def test_nothing_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(bigquery.EMULATOR, "http://127.0.0.1:9")
    monkeypatch.setattr(bigquery, "PATIENCE_S", 1)
    with pytest.raises(UserError, match=r"to reach http://127\.0\.0\.1:9"):
        bigquery.find_table("my-project", "EU", ADDRESS, SOURCE)


def test_the_stand_in_refuses_as_bigquery_does(table: BigQueryTable) -> None:
    client = bigquery.connect("my-project", "EU")
    with pytest.raises(BadRequest, match="Unexpected token"):
        client.query("SELEC 1").result()
    with pytest.raises(NotFound, match=r"Table my-project:shop\.nothing"):
        client.query("SELECT 1 FROM `my-project.shop.nothing`").result()
    with pytest.raises(Conflict):
        client.create_dataset("my-project.shop")
