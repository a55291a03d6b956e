"""Tables of database files, DuckDB's and SQLite's: copied out as text, so that nothing but their content is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import Query, TableSettings, UserError
from pipeline.ingestion.mapping import require
from pipeline.ingestion.sql import MEMORY, literal, quoted
from pipeline.ingestion.tables import Source, choose_table, select_parquet

SQLITE = b"SQLite format 3\0"
BATCH_ROWS = 50_000
"""Rows of SQLite in memory at a time: a few MB."""
TEXT = pa.string()


def read_database(path: Path, query: Query, settings: TableSettings, scratch: Path) -> Source:
    """Reads a table of a database file, of whichever kind its content is; see `Reader`.

    Raises:
      UserError: the database is open elsewhere, or which table is meant is not clear.
    """
    _check_closed(path)
    target = scratch / "table.parquet"
    numeric = (_copy_sqlite if _is_sqlite(path) else _copy_duckdb)(path, query, settings, target)
    return Source(select_parquet(target, query, numeric, settings), first_row=1)


def database_columns(path: Path, settings: TableSettings) -> list[str]:
    """Returns the names of the columns of the table that is meant.

    Raises:
      UserError: which table is meant is not clear.
    """
    _check_closed(path)
    if _is_sqlite(path):
        with closing(_open_sqlite(path)) as lite:
            return _sqlite_columns(lite, _sqlite_name(choose_table(path, _sqlite_tables(lite), settings, "table")))
    with _open_duckdb(path) as duck:
        return list(_duckdb_kinds(duck, _duckdb_name(choose_table(path, _duckdb_tables(duck), settings, "table"))))


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _check_closed(path: Path) -> None:
    """Changes that wait in a file beside the database would be neither read nor seen in its digest."""
    for ending in ("-wal", "-journal", ".wal"):
        beside = path.with_name(f"{path.name}{ending}")
        if beside.exists() and beside.stat().st_size:
            raise UserError(
                expected=f"a database that no program has open: {path.name}",
                received=f"{beside.name} beside it, with changes that are not yet in it",
                todo="close the program that writes to it, or copy the database with that program's own backup",
            )


def _open_duckdb(path: Path) -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {
        "memory_limit": MEMORY,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return duckdb.connect(str(path), read_only=True, config=config)


def _duckdb_tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Tables only: a view may read other files, which no digest of this one would cover."""
    statement = "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal AND NOT temporary"
    found = connection.execute(statement).fetchall()
    return sorted(table if schema == "main" else f"{schema}.{table}" for schema, table in found)


def _duckdb_name(name: str) -> str:
    return ".".join(quoted(part) for part in name.split(".", 1))


def _duckdb_kinds(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Column -> type."""
    return {row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE {table}").fetchall()}


def _copy_duckdb(path: Path, query: Query, settings: TableSettings, target: Path) -> frozenset[str]:
    """Writes the wanted columns as text and returns those that held numbers."""
    with _open_duckdb(path) as connection:
        table = _duckdb_name(choose_table(path, _duckdb_tables(connection), settings, "table"))
        kinds = _duckdb_kinds(connection, table)
        require(path.name, list(kinds), query)
        fields = ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in _wanted(query))
        connection.execute(f"COPY (SELECT {fields} FROM {table}) TO {literal(str(target))} (FORMAT parquet)")
    return frozenset(name for name, kind in kinds.items() if kind != "VARCHAR")


def _open_sqlite(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _sqlite_tables(connection: sqlite3.Connection) -> list[str]:
    statement = (
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return sorted(name for (name,) in connection.execute(statement))


def _sqlite_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [field[0] for field in connection.execute(f"SELECT * FROM {table} LIMIT 0").description]


def _copy_sqlite(path: Path, query: Query, settings: TableSettings, target: Path) -> frozenset[str]:
    """Writes the wanted columns as text. A column may mix numbers and texts, so each number is spelt by itself."""
    with closing(_open_sqlite(path)) as connection:
        (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        table = _sqlite_name(choose_table(path, _sqlite_tables(connection), settings, "table"))
        require(path.name, _sqlite_columns(connection, table), query)
        names = _wanted(query)
        point = {column.source for column in query.columns if column.type in ("integer", "float")}
        signs = [settings.decimal == "comma" and name in point for name in names]
        rows = connection.execute(f"SELECT {', '.join(map(_sqlite_name, names))} FROM {table}")
        with pq.ParquetWriter(target, pa.schema([(name, TEXT) for name in names])) as writer:
            for batch in _batches(rows):
                columns = [
                    pa.array([_spelt(cell, comma) for cell in cells], TEXT)
                    for cells, comma in zip(zip(*batch, strict=True), signs, strict=True)
                ]
                writer.write_table(pa.table(columns, names=names))
    return frozenset()


def _batches(rows: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    while batch := rows.fetchmany(BATCH_ROWS):
        yield batch


def _spelt(cell: object, comma: bool) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    return str(cell).replace(".", ",") if comma else str(cell)


def _sqlite_name(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _wanted(query: Query) -> list[str]:
    """Names in the file, each once: two columns of a query may be one of the file."""
    return list(dict.fromkeys(column.source for column in query.columns if column.source))
