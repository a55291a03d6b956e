"""A tiny model's query, so that the tests of ingestion need no real model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.contract import Column, Condition, Query

COLUMNS = (
    Column(name="day", source="Day", type="timestamp"),
    Column(name="amount", source="Amount", type="integer"),
    Column(name="price", source="Price", type="float"),
    Column(name="who", source="Who", type="string", required=False),
)

SELECT = """
SELECT who, SUM(amount) AS amount, CAST(SUM(price) AS FLOAT64) AS price, 'a' AS fold
FROM sales
WHERE day <= @until AND amount >= @least
GROUP BY who
"""


@pytest.fixture
def make_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Query]:
    """Returns a function from the text of a SELECT to a query whose resource holds it."""

    def make(select: str = SELECT) -> Query:
        package = tmp_path / "tiny_model"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / "query.sql").write_text(select)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "tiny_model", raising=False)
        return Query(
            sql="tiny_model:query.sql",
            table="sales",
            columns=COLUMNS,
            left_out=(Condition(name="nobody", where="who IS NULL"),),
            forbidden=(Condition(name="negative price", where="price < 0"),),
            split_column="fold",
            splits={"train": "a", "eval": "b"},
            resolve="unused",
        )

    return make


@pytest.fixture
def query(make_query: Callable[[], Query]) -> Query:
    """The tiny query."""
    return make_query()
