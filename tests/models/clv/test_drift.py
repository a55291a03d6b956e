"""The CLV model's limits of drift on the real transactions: the shop's other spans pass, spoilt ones do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from models.clv import MODEL
from models.clv.settings import Features, Gates
from models.clv.source import SOURCE
from pipeline.contract import resource
from pipeline.drift import distribution_checks
from pipeline.ingestion.raw import feature_table, load_raw
from pipeline.verdict import Check

Splits = dict[str, statistics_pb2.DatasetFeatureStatistics]
Load = Callable[..., Splits]

SCHEMA = text_format.Parse(resource(MODEL.schema_file).read_text(), schema_pb2.Schema())


@pytest.fixture(scope="module")
def load(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Statistics of the splits at a cut-off, of the transactions or of what a SELECT makes of them."""
    folder = tmp_path_factory.mktemp("drift")
    transactions = real_data / "online_retail" / "online_retail.parquet"

    def load(cutoff: str = "2011-09-01", select: str = "SELECT * FROM transactions") -> Splits:
        path = folder / "transactions.parquet"
        relation = duckdb.connect()
        relation.execute(f"CREATE VIEW transactions AS SELECT * FROM '{transactions}'")
        relation.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
        raw = load_raw(path, SOURCE, folder / "raw")
        table = feature_table(raw, SOURCE, Features(cutoff=date.fromisoformat(cutoff))).to_pandas()
        return {
            split: tfdv.generate_statistics_from_dataframe(
                table[table["split"] == value].reset_index(drop=True)
            ).datasets[0]
            for split, value in SOURCE.splits.items()
            if split not in SOURCE.learnt_besides
        }

    return load


@pytest.fixture(scope="module")
def pushed(load: Load) -> Splits:
    """What the last pushed run saw."""
    return load()


def missed(now: Splits, then: Splits) -> dict[str, Check]:
    found = distribution_checks(now, then["train"], SCHEMA, Gates())
    return {check.metric: check for check in found if not check.passed}


@pytest.mark.parametrize("cutoff", ["2011-09-10", "2011-06-01", "2011-04-01"])
def test_other_spans_of_the_same_shop_pass_before_and_after(load: Load, pushed: Splits, cutoff: str) -> None:
    """The last ends with June, and holds five months less than what it is compared with, or the other way round."""
    other = load(cutoff)
    assert missed(other, pushed) == {}
    assert missed(pushed, other) == {}


def test_prices_times_ten_are_refused(load: Load, pushed: Splits) -> None:
    found = missed(load(select="SELECT * REPLACE (UnitPrice * 10 AS UnitPrice) FROM transactions"), pushed)
    windows = {"drift of revenue_91d", "drift of revenue_182d"}
    assert set(found) == {"drift of avg_purchase_revenue", "drift of past_monetary_value", *windows}
    assert float(found["drift of avg_purchase_revenue"].value) > 0.7


@pytest.mark.parametrize(("country", "rows"), [("United Kingdom", 2372), ("Germany", 57)])
def test_a_dropped_country_is_refused(load: Load, pushed: Splits, country: str, rows: int) -> None:
    found = missed(load(select=f"SELECT * FROM transactions WHERE Country <> '{country}'"), pushed)
    assert found["lost values of customer_country"].note == f"gone since the last pushed run: {country} ({rows} rows)"


def test_half_of_the_customers_gone_is_refused(load: Load, pushed: Splits) -> None:
    found = missed(load(select="SELECT * FROM transactions WHERE CAST(CustomerID AS INTEGER) % 2 = 0"), pushed)
    assert set(found) == {"growth"}
    assert float(found["growth"].value) == pytest.approx(0.5, abs=0.02)
