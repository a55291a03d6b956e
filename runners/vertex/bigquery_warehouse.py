"""What is behind the stand-in for BigQuery: data sets, tables and jobs in DuckDB, and errors as BigQuery has them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

from pipeline.ingestion.sql import connect, first_row, literal, quoted, to_duckdb

DUCKDB = {
    "STRING": "VARCHAR",
    "INTEGER": "BIGINT",
    "INT64": "BIGINT",
    "FLOAT": "DOUBLE",
    "FLOAT64": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "BOOL": "BOOLEAN",
    "DATE": "DATE",
    "DATETIME": "TIMESTAMP",
    "NUMERIC": "DECIMAL(38, 9)",
}
"""Types of a loaded table's columns."""

ARROW: tuple[tuple[Any, str], ...] = (
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_timestamp, "DATETIME"),
    # DuckDB's sums of integers have 128 bits.
    (lambda kind: pa.types.is_decimal(kind) and kind.scale == 0, "INTEGER"),
    (pa.types.is_decimal, "NUMERIC"),
    (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind), "STRING"),
)
"""Types of a query's columns, the first that holds."""

CODES = {"notFound": 404, "duplicate": 409, "invalid": 400, "invalidQuery": 400}
"""BigQuery's reasons as HTTP has them."""


class Problem(Exception):
    """What BigQuery refuses: HTTP's code, BigQuery's reason, and words."""

    def __init__(self, reason: str, message: str) -> None:
        self.code, self.reason, self.message = CODES.get(reason, 501), reason, message
        super().__init__(message)

    def as_json(self) -> dict[str, Any]:
        """Returns it as the content of an answer's `error`."""
        listed = {"reason": self.reason, "message": self.message, "domain": "global"}
        return {"code": self.code, "message": self.message, "errors": [listed]}


