"""The generated sample: golden counts, form of the file, and that there is something to learn from it."""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from models.clv.sample import COLUMNS, spoil, write_sample
from pipeline.contract import UserError

CUTOFF, HORIZON = "2011-09-10", 91
FEATURES = f"""
  WITH clean AS (
    SELECT CustomerID AS id, CAST(InvoiceDate AS DATE) AS day, SUM(UnitPrice * Quantity) AS revenue
    FROM raw WHERE CustomerID IS NOT NULL AND Quantity > 0 GROUP BY 1, 2
  )
  SELECT COUNT(*) FILTER (day <= DATE '{CUTOFF}') AS purchases,
    DATE '{CUTOFF}' - MAX(day) FILTER (day <= DATE '{CUTOFF}') AS recency,
    DATE '{CUTOFF}' - MIN(day) AS tenure,
    SUM(revenue) FILTER (day <= DATE '{CUTOFF}') AS past,
    COALESCE(SUM(revenue) FILTER (day > DATE '{CUTOFF}'), 0) AS future
  FROM clean GROUP BY id HAVING MIN(day) <= DATE '{CUTOFF}' ORDER BY id
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    write_sample(path)
    return path


@functools.cache
def raw(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE raw AS SELECT * FROM read_csv('{path}', header = true)")
    return connection


def answer(path: Path, select: str) -> object:
    row = raw(path).sql(f"SELECT {select} FROM raw").fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def test_the_default_sample_is_the_same_bytes_everywhere(sample: Path) -> None:
    expected = "894845c5fbd33758b1809425ffeb1b62528794152fca4035a485eaf382053f09"
    assert hashlib.sha256(sample.read_bytes()).hexdigest() == expected


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("COUNT(*)", 93_004),
        ("COUNT(DISTINCT CustomerID)", 4_000),
        ("COUNT(*) FILTER (CustomerID IS NULL)", 22_696),
        ("COUNT(DISTINCT InvoiceNo)", 30_876),
        ("COUNT(DISTINCT InvoiceNo) FILTER (InvoiceNo LIKE 'C%')", 426),
        ("COUNT(*) FILTER (Quantity <= 0)", 1_322),
        ("COUNT(DISTINCT Country)", 16),
        ("MIN(InvoiceDate)", datetime(2010, 12, 1, 8, 1)),
        ("MAX(InvoiceDate)", datetime(2011, 12, 9, 17, 54)),
        ("MIN(UnitPrice)", 0.75),
        ("MIN(CustomerID)", 100_001),
    ],
)
def test_golden_counts(sample: Path, select: str, expected: object) -> None:
    assert answer(sample, select) == expected


def test_only_cancelled_invoices_take_units_back(sample: Path) -> None:
    assert answer(sample, "BOOL_AND((Quantity < 0) = (InvoiceNo LIKE 'C%'))") is True
    assert answer(sample, "COUNT(*) FILTER (Quantity < 0 AND CustomerID IS NULL)") == 0


def test_some_customers_buy_in_two_countries(sample: Path) -> None:
    per_customer = "SELECT COUNT(DISTINCT Country) AS n FROM raw WHERE CustomerID IS NOT NULL GROUP BY CustomerID"
    found = raw(sample).sql(f"SELECT n, COUNT(*) FROM ({per_customer}) GROUP BY n ORDER BY n").fetchall()
    assert found == [(1, 3_981), (2, 19)]


def test_the_file_reads_like_the_published_one(sample: Path) -> None:
    with sample.open(newline="") as file:
        header, first, *_ = csv.reader(file)
    assert header == list(COLUMNS)
    assert first == [
        "800001",
        "30015B",
        "BLUE STORAGE JAR",
        "7",
        "2010-12-01 08:01:00",
        "3.25",
        "101208",
        "United Kingdom",
    ]


def test_an_invoice_has_one_time_one_customer_and_one_country(sample: Path) -> None:
    owners = defaultdict(set)
    with sample.open(newline="") as file:
        for row in csv.DictReader(file):
            owners[row["InvoiceNo"]].add((row["InvoiceDate"], row["CustomerID"], row["Country"]))
    assert {len(owner) for owner in owners.values()} == {1}


def test_other_seeds_and_sizes_give_other_samples(tmp_path: Path) -> None:
    files = [tmp_path / "deep" / f"{i}.csv" for i in range(3)]
    write_sample(files[0], seed=1, customers=50)
    write_sample(files[1], seed=2, customers=50)
    write_sample(files[2], seed=1, customers=60)
    assert len({file.read_bytes() for file in files}) == 3
    assert [answer(file, "COUNT(DISTINCT CustomerID)") for file in files] == [50, 50, 60]


def test_csv_gz_and_parquet_hold_the_same_rows(tmp_path: Path) -> None:
    for name in ("s.csv", "s.csv.gz", "again.csv.gz", "s.parquet"):
        write_sample(tmp_path / name, customers=200)
    assert gzip.decompress((tmp_path / "s.csv.gz").read_bytes()) == (tmp_path / "s.csv").read_bytes()
    assert (tmp_path / "s.csv.gz").read_bytes() == (tmp_path / "again.csv.gz").read_bytes()
    table = pq.read_table(tmp_path / "s.parquet")
    assert [str(field.type) for field in table.schema] == [
        "string", "string", "string", "int64", "timestamp[us]", "double", "int64", "string",
    ]  # fmt: skip
    written = [["" if cell is None else str(cell) for cell in row.values()] for row in table.to_pylist()]
    with (tmp_path / "s.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == written


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ending in \.csv, \.csv\.gz or \.parquet; received sample\.xlsx"):
        write_sample(tmp_path / "sample.xlsx")


def test_the_future_can_be_learned_better_than_by_the_naive_rule(sample: Path) -> None:
    """A straight line through five cells of recency and frequency beats past x horizon / max(tenure, horizon)."""
    frame = raw(sample).sql(FEATURES).fetchnumpy()
    past, future, tenure = (np.asarray(frame[name], dtype=float) for name in ("past", "future", "tenure"))
    naive = past * HORIZON / np.maximum(tenure, HORIZON)
    idle = np.asarray(frame["recency"], dtype=float) * np.asarray(frame["purchases"], dtype=float) / (tenure + 30)
    cell = np.digitize(idle, np.quantile(idle, [0.2, 0.4, 0.6, 0.8]))
    train = np.arange(len(past)) % 10 < 8
    slope = np.array([future[train & (cell == c)].sum() / naive[train & (cell == c)].sum() for c in range(5)])
    predicted, future, naive = (values[~train] for values in (slope[cell] * naive, future, naive))
    assert np.abs(predicted - future).mean() / np.abs(naive - future).mean() <= 0.85
    assert abs(predicted.sum() / future.sum() - 1) <= 0.15
    assert spearmanr(predicted, future)[0] >= 0.5
    assert naive.sum() / future.sum() >= 1.15


def test_about_half_of_the_customers_come_back(sample: Path) -> None:
    future = raw(sample).sql(FEATURES).fetchnumpy()["future"]
    assert len(future) == 3_361
    assert np.mean(np.asarray(future) > 0) == pytest.approx(0.48, abs=0.03)


def test_a_spoilt_copy_has_negative_prices_where_a_customer_is_known(sample: Path, tmp_path: Path) -> None:
    spoil(sample, tmp_path / "bad" / "spoilt.csv")
    spoilt = tmp_path / "bad" / "spoilt.csv"
    assert answer(spoilt, "COUNT(*)") == 93_004
    assert answer(spoilt, "COUNT(*) FILTER (UnitPrice < 0 AND CustomerID IS NOT NULL)") == 1_407
    assert answer(spoilt, "COUNT(*) FILTER (UnitPrice < 0 AND CustomerID IS NULL)") == 0
    changed = sum(a != b for a, b in zip(sample.open(), spoilt.open(), strict=True))
    assert changed == 1_407
    before = answer(sample, "MIN(InvoiceNo), MAX(InvoiceNo), SUM(Quantity), ROUND(SUM(ABS(UnitPrice)), 2)")
    assert before == answer(spoilt, "MIN(InvoiceNo), MAX(InvoiceNo), SUM(Quantity), ROUND(SUM(ABS(UnitPrice)), 2)")


def test_spoiling_reads_and_writes_compressed_files(tmp_path: Path) -> None:
    write_sample(tmp_path / "s.csv.gz", customers=100)
    spoil(tmp_path / "s.csv.gz", tmp_path / "bad.csv.gz")
    spoil(tmp_path / "s.csv.gz", tmp_path / "bad.csv")
    assert gzip.decompress((tmp_path / "bad.csv.gz").read_bytes()) == (tmp_path / "bad.csv").read_bytes()
    assert answer(tmp_path / "bad.csv.gz", "COUNT(*) FILTER (UnitPrice < 0)") != 0


@pytest.mark.parametrize(("source", "target"), [("s.parquet", "t.csv"), ("s.csv", "t.parquet")])
def test_spoiling_another_form_is_refused(tmp_path: Path, source: str, target: str) -> None:
    with pytest.raises(UserError, match=r"as \.csv or \.csv\.gz; received [st]\.parquet"):
        spoil(tmp_path / source, tmp_path / target)
