"""The feature table against the known answers of the real data, and against cases worked out by hand."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.clv import features
from models.clv.settings import Features
from models.clv.source import SOURCE, resolve
from pipeline.contract import Settings, UserError
from pipeline.ingestion.raw import RawTable, ask, feature_table, load_raw, subjects
from pipeline.ingestion.sql import farm_fingerprint, split_queries, to_duckdb

CUTOFF = date(2011, 9, 1)
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

SPLITS_WITH_FLOAT_IDS = {"TRAIN": 2638, "VALIDATE": 353, "TEST": 339, "EARLIER": 7249}
SPLITS_WITH_INTEGER_IDS = {"TRAIN": 2637, "VALIDATE": 347, "TEST": 346, "EARLIER": 7155}
"""Rows by split for the two spellings of a customer id, `17850.0` and `17850`. 2,638 is the count of the
reference lab's own BigQuery; the others are an independent reproduction with the same hash."""


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the raw tables, shared, so that each file is parsed once."""
    return tmp_path_factory.mktemp("raw")


def splits_of(table: pa.Table) -> dict[str, int]:
    """Rows by split."""
    counts = table.column("split").value_counts().to_pylist()
    return {count["values"]: count["counts"] for count in counts}


def load_text(rows: str, folder: Path) -> RawTable:
    """Loads a csv text."""
    path = folder / "transactions.csv"
    path.write_text(HEADER + rows)
    return load_raw(path, SOURCE, folder / "raw")


def assert_known_answers(table: pa.Table) -> None:
    """What does not depend on the spelling of the ids."""
    table = subjects(table, SOURCE)
    total, future = table.column(features.TOTAL_LABEL), table.column(features.FUTURE_LABEL)
    assert table.num_rows == 3330
    assert pc.count_distinct(table.column(features.CUSTOMER)).as_py() == 3324
    assert pc.min(total).as_py() == 2.90
    assert pc.max(total).as_py() == 268_478.00
    assert pc.mean(total).as_py() == pytest.approx(2355.84, abs=0.005)
    assert pc.mean(future).as_py() == pytest.approx(766.41, abs=0.005)
    assert pc.mean(pc.equal(future, 0.0).cast(pa.int8())).as_py() == pytest.approx(0.4375, abs=5e-5)
    assert pc.sum(table.column(features.WEIGHT)).as_py() == 3324


@pytest.mark.parametrize(
    ("file", "splits"),
    [("online_retail.csv.gz", SPLITS_WITH_FLOAT_IDS), ("online_retail.parquet", SPLITS_WITH_INTEGER_IDS)],
)
def test_known_answers(real_data: Path, workspace: Path, file: str, splits: dict[str, int]) -> None:
    raw = load_raw(real_data / "online_retail" / file, SOURCE, workspace)
    table = feature_table(raw, SOURCE, Features(cutoff=CUTOFF))

    assert_known_answers(table)
    assert splits_of(table) == splits
    assert (raw.report.rows_read, raw.report.quarantined) == (541_909, 0)
    assert raw.report.left_out == {"no customer id": 135_080, "cancelled or returned": 8_905}
    assert raw.report.forbidden["negative price"].rows == 0


def test_known_answers_from_the_published_form(real_data: Path, workspace: Path, published_xlsx: Path) -> None:
    raw = load_raw(published_xlsx, SOURCE, workspace)
    parquet = load_raw(real_data / "online_retail" / "online_retail.parquet", SOURCE, workspace)

    table = feature_table(raw, SOURCE, Features(cutoff=CUTOFF))
    assert_known_answers(table)
    assert splits_of(table) == SPLITS_WITH_INTEGER_IDS
    assert table.equals(feature_table(parquet, SOURCE, Features(cutoff=CUTOFF)))


def test_the_same_data_gives_the_same_bits(real_data: Path, workspace: Path) -> None:
    raw = load_raw(real_data / "online_retail" / "online_retail.csv.gz", SOURCE, workspace)
    once, again = (feature_table(raw, SOURCE, Features(cutoff=CUTOFF)) for _ in range(2))
    assert once.equals(again)


def test_the_default_cutoff_leaves_one_horizon_of_real_data(real_data: Path, workspace: Path) -> None:
    raw = load_raw(real_data / "online_retail" / "online_retail.csv.gz", SOURCE, workspace)
    assert resolve(Settings(features=Features()), ask(raw, SOURCE)).features == Features(cutoff=date(2011, 9, 10))


def test_a_table_worked_out_by_hand(tmp_path: Path) -> None:
    raw = load_text(
        # Ann: two invoices on the first day, 2 x 1.005 + 1 x 3 = 5.01; 10 units for 20.00 on the cut-off itself.
        "1,a,,2,2024-01-01 08:00:00,1.005,ann,UK\n"
        "2,a,,1,2024-01-01 23:59:59,3.00,ann,UK\n"
        "3,a,,10,2024-01-31 23:00:00,2.00,ann,UK\n"
        # Ann elsewhere: past 7.00. The future counts from the day after the cut-off to the last day of the horizon.
        "4,a,,1,2024-01-11,7.00,ann,EIRE\n"
        "5,a,,1,2024-02-01,0.50,ann,EIRE\n"
        "6,a,,1,2024-02-09,0.25,ann,UK\n"
        "7,a,,1,2024-02-10,99.00,ann,UK\n"
        # Left out: a cancelled invoice, a sale to nobody, a customer who first buys after the cut-off.
        "C8,a,,-1,2024-01-02,50.00,ann,UK\n"
        "9,a,,1,2024-01-02,50.00,,UK\n"
        "10,a,,1,2024-02-01,50.00,bob,UK\n",
        tmp_path,
    )
    table = feature_table(raw, SOURCE, Features(cutoff=date(2024, 1, 31), horizon_days=10, earlier_cutoffs=0))

    shared = {
        "customer_id": "ann",
        "past_monetary_value": 32.01,
        "tenure_days": 30,
        "revenue_30d": 27.0,
        "revenue_91d": 32.01,
        "revenue_182d": 32.01,
        "purchases_91d": 3,
        "purchases_182d": 3,
        "days_before_cutoff": 0,
        "future_monetary_value_3M": 0.75,
        "target_monetary_value_3M": 32.76,
        "customer_weight": 0.5,
        "split": table.column("split")[0].as_py(),
    }
    eire = {"customer_country": "EIRE", "n_purchases": 1, "avg_purchase_size": 1.0, "avg_purchase_revenue": 7.0}
    uk = {"customer_country": "UK", "n_purchases": 2, "avg_purchase_size": 6.5, "avg_purchase_revenue": 12.505}
    assert table.to_pylist() == [
        {**shared, **eire, "customer_age": 0, "days_since_last_purchase": 20, "frequency_band": "1"},
        {**shared, **uk, "customer_age": 30, "days_since_last_purchase": 0, "frequency_band": "2-3"},
    ]


def test_columns_are_the_models_features_and_types_that_bigquery_example_gen_knows(tmp_path: Path) -> None:
    raw = load_text("1,a,,1,2024-01-01,1.0,ann,UK\n", tmp_path)
    schema = feature_table(raw, SOURCE, Features(cutoff=date(2024, 1, 1))).schema

    integers = {*features.INTEGER_INPUTS, features.BEFORE_CUTOFF}
    strings = {features.CUSTOMER, features.COUNTRY, features.FREQUENCY_BAND, features.SPLIT}
    expected = {*features.INPUTS, *features.LABELS, *features.BOOKKEEPING, features.SPLIT}
    assert set(schema.names) == expected
    for field in schema:
        wanted = pa.int64() if field.name in integers else pa.string() if field.name in strings else pa.float64()
        assert field.type == wanted, field.name


@pytest.mark.parametrize(
    ("days", "band"), [(1, "1"), (2, "2-3"), (3, "2-3"), (4, "4-9"), (9, "4-9"), (10, "10+"), (11, "10+")]
)
def test_frequency_bands(tmp_path: Path, days: int, band: str) -> None:
    raw = load_text("".join(f"{day},a,,1,2024-01-{day:02},1.0,ann,UK\n" for day in range(1, days + 1)), tmp_path)
    table = feature_table(raw, SOURCE, Features(cutoff=date(2024, 1, 31)))
    assert table.column(features.FREQUENCY_BAND).to_pylist() == [band]
    assert band in features.FREQUENCY_BANDS


def test_splits_follow_the_hash_of_the_customer(tmp_path: Path) -> None:
    raw = load_text("".join(f"{i},a,,1,2024-01-01,1.0,customer {i},UK\n" for i in range(200)), tmp_path)
    table = feature_table(raw, SOURCE, Features(cutoff=date(2024, 1, 31)))
    named = {8: "TEST", 9: "VALIDATE"}
    for row in table.to_pylist():
        assert row["split"] == named.get(abs(farm_fingerprint(row["customer_id"])) % 10, "TRAIN")
    assert set(splits_of(table)) == {"TRAIN", "VALIDATE", "TEST"}


def test_the_splits_hold_every_row_once(tmp_path: Path) -> None:
    raw = load_text("".join(f"{i},a,,1,2024-01-01,1.0,customer {i},UK\n" for i in range(200)), tmp_path)
    settings = Features(cutoff=date(2024, 1, 31))
    answer = ask(raw, SOURCE)
    counts = [answer(f"SELECT COUNT(*) FROM ({text})")[0] for text in split_queries(SOURCE, settings).values()]
    assert sum(counts) == feature_table(raw, SOURCE, settings).num_rows == 200


def test_every_split_compiles_for_duckdb_and_names_no_split_column() -> None:
    for text in split_queries(SOURCE, Features(cutoff=CUTOFF), table="project.shop.transactions").values():
        assert text.startswith("SELECT * EXCEPT (split)")
        assert "project.shop.transactions AS transactions" in text
        assert to_duckdb(text)


def test_a_cutoff_needs_its_whole_horizon(tmp_path: Path) -> None:
    raw = load_text("1,a,,1,2024-01-01,1.0,ann,UK\n2,a,,1,2024-03-31,1.0,,UK\n", tmp_path)
    latest = Settings(features=Features(cutoff=date(2024, 3, 22), horizon_days=10))
    assert resolve(latest, ask(raw, SOURCE)) == latest

    with pytest.raises(UserError, match=r"up to 2024-04-01.*last day is 2024-03-31; set features.cutoff to 2024-03-22"):
        resolve(Settings(features=Features(cutoff=date(2024, 3, 23), horizon_days=10)), ask(raw, SOURCE))


def test_a_cutoff_needs_purchases_before_it(tmp_path: Path) -> None:
    raw = load_text("1,a,,1,2024-01-02,1.0,ann,UK\n2,a,,1,2024-03-31,1.0,ann,UK\n", tmp_path)
    with pytest.raises(UserError, match=r"cut-off 2024-01-01; received purchases from 2024-01-02 on"):
        resolve(Settings(features=Features(cutoff=date(2024, 1, 1))), ask(raw, SOURCE))
    with pytest.raises(UserError, match=r"cut-off 2024-01-01; received purchases from 2024-01-02 on"):
        resolve(Settings(features=Features(horizon_days=91)), ask(raw, SOURCE))


def test_data_without_any_purchase_is_refused(tmp_path: Path) -> None:
    raw = load_text("1,a,,1,2024-01-02,1.0,,UK\n", tmp_path)
    with pytest.raises(UserError, match="received no purchase at all; the last day is 2024-01-02"):
        resolve(Settings(features=Features()), ask(raw, SOURCE))


def test_a_price_beyond_arithmetic_is_the_users_to_correct(tmp_path: Path) -> None:
    raw = load_text("1,a,,1,2024-01-02,1e35,ann,UK\n", tmp_path)
    with pytest.raises(UserError, match="extreme values in the raw file"):
        feature_table(raw, SOURCE, Features(cutoff=date(2024, 1, 31)))


def test_training_customers_are_looked_at_on_earlier_days_as_well(tmp_path: Path) -> None:
    """Horizon 30, then 20 days a step: 2024-05-02 and 2024-04-12; the next one has no horizon of data before it."""
    known = [f"customer {i}" for i in range(40)]
    rows = [
        f"{i}-{day},a,,1,{day},{price},{name},UK\n"
        for i, name in enumerate(known)
        for day, price in (
            ("2024-03-01", "1.00"),
            ("2024-05-01", "2.00"),
            ("2024-05-20", "4.00"),
            ("2024-06-10", "8.00"),
        )
    ]
    raw = load_text("".join(rows), tmp_path)
    settings = Features(cutoff=date(2024, 6, 1), horizon_days=30, earlier_cutoffs=3, earlier_step_days=20)
    table = feature_table(raw, SOURCE, settings).to_pylist()
    trained = {row["customer_id"] for row in table if row["split"] == "TRAIN"}
    earlier = [row for row in table if row["split"] == "EARLIER"]
    assert {row["customer_id"] for row in earlier} == trained != set(known)
    seen = {(row["days_before_cutoff"], row["past_monetary_value"], row["future_monetary_value_3M"]) for row in earlier}
    assert seen == {(30, 3.0, 4.0), (50, 1.0, 2.0)}
    assert {(row["days_before_cutoff"], row["future_monetary_value_3M"]) for row in table if row not in earlier} == {
        (0, 8.0)
    }
    without = feature_table(raw, SOURCE, settings.model_copy(update={"earlier_cutoffs": 0}))
    assert without.to_pylist() == [row for row in table if row not in earlier]


def test_nothing_after_the_cutoff_is_in_an_earlier_row(tmp_path: Path) -> None:
    """What was learnt on earlier days was known at the cut-off: later purchases change no such row."""
    rows = "".join(f"{i},a,,{i + 1},2024-0{1 + i % 5}-15,1.0,customer {i % 30},UK\n" for i in range(150))
    later = "".join(f"9{i},a,,50,2024-06-0{2 + i % 7},9.0,customer {i},UK\n" for i in range(30))
    settings = Features(cutoff=date(2024, 6, 1), horizon_days=20)
    tables = []
    for number, text in enumerate((rows, rows + later)):
        (tmp_path / str(number)).mkdir()
        table = feature_table(load_text(text, tmp_path / str(number)), SOURCE, settings)
        tables.append(table.filter(pc.equal(table.column("split"), "EARLIER")))
    assert tables[0].num_rows > 0
    assert tables[0].equals(tables[1])
