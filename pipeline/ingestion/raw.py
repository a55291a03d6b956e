"""A raw file becomes a typed parquet table, addressed by its content, with a report on every row that it held."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from pipeline.contract import Ask, FeatureSettings, Query, TableSettings, UserError
from pipeline.fingerprint import digest_code, digest_json, sha256_file
from pipeline.ingestion.checks import check, count_reasons, count_where, create_views, examples_where
from pipeline.ingestion.mapping import map_columns
from pipeline.ingestion.readers import list_files, open_source, suffix_of, unreadable
from pipeline.ingestion.sql import connect, first_row, literal, materialize, open_table, quoted, render, to_duckdb
from pipeline.ingestion.tables import no_rows

STANDARD = TableSettings()
"""Standard text, and the model's own names of columns."""


class ForbiddenRows(BaseModel):
    """Rows that must not exist.

    Attributes:
      rows: how many there are.
      examples: the first few, as `row 17: {...}`.
    """

    model_config = ConfigDict(frozen=True)
    rows: int
    examples: list[str]


class RawFile(BaseModel):
    """One file of several.

    Attributes:
      name: of the file.
      rows_usable: how many of its rows are in the typed table.
      quarantined: how many are not.
      first, last: of the usable rows' first column of dates, as text; None if there is no such column or row.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    rows_usable: int
    quarantined: int
    first: str | None
    last: str | None


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
      files: of a table, what became of each file.
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
    files: tuple[RawFile, ...] = ()


@dataclass(frozen=True)
class RawTable:
    """A typed table of raw rows.

    Attributes:
      parquet: the table; `quarantine.csv` and `report.json` lie beside it.
      digest: of the content, of the columns and conditions, of how the text is read, and of this code.
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
        """The unusable rows, with file, row number and reason."""
        return self.parquet.with_name("quarantine.csv")


def load_raw(path: Path, query: Query, workspace: Path, settings: TableSettings = STANDARD) -> RawTable:
    """Returns the typed table of a raw file, or of a folder of them, from the workspace if it is already there.

    Args:
      path: a file that `pipeline.ingestion.readers` reads, or a folder of such files, which become one table.
      query: says which columns, and which conditions are counted.
      workspace: folder that receives `<digest>/raw.parquet`, complete or not at all.
      settings: what the file calls the columns, and how it is written.

    Raises:
      UserError: a file is missing, empty, damaged, of an unknown format, without a column, or twice there; or there
        is not one usable row.
    """
    mapped = map_columns(query, settings)
    files = list_files(path, settings)
    contents = {file: _content(file) for file in files}
    _check_once(contents)
    digest = _digest(contents, mapped, settings)
    target = workspace / digest
    if not target.exists():
        workspace.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=workspace, prefix=".building-") as folder:
            _build(path, contents, mapped, settings, Path(folder))
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


def subjects(table: pa.Table, query: Query) -> pa.Table:
    """Returns the rows of a feature table that are asked about: those of all splits that are not `learnt_besides`."""
    besides = pa.array([query.splits[split] for split in query.learnt_besides], pa.string())
    return table.filter(pc.invert(pc.is_in(table.column(query.split_column), value_set=besides)))


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


def _content(file: Path) -> str:
    try:
        return sha256_file(file)
    except OSError as error:
        raise unreadable(file, error) from error


def _check_once(contents: Mapping[Path, str]) -> None:
    """A file that was downloaded twice would count every sale twice."""
    seen: dict[str, Path] = {}
    for file, sha256 in contents.items():
        if sha256 in seen:
            raise UserError(
                expected=f"files of different content in {file.parent}",
                received=f"{file.name}, which is the same as {seen[sha256].name}",
                todo="remove one of them, or name the files that are meant with --set files=PATTERN",
            )
        seen[sha256] = file


def _digest(contents: Mapping[Path, str], query: Query, settings: TableSettings) -> str:
    columns = [column.model_dump(mode="json", exclude={"also"}) for column in query.columns]
    meaning = [columns, query.model_dump(mode="json", include={"left_out", "forbidden"})]
    # Names too: with several files, the report and the quarantine say which. The ending says how a file is read.
    named = [[file.name if len(contents) > 1 else suffix_of(file), sha256] for file, sha256 in contents.items()]
    reading = settings.model_dump(mode="json", exclude={"line", "columns", "files", "currency"})
    return digest_json([named, meaning, reading, digest_code(__name__)])


def _build(path: Path, contents: Mapping[Path, str], query: Query, settings: TableSettings, folder: Path) -> None:
    """Writes the three files into `folder/table`."""
    table = folder / "table"
    table.mkdir()
    with connect() as connection:
        for number, file in enumerate(contents):
            scratch = folder / f"file-{number}"
            scratch.mkdir()
            source = open_source(file, query, settings, scratch)
            try:
                check(connection, source, query, settings, file.name)
            except duckdb.Error as error:
                raise unreadable(file, error) from error
            shutil.rmtree(scratch)
        create_views(connection)
        report = _report(connection, path, contents, query)
        names = ", ".join(quoted(column.name) for column in query.columns)
        _copy(connection, f"SELECT {names} FROM usable", table / "raw.parquet")
        _copy(connection, "SELECT * FROM quarantined ORDER BY file, row", table / "quarantine.csv")
    (table / "report.json").write_text(report.model_dump_json(indent=2), encoding="utf-8")


def _report(connection: duckdb.DuckDBPyConnection, path: Path, contents: Mapping[Path, str], query: Query) -> RawReport:
    usable = int(first_row(connection, "SELECT COUNT(*) FROM usable")[0])
    reasons = count_reasons(connection)
    quarantined = sum(reasons.values())
    if usable == 0:
        raise _no_usable_row(connection, path, quarantined)
    several = len(contents) > 1
    return RawReport(
        source=path.name,
        source_sha256=digest_json(sorted(contents.values())) if several else next(iter(contents.values())),
        rows_read=usable + quarantined,
        rows_usable=usable,
        quarantined=quarantined,
        quarantined_by_reason=reasons,
        left_out={condition.name: count_where(connection, condition) for condition in query.left_out},
        forbidden={
            condition.name: ForbiddenRows(
                rows=count_where(connection, condition),
                examples=examples_where(connection, condition, several=several),
            )
            for condition in query.forbidden
        },
        files=tuple(_file(connection, file.name, query) for file in contents),
    )


def _file(connection: duckdb.DuckDBPyConnection, name: str, query: Query) -> RawFile:
    day = next((quoted(column.name) for column in query.columns if column.type == "timestamp"), "NULL")
    usable, first, last = first_row(
        connection,
        f"SELECT COUNT(*), CAST(MIN({day}) AS VARCHAR), CAST(MAX({day}) AS VARCHAR) "
        f"FROM usable WHERE _file = {literal(name)}",
    )
    (quarantined,) = first_row(connection, f"SELECT COUNT(*) FROM quarantined WHERE file = {literal(name)}")
    return RawFile(name=name, rows_usable=usable, quarantined=quarantined, first=first, last=last)


def _no_usable_row(connection: duckdb.DuckDBPyConnection, path: Path, quarantined: int) -> UserError:
    if quarantined == 0:
        return no_rows(path, "a header and nothing below it")
    row, reason = first_row(connection, "SELECT row, reason FROM quarantined ORDER BY file, row")
    return UserError(
        expected=f"at least one usable row in {path.name}",
        received=f"{quarantined} rows, none of which parses; row {row}: {reason}",
        todo="say how the file is written, with the settings that `pipelines doctor --data FILE` proposes",
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
