"""Loading raw rows into BigQuery, by the command and by Google's own client against the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.clv.source import SOURCE
from pipeline.contract import UserError
from pipeline.ingestion.bigquery import BigQueryTable, connect
from pipeline.ingestion.raw import load_raw
from runners.cli import app
from runners.vertex.bigquery_standin import serve
from runners.vertex.load import load

HEADER = "InvoiceNo,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
SALES = "".join(f"{n},1,2024-{1 + n % 6:02}-11 10:00:00,2.5,c{n % 40},UK\n" for n in range(400))
VERTEX = """
vertex:
  project: my-project
  region: europe-west4
  root: gs://my-bucket/artifacts
  image: europe-west4-docker.pkg.dev/my-project/pipelines/tfx:1
  sources: {clv: my-project.shop.transactions}
"""
TABLE = BigQueryTable("my-project", "europe-west4", "my-project.shop.transactions")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with an environment and a file, and an empty stand-in."""
    (tmp_path / "deploy" / "environments").mkdir(parents=True)
    (tmp_path / "deploy" / "environments" / "vertex.yaml").write_text(VERTEX)
    (tmp_path / "sales.csv").write_text(HEADER + SALES)
    monkeypatch.chdir(tmp_path)
    with serve() as address:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", address)
        yield tmp_path


def typed(*more: str) -> str:
    result = CliRunner().invoke(app, ["load-bigquery", "clv", "--data", "sales.csv", *more])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_a_file_becomes_a_partitioned_table_with_types_and_descriptions(shop: Path) -> None:
    output = typed("--features")
    assert "Loaded 400 rows of sales.csv" in output
    assert "my-project.shop.transactions has 400 rows now" in output
    assert "my-project.shop.transactions_features has 40 rows now" in output
    client = connect(TABLE.project, TABLE.location)
    table = client.get_table(TABLE.address)
    kinds = {field.name: (field.field_type, field.description) for field in table.schema}
    assert kinds["date"] == ("DATETIME", "InvoiceDate")
    assert kinds["quantity"] == ("INTEGER", "Quantity")
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("MONTH", "date")
    assert client.get_dataset("my-project.shop").location == "europe-west4"
    clean = client.get_table(f"{TABLE.address}_clean")
    assert {"customer_id", "day", "pence"} <= {field.name for field in clean.schema}


def test_a_table_with_rows_is_left_alone_added_to_or_replaced(shop: Path) -> None:
    typed()
    with pytest.raises(UserError, match=r"no rows in .*; received a table that holds some; add to them with --write"):
        typed()
    assert "has 800 rows now" in typed("--write", "append")
    assert "has 400 rows now" in typed("--write", "replace")


def test_too_many_unusable_rows_are_refused_and_few_are_named(shop: Path) -> None:
    (shop / "sales.csv").write_text(HEADER + SALES + "9,many,2024-01-11,1.0,c,UK\n")
    assert "1 unusable rows stay in" in typed()
    (shop / "sales.csv").write_text(HEADER + SALES + "9,many,2024-01-11,1.0,c,UK\n" * 40)
    with pytest.raises(UserError, match=r"at most 1.00% unusable rows in sales.csv; received 40 of 440"):
        typed("--write", "replace")


def test_a_data_set_elsewhere_is_refused(shop: Path) -> None:
    raw = load_raw(shop / "sales.csv", SOURCE, shop / "raw")
    load(raw, SOURCE, TABLE)
    with pytest.raises(UserError, match=r"in US; received one in europe-west4; set vertex.bigquery_location"):
        load(raw, SOURCE, BigQueryTable(TABLE.project, "US", TABLE.address), "append")


def test_a_model_of_pictures_and_an_unnamed_table_are_refused(shop: Path) -> None:
    with pytest.raises(UserError, match="a model that reads a table; received colorizer"):
        raise CliRunner().invoke(app, ["load-bigquery", "colorizer"]).exception or AssertionError
    (shop / "deploy" / "environments" / "vertex.yaml").write_text(VERTEX.replace("clv:", "other:"))
    with pytest.raises(UserError, match=r"vertex.sources.clv: project.dataset.table"):
        typed()