class Warehouse:
    """Data sets, tables and jobs."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._projects: set[str] = set()
        self._datasets: dict[tuple[str, str], dict[str, Any]] = {}
        self._tables: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        self._results: dict[str, pa.Table] = {}

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Warehouse]:
        """Opens an empty one, in memory."""
        with connect() as connection:
            yield cls(connection)

    # --- data sets and tables ---------------------------------------------------------------------------

    def dataset(self, project: str, dataset: str) -> dict[str, Any]:
        """Returns a data set's description."""
        if (project, dataset) not in self._datasets:
            raise Problem("notFound", f"Not found: Dataset {project}:{dataset}")
        return self._datasets[project, dataset]

    def insert_dataset(self, project: str, body: dict[str, Any]) -> dict[str, Any]:
        """Makes a data set, in the location that the body names or in US."""
        name = body["datasetReference"]["datasetId"]
        if (project, name) in self._datasets:
            raise Problem("duplicate", f"Already Exists: Dataset {project}:{name}")
        if project not in self._projects:
            self._connection.execute(f"ATTACH ':memory:' AS {quoted(project)}")
            self._projects.add(project)
        self._connection.execute(f"CREATE SCHEMA {quoted(project)}.{quoted(name)}")
        self._datasets[project, name] = {"kind": "bigquery#dataset", "location": "US", **body}
        return self._datasets[project, name]

    def table(self, project: str, dataset: str, table: str) -> dict[str, Any]:
        """Returns a table's description."""
        self.dataset(project, dataset)
        if (project, dataset, table) not in self._tables:
            raise Problem("notFound", f"Not found: Table {project}:{dataset}.{table}")
        return self._tables[project, dataset, table]

    # --- jobs -------------------------------------------------------------------------------------------

    def run(self, project: str, body: dict[str, Any], file: Path | None = None) -> dict[str, Any]:
        """Runs a job to its end, with a file to load or a query; a refusal is in its status, as with BigQuery."""
        reference = {"jobId": str(uuid.uuid4()), "projectId": project, **body.get("jobReference", {})}
        status: dict[str, Any] = {"state": "DONE"}
        job: dict[str, Any] = {
            "kind": "bigquery#job",
            "id": f"{project}:{reference['jobId']}",
            "user_email": "nobody@localhost",
        }
        job |= {"jobReference": reference, "configuration": body["configuration"], "status": status}
        now = _now()
        job["statistics"] = {"creationTime": now, "startTime": now, "endTime": now, "query": {}}
        self._jobs[reference["jobId"]] = job
        try:
            self._execute(job, file)
        except Problem as problem:
            status["errorResult"] = {"reason": problem.reason, "message": problem.message}
            status["errors"] = [status["errorResult"]]
        return self.job(reference["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Returns a job's description."""
        if job_id not in self._jobs:
            raise Problem("notFound", f"Not found: Job {job_id}")
        return self._jobs[job_id]

    def page(self, job_id: str, start: int, rows: int) -> tuple[dict[str, Any], int, list[dict[str, Any]]]:
        """Returns the schema of a query's result, its number of rows, and some of them."""
        failed = self.job(job_id)["status"].get("errorResult")
        if failed:
            raise Problem(failed["reason"], failed["message"])
        table = self._results[job_id]
        columns = [column.to_pylist() for column in table.slice(start, rows).columns]
        page = [{"f": [{"v": _cell(value)} for value in row]} for row in zip(*columns, strict=True)]
        return {"fields": _fields(table.schema)}, table.num_rows, page

    def _execute(self, job: dict[str, Any], file: Path | None) -> None:
        configuration = job["configuration"]
        if file is not None:
            self._load(job, configuration["load"], file)
        elif "query" in configuration:
            self._query(job, configuration["query"])
        else:
            raise Problem("notImplemented", f"the stand-in does not know the job {list(configuration)}")

    def _load(self, job: dict[str, Any], load: dict[str, Any], file: Path) -> None:
        fields = load["schema"]["fields"]
        _check_modes(fields, file)
        casts = ", ".join(
            f"CAST({quoted(field['name'])} AS {DUCKDB[field['type']]}) AS {quoted(field['name'])}" for field in fields
        )
        described: dict[str, Any] = {key: load[key] for key in ("timePartitioning", "clustering") if key in load}
        select = f"SELECT {casts} FROM read_parquet({literal(str(file))})"
        rows = self._write(
            load["destinationTable"],
            select,
            load.get("writeDisposition", "WRITE_APPEND"),
            {**described, "schema": {"fields": fields}},
            file.stat().st_size,
        )
        job["statistics"]["load"] = {"outputRows": str(rows), "outputBytes": str(file.stat().st_size)}

    def _query(self, job: dict[str, Any], query: dict[str, Any]) -> None:
        try:
            tree = sqlglot.parse_one(query["query"], read="bigquery")
            self._check_tables(tree, job["jobReference"])
            statement = to_duckdb(tree.sql(dialect="bigquery", identify=True))
            rows = self._connection.execute(statement).to_arrow_table()
        except (duckdb.Error, sqlglot.errors.SqlglotError) as error:
            raise Problem("invalidQuery", str(error).partition("\n")[0]) from error
        self._results[job["jobReference"]["jobId"]] = rows
        if "destinationTable" in query:
            self._write(
                query["destinationTable"],
                statement,
                query.get("writeDisposition", "WRITE_EMPTY"),
                {"schema": {"fields": _fields(rows.schema)}},
                rows.nbytes,
            )

    def _check_tables(self, tree: exp.Expression, job: dict[str, Any]) -> None:
        for table in tree.find_all(exp.Table):
            if not table.db:
                continue  # A common table expression.
            project = table.catalog or job["projectId"]
            table.set("catalog", exp.to_identifier(project))
            self.table(project, table.db, table.name)
            location = self._datasets[project, table.db]["location"]
            if job.get("location") and location.lower() != job["location"].lower():
                where = f"Dataset {project}:{table.db} was not found in location {job['location']}"
                raise Problem("notFound", f"Not found: {where}")

    def _write(
        self, target: dict[str, str], select: str, disposition: str, described: dict[str, Any], size: int
    ) -> int:
        """Writes the rows of a DuckDB SELECT to a table and returns how many there are in it."""
        key = (target["projectId"], target["datasetId"], target["tableId"])
        self.dataset(*key[:2])
        name = ".".join(map(quoted, key))
        old = self._tables.get(key)
        if old and disposition == "WRITE_EMPTY":
            raise Problem("duplicate", f"Already Exists: Table {key[0]}:{key[1]}.{key[2]}")
        appended = old is not None and disposition == "WRITE_APPEND"
        if old and appended and old["schema"] != described["schema"]:
            raise Problem("invalid", f"Provided Schema does not match Table {key[0]}:{key[1]}.{key[2]}.")
        self._connection.execute(
            f"INSERT INTO {name} {select}" if appended else f"CREATE OR REPLACE TABLE {name} AS {select}"
        )
        rows = int(first_row(self._connection, f"SELECT COUNT(*) FROM {name}")[0])
        before = old if old and appended else {"numBytes": "0"}
        self._tables[key] = {
            "kind": "bigquery#table",
            "type": "TABLE",
            "tableReference": dict(target),
            "creationTime": _now(),
            **before,
            **described,
            "numRows": str(rows),
            "numBytes": str(int(before["numBytes"]) + size),
            "lastModifiedTime": _now(),
        }
        return rows


def _check_modes(fields: list[dict[str, Any]], file: Path) -> None:
    """A file's column is either required, as in the schema of the job, or may be empty, as there."""
    written = pq.read_schema(file)
    for field in fields:
        mode, nullable = field.get("mode", "NULLABLE"), written.field(field["name"]).nullable
        if nullable != (mode == "NULLABLE"):
            received = "NULLABLE" if nullable else "REQUIRED"
            raise Problem(
                "invalid",
                "Error while reading data, error message: Provided schema is not compatible with the file. Field "
                f"'{field['name']}' is specified as {mode} in provided schema which does not match {received} as "
                "specified in the file.",
            )


def _fields(schema: pa.Schema) -> list[dict[str, str]]:
    return [{"name": field.name, "type": _type(field.type), "mode": "NULLABLE"} for field in schema]


def _type(kind: pa.DataType) -> str:
    for holds, name in ARROW:
        if holds(kind):
            return name
    raise Problem("invalidQuery", f"the stand-in does not know the type {kind}")


def _cell(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value if value is None else str(value)


_clock = 0


def _now() -> str:
    """Milliseconds since 1970, and no two alike: the time of a change tells one state of a table from another."""
    global _clock
    _clock = max(_clock + 1, int(time.time() * 1000))
    return str(_clock)
