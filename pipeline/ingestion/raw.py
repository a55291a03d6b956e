"""A raw file becomes a typed parquet table, addressed by its content, with a report on every row that it held."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from pipeline.contract import Ask, FeatureSettings, Query, UserError
from pipeline.fingerprint import digest_code, digest_json, sha256_file
from pipeline.ingestion.checks import check, count_reasons, count_where, examples_where
from pipeline.ingestion.readers import no_rows, open_source, unreadable
from pipeline.ingestion.sql import connect, first_row, literal, materialize, open_table, quoted, render, to_duckdb


class ForbiddenRows(BaseModel):
    """Rows that must not exist.

    Attributes:
      rows: how many there are.
      examples: the first few, as `row 17: {...}`.
    """

    model_config = ConfigDict(frozen=True)
    rows: int
    examples: list[str]


class RawReport(BaseModel):
    """What became of the rows of a raw file, or of the files of a set of pictures: read = usable + quarantined.

    Attributes:
      unit: what is counted.
      source: name of the file.
      source_sha256: of its content.
      rows_read: rows of the file, without the header.
      rows_usable: rows of the typed table.
      quarantined: rows that do not parse; `quarantine.csv` beside the table lists them.
      quarantined_by_reason: the same by reason, most frequent first.
      left_out: name of a condition -> usable rows that the model's definition leaves out.
      forbidden: name of a condition -> usable rows that must not exist.
    """

    model_config = ConfigDict(frozen=True)
    unit: Literal["rows", "files"] = "rows"
    source: str
    source_sha256: str
    rows_read: int
    rows_usable: int
    quarantined: int
    quarantined_by_reason: dict[str, int]
    left_out: dict[str, int]
    forbidden: dict[str, ForbiddenRows]


@dataclass(frozen=True)
class RawTable:
    """A typed table of raw rows.

    Attributes:
      parquet: the table; `quarantine.csv` and `report.json` lie beside it.
      digest: of the file's content, of the columns and conditions, and of this code.
      report: what became of the rows.
    """

    parquet: Path
    digest: str
    report: RawReport

    @property
    def source(self) -> str:
        """Name of the raw file."""
        return self.report.source

    @property
    def quarantine(self) -> Path:
        """The unusable rows, with row number and reason."""
        return self.parquet.with_name("quarantine.csv")


def load_raw(path: Path, query: Query, workspace: Path) -> RawTable:
    """Returns the typed table of a raw file, from the workspace if it is already there.

    Args:
      path: .xlsx, .csv, .csv.gz or .parquet.
      query: says which columns, and which conditions are counted.
      workspace: folder that receives `<digest>/raw.parquet`, complete or not at all.

    Raises:
      UserError: the file is missing, empty, damaged, of an unknown format, without a column, or without one
        usable row.
    """
    sha256 = _content(path)
    digest = _digest(path, sha256, query)
    target = workspace / digest
    if not target.exists():
        workspace.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=workspace, prefix=".building-") as folder:
            _build(path, sha256, query, Path(folder))
            _publish(Path(folder) / "table", target)
    report = RawReport.model_validate_json((target / "report.json").read_bytes())
    return RawTable(target / "raw.parquet", digest, report.model_copy(update={"source": path.name}))


def ask(raw: RawTable, query: Query) -> Ask:
    """Returns a function that runs a BigQuery SELECT on the table and returns its first row."""

    def run(sql: str) -> tuple[Any, ...]:
        with open_table(raw.parquet, query.table) as connection:
            return first_row(connection, to_duckdb(sql))

    return run


def feature_table(raw: RawTable, query: Query, features: FeatureSettings) -> pa.Table:
    """Returns the model's feature table, all splits, in memory; `export_features` streams it to a file.

    Args:
      raw: the raw rows.
      query: the model's query.
      features: its settings, resolved (see `Query.resolve`).
    """
    with open_table(raw.parquet, query.table) as connection:
        materialize(connection, render(query, features), "features")
        return connection.sql("SELECT * FROM features ORDER BY ALL").to_arrow_table()


def export_features(raw: RawTable, query: Query, features: FeatureSettings, out: Path) -> int:
    """Writes the feature table, all splits, ordered, to a .parquet or .csv file and returns its number of rows.

    Raises:
      UserError: the file's name ends otherwise, or it cannot be written.
    """
    if out.suffix not in (".parquet", ".csv"):
        raise UserError(expected="an output file .parquet or .csv", received=out.name, todo="rename the output file")
    with open_table(raw.parquet, query.table) as connection:
        rows = materialize(connection, render(query, features), "features")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            _copy(connection, "SELECT * FROM features ORDER BY ALL", out)
        except (OSError, duckdb.IOException) as error:
            raise UserError(expected="a writable place", received=str(error), todo="choose another --out") from error
    return rows


def _content(path: Path) -> str:
    """The file's sha256; empty where there is no file, which `open_source` explains."""
    try:
        return sha256_file(path) if path.is_file() else ""
    except OSError as error:
        raise unreadable(path, error) from error


