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
    from clv_transformed import EXAMPLES, GRAPH, write_transformed

    write_transformed(table, folder)
    return Transformed(table, f"{folder}/{EXAMPLES}", str(folder / GRAPH))


@pytest.fixture(scope="session")
def transform() -> Callable[[Table, Path], Transformed]:
    """For tables of a test's own."""
    return transformed_in


@pytest.fixture(scope="session")
def transformed(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    """The table after TFX Transform's own code, run in process."""
    return transformed_in(table, tmp_path_factory.mktemp("transformed"))
