"""The same SELECT for BigQuery and DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import duckdb
import pytest
import sqlglot
from sqlglot.errors import UnsupportedError

from pipeline.contract import FeatureSettings, Query, UserError
from pipeline.ingestion import sql


class Settings(FeatureSettings):
    """Feature settings of the tiny query."""

    until: date = date(2024, 3, 1)
    least: int = 2


def test_parameters_become_literals(query: Query) -> None:
    text = sql.render(query, Settings())

    assert "CAST('2024-03-01' AS DATE)" in text
    assert "amount >= 2" in text
    assert "@" not in text


def test_an_unknown_parameter_is_refused(make_query: Callable[[str], Query]) -> None:
    with pytest.raises(UserError, match=r"expected one of the feature settings @until, @least .*received @untill"):
        sql.render(make_query("SELECT * FROM sales WHERE day < @untill"), Settings())


def test_several_statements_are_refused(make_query: Callable[[str], Query]) -> None:
    with pytest.raises(UserError, match=r"expected one SELECT in tiny_model:query\.sql; received 2 statements"):
        sql.render(make_query("SELECT 1; SELECT 2"), Settings())


def test_another_table_can_be_read_under_the_same_name(make_query: Callable[[str], Query]) -> None:
    query = make_query("WITH c AS (SELECT sales.who FROM sales) SELECT * FROM c JOIN sales USING (who)")
    text = sql.render(query, Settings(), table="my-project.shop.tx")

    tables = [table.sql("bigquery") for table in sqlglot.parse_one(text, read="bigquery").find_all(sqlglot.exp.Table)]
    assert sorted(tables) == ["c", "my-project.shop.tx AS sales", "my-project.shop.tx AS sales"]


def test_comments_do_not_reach_the_text_that_keys_the_cache(make_query: Callable[[str], Query]) -> None:
    plain, commented = (
        sql.split_queries(make_query(text), Settings()) for text in ("SELECT 1 AS fold", "-- why\nSELECT 1 AS fold")
    )
    assert plain == commented


def test_a_split_is_one_select_that_can_be_wrapped(query: Query) -> None:
    queries = sql.split_queries(query, Settings())

    assert list(queries) == ["train", "eval"]
    assert queries["eval"].startswith("SELECT * EXCEPT (fold) FROM (")
    assert queries["eval"].endswith("WHERE fold = 'b'")
    for text in queries.values():
        assert ";" not in text
        assert len(sqlglot.parse(f"SELECT * FROM ({text}) LIMIT 0", read="bigquery")) == 1


def test_splits_run_in_duckdb_without_the_split_column(query: Query) -> None:
    with sql.connect() as connection:
        connection.execute(
            "CREATE TABLE sales AS SELECT * FROM (VALUES (DATE '2024-02-01', 3, 1.5, 'ann'), "
            "(DATE '2024-03-01', 4, 2.5, 'ann'), (DATE '2024-03-02', 9, 9.0, 'ann'), "
            "(DATE '2024-01-01', 1, 9.0, 'bob')) t(day, amount, price, who)"
        )
        results = {
            split: connection.sql(sql.to_duckdb(text)).fetchall()
            for split, text in sql.split_queries(query, Settings()).items()
        }
    assert results == {"train": [("ann", 7, 4.0)], "eval": []}


def test_numeric_keeps_bigquerys_nine_decimals() -> None:
    with sql.connect() as connection:
        statement = sql.to_duckdb("SELECT CAST('1.123456789' AS NUMERIC)")
        assert sql.first_row(connection, statement) == (Decimal("1.123456789"),)


def test_what_duckdb_cannot_do_is_an_error() -> None:
    with pytest.raises(UnsupportedError):
        sql.to_duckdb("SELECT ARRAY_AGG(x ORDER BY y LIMIT 2) FROM t")


@pytest.mark.parametrize("text", ["1footrue", "", "17850.0", "Zürich"])
def test_farm_fingerprint_in_sql_is_the_function(text: str) -> None:
    with sql.connect() as connection:
        answer = sql.first_row(connection, f"SELECT FARM_FINGERPRINT({sql.literal(text)}), FARM_FINGERPRINT(NULL)")
    assert answer == (sql.farm_fingerprint(text), None)


def test_farm_fingerprint_has_bigquerys_documented_value() -> None:
    assert sql.farm_fingerprint("1footrue") == -1541654101129638711


def test_a_connection_stays_offline_and_spills_to_a_folder_of_its_own() -> None:
    setting = "SELECT current_setting('autoinstall_known_extensions'), current_setting('temp_directory')"
    with sql.connect() as one, sql.connect() as other:
        first, second = sql.first_row(one, setting), sql.first_row(other, setting)
    assert first[0] is False
    assert first[1] != second[1]


def test_values_beyond_the_arithmetic_are_the_users_to_correct() -> None:
    with sql.connect() as connection, pytest.raises(UserError, match="extreme values in the raw file"):
        sql.materialize(connection, "SELECT CAST(1e40 AS NUMERIC) AS x", "t")


def test_a_mistake_in_the_sql_is_not_blamed_on_the_data() -> None:
    with sql.connect() as connection, pytest.raises(duckdb.BinderException):
        sql.materialize(connection, "SELECT missing FROM (SELECT 1 AS x)", "t")