def _digest(path: Path, sha256: str, query: Query) -> str:
    meaning = query.model_dump(mode="json", include={"columns", "left_out", "forbidden"})
    return digest_json([sha256, path.name.rpartition(".")[2], meaning, digest_code(__name__)])


def _build(path: Path, sha256: str, query: Query, folder: Path) -> None:
    """Writes the three files into `folder/table`."""
    table = folder / "table"
    table.mkdir()
    source = open_source(path, query.columns, folder)
    with connect() as connection:
        try:
            check(connection, source, query)
        except duckdb.Error as error:
            raise unreadable(path, error) from error
        report = _report(connection, path, sha256, query)
        names = ", ".join(quoted(column.name) for column in query.columns)
        _copy(connection, f"SELECT {names} FROM checked WHERE _reason IS NULL", table / "raw.parquet")
        _copy(connection, "SELECT * FROM quarantined ORDER BY row", table / "quarantine.csv")
    (table / "report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")


def _report(connection: duckdb.DuckDBPyConnection, path: Path, sha256: str, query: Query) -> RawReport:
    usable = int(first_row(connection, "SELECT COUNT(*) FROM usable")[0])
    reasons = count_reasons(connection)
    quarantined = sum(reasons.values())
    if usable == 0:
        raise _no_usable_row(connection, path, quarantined)
    return RawReport(
        source=path.name,
        source_sha256=sha256,
        rows_read=usable + quarantined,
        rows_usable=usable,
        quarantined=quarantined,
        quarantined_by_reason=reasons,
        left_out={condition.name: count_where(connection, condition) for condition in query.left_out},
        forbidden={
            condition.name: ForbiddenRows(
                rows=count_where(connection, condition), examples=examples_where(connection, condition)
            )
            for condition in query.forbidden
        },
    )


def _no_usable_row(connection: duckdb.DuckDBPyConnection, path: Path, quarantined: int) -> UserError:
    if quarantined == 0:
        return no_rows(path, "a header and nothing below it")
    row, reason = first_row(connection, "SELECT row, reason FROM quarantined ORDER BY row")
    return UserError(
        expected=f"at least one usable row in {path.name}",
        received=f"{quarantined} rows, none of which parses; row {row}: {reason}",
        todo="correct the file's formats: ISO dates, decimal points, no thousands separators",
    )


def _copy(connection: duckdb.DuckDBPyConnection, select: str, out: Path) -> None:
    form = "FORMAT csv, HEADER" if out.suffix == ".csv" else "FORMAT parquet, COMPRESSION zstd"
    connection.execute(f"COPY ({select}) TO {literal(str(out))} ({form})")


def _publish(built: Path, target: Path) -> None:
    try:
        built.rename(target)
    except OSError:
        if not target.exists():
            raise  # Otherwise another run published the same content first: just as good.
