"""What a file of raw data is, how a model would read it, and what would become of its rows; before anything runs.

Ingestion guesses nothing. Here a guess is made where the settings do not fit the file, and becomes a `--set` for
people to type; where the file can be read in two ways, they are asked.
"""

from __future__ import annotations

import csv
import itertools
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import duckdb
import yaml

from pipeline.contract import Model, Query, Settings, TableSettings, UserError, find_model, load, model_names
from pipeline.ingestion.delimited import read_delimited
from pipeline.ingestion.guessing import Fit, fit_dates, fit_numbers, guess_columns, guess_encoding, guess_separator
from pipeline.ingestion.mapping import map_columns
from pipeline.ingestion.raw import RawReport, RawTable, ask, load_raw
from pipeline.ingestion.readers import READERS, column_names, list_files, open_source, suffix_of, unreadable
from pipeline.ingestion.sql import connect, first_row, quoted
from pipeline.settings import make_settings
from runners.doctor import Finding

GAP_DAYS = 7
"""Days between two files without a sale, from which a month may be missing."""


def table_model(name: str | None) -> Model:
    """Returns the model of that name, or the only one that reads tables.

    Raises:
      UserError: there is none, or several and none is named.
    """
    models = [model for found in ([name] if name else model_names()) if _reads_tables(model := find_model(found))]
    if len(models) != 1:
        raise UserError(
            expected="a model that reads tables",
            received=name or ", ".join(model.name for model in models) or "none",
            todo="name one with --model",
        )
    return models[0]


def _reads_tables(model: Model) -> bool:
    return isinstance(model.source, Query) and isinstance(model.settings().data, TableSettings)


def inspect(model: Model, path: Path, layers: Sequence[Mapping[str, Any]], typed: Sequence[str] = ()) -> list[Finding]:
    """Looks at raw data with a model's eyes.

    Args:
      model: reads tables.
      path: file or folder.
      layers: settings over the model's defaults, the last on top: what they say is not guessed at.
      typed: the arguments of the command line that those layers came from, for the command that is proposed.

    Returns:
      What was found. A `problem` is something that a run would stop at.
    """
    return _Inspection(model, path, layers).findings(typed)


class _Inspection:
    """Goes from the form of the file to its rows, and gathers on the way what people have to type."""

    def __init__(self, model: Model, path: Path, layers: Sequence[Mapping[str, Any]]) -> None:
        self.model, self.path, self.layers = model, path, layers
        self.query = cast(Query, model.source)
        self.found: list[Finding] = []
        self.guesses: dict[str, Any] = {}
        self.given: dict[str, Any] = {}
        for layer in layers:
            data = layer.get("data", {})
            columns = {**self.given.get("columns", {}), **data.get("columns", {})}
            self.given |= {**data, "columns": columns}

    def findings(self, typed: Sequence[str]) -> list[Finding]:
        try:
            self._look(typed)
        except UserError as error:
            self._add("problem", "data", f"expected {error.expected}; received {error.received}", error.todo)
        return self.found

    def _look(self, typed: Sequence[str]) -> None:
        files = list_files(self.path, self.settings)
        self._add("ok", "format", _formats(files))
        texts = [file for file in files if READERS[suffix_of(file)] is read_delimited]
        if texts:
            self._encoding(texts)
            self._separator(texts[0])
        header = column_names(files[0], self.settings)
        self._add("ok", "columns", f"{len(header)}: {', '.join(header)}")
        if self._columns(header) and self._writing(files):
            self._rows()
            guesses = [word for pair in _assignments(self.guesses) for word in ("--set", pair)]
            command = ["pipelines", "run", self.model.name, "--data", str(self.path), *typed, *guesses]
            self._add("ok", "command", shlex.join(command))

    # --- how it is written ---------------------------------------------------------------------------

    def _encoding(self, files: Sequence[Path]) -> None:
        now = self.settings.encoding
        seen = {file: guess_encoding(file) for file in files}
        telling = {seen[file].name: file for file in reversed(files) if seen[file].shown or seen[file].name != "utf-8"}
        name, file = next(iter(telling.items()), ("utf-8", files[0]))
        shown = f", for instance in {seen[file].shown}" if seen[file].shown else ""
        if "encoding" in self.given or (len(telling) < 2 and name == now):
            self._add("ok", "encoding", now if "encoding" in self.given else f"{now}{shown}")
        elif len(telling) < 2:
            self._guess("encoding", {"encoding": name}, f"not {now}, but most likely {name}{shown}")
        else:
            names = ", ".join(f"{file.name} is {name}" for name, file in telling.items())
            self._add("problem", "encoding", f"not the same in all files: {names}", "convert some of them")

    def _separator(self, file: Path) -> None:
        guess, now = guess_separator(file, self.settings), self.settings.separator
        if "separator" in self.given or guess == (now or ("tab" if ".tsv" in file.name.lower() else "comma")):
            self._add("ok", "separator", now or guess)
        else:
            self._guess("separator", {"separator": guess}, f"{guess}, and not {now or 'comma'}")

    # --- what is in it -------------------------------------------------------------------------------

    def _columns(self, header: Sequence[str]) -> bool:
        """Maps the columns; returns whether all are."""
        fixed = self.given.get("columns", {})
        mapped = map_columns(self.query, self.settings)
        guesses = guess_columns(mapped, header, fixed)
        missing = False
        for column in mapped.columns:
            if column.name in guesses:
                message = f"no {column.source!r}, but {guesses[column.name]!r} looks like it"
                self._guess(column.name, {"columns": {column.name: guesses[column.name]}}, message)
            elif header.count(column.source) == 1:
                self._add("ok", column.name, column.source)
            elif not column.source:
                self._add("ok", column.name, f"{column.absent!r} in all rows, since the file has no such column")
            elif column.absent is not None and column.name not in fixed:
                message = f"no {column.source!r} and nothing like it; one can do without"
                self._guess(column.name, {"columns": {column.name: None}}, message)
            else:
                missing = True
                todo = f"--set columns.{column.name}=NAME, where NAME is one of the columns above"
                self._add("problem", column.name, f"{header.count(column.source)} columns {column.source!r}", todo)
        return not missing

    def _writing(self, files: Sequence[Path]) -> bool:
        """Finds out how numbers and dates are written; returns whether that is clear."""
        query = map_columns(self.query, self.settings)
        with tempfile.TemporaryDirectory() as folder, connect() as connection:
            for number, file in enumerate(files):
                (scratch := Path(folder) / str(number)).mkdir()
                rows = open_source(file, query, self.settings, scratch).select
                try:
                    connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS texts AS {rows} LIMIT 0")
                    connection.execute(f"INSERT INTO texts {rows}")
                except duckdb.Error as error:
                    raise unreadable(file, error) from error
            self._samples(connection, query)
            numbers = fit_numbers(connection, "texts", query, self.given)
            dates = fit_dates(connection, "texts", query, self.given)
        return all([self._fits("numbers", numbers), self._fits("dates", dates)])

    def _samples(self, connection: duckdb.DuckDBPyConnection, query: Query) -> None:
        """Shows what is in the columns that were guessed."""
        for column in query.columns:
            if self.guesses.get("columns", {}).get(column.name):
                name = quoted(column.name)
                statement = (
                    f"SELECT list(v) FROM (SELECT DISTINCT {name} AS v FROM texts WHERE v <> '' ORDER BY 1 LIMIT 3)"
                )
                (values,) = first_row(connection, statement)
                shown = f" ({', '.join(values or ['nothing'])} …)"
                self.found = [
                    replace(finding, message=finding.message + shown) if finding.name == column.name else finding
                    for finding in self.found
                ]

    def _fits(self, name: str, fit: Fit | None) -> bool:
        if fit is None:
            return True
        said = f"{fit.read:,} of {fit.cells:,} cells are written as {_spelt(fit.chosen)}"
        rest = f"; not for instance {fit.example!r}" if fit.example else ""
        if fit.rivals:
            choices = " or ".join(_options(way) for way in [fit.chosen, *fit.rivals])
            self._add("problem", name, f"{fit.example!r} can be read in several ways, and so can all others", choices)
            return False
        now = {key: getattr(self.settings, key) for key in fit.chosen}
        if now != fit.chosen and fit.read:
            self._guess(name, {key: value for key, value in fit.chosen.items() if value != now[key]}, said + rest)
        else:
            self._add("ok" if fit.read == fit.cells else "warning", name, said + rest)
        return True

    # --- what would become of it -----------------------------------------------------------------------

    def _rows(self) -> None:
        settings = self._settings()
        with tempfile.TemporaryDirectory() as folder:
            raw = load_raw(self.path, self.query, Path(folder), self.settings)
            self._report(raw, settings.gates.max_quarantined_share)
            resolved: Settings = load(self.query.resolve)(settings, ask(raw, self.query))
        for key, value in resolved.features.model_dump(mode="json").items():
            before = settings.features.model_dump(mode="json")[key]
            if before != value:
                self._add("ok", key, f"{before} comes to {value}")

    def _report(self, raw: RawTable, limit: float) -> None:
        report = raw.report
        self._add("ok", "rows", f"{report.rows_read:,} read, {report.rows_usable:,} usable")
        beyond = report.quarantined > limit * report.rows_read
        todo = f"at most {limit:.0%} of all rows may be; correct the export or the settings" if beyond else ""
        examples = _examples(raw)
        for reason, rows in report.quarantined_by_reason.items():
            message = f"rows with {reason}: {rows:,}; {examples[reason]}"
            self._add("problem" if beyond else "warning", "quarantined", message, todo)
        for name, rows in report.left_out.items():
            self._add("ok", "left out", f"rows with {name}: {rows:,}")
        for name, forbidden in report.forbidden.items():
            if forbidden.rows:
                message = f"rows with {name}: {forbidden.rows:,}; {forbidden.examples[0]}"
                self._add("problem", "refused by the data gate", message, "correct the export")
        self._spans(report)

    def _spans(self, report: RawReport) -> None:
        dated = sorted((file for file in report.files if file.first), key=lambda file: str(file.first))
        if not dated:
            return
        if len(dated) > 1:
            for file in dated:
                self._add("ok", "file", f"{file.name}: {file.rows_usable:,} rows, {file.first} to {file.last}")
        for one, other in itertools.pairwise(dated):
            days = (date.fromisoformat(str(other.first)[:10]) - date.fromisoformat(str(one.last)[:10])).days
            if str(other.first) <= str(one.last):
                message = f"{other.name} begins before {one.name} ends"
                self._add("warning", "file", message, "make sure that no sale is in both")
            elif days > GAP_DAYS:
                self._add("warning", "file", f"{days} days between {one.name} and {other.name}", "is one missing?")
        self._add("ok", "span of dates", f"{dated[0].first} to {max(str(file.last) for file in dated)}")

    # --- helpers -------------------------------------------------------------------------------------

    def _settings(self) -> Settings:
        return make_settings(self.model, *self.layers, {"data": self.guesses})

    @property
    def settings(self) -> TableSettings:
        """How the data are written, as far as is known by now."""
        return cast(TableSettings, self._settings().data)

    def _add(self, status: Any, name: str, message: str, todo: str = "") -> None:
        self.found.append(Finding(name, status, message, todo))

    def _guess(self, name: str, guess: dict[str, Any], message: str) -> None:
        columns = {**self.guesses.get("columns", {}), **guess.get("columns", {})}
        self.guesses |= guess | ({"columns": columns} if columns else {})
        self._add("problem", name, message, _options(guess))


def _formats(files: Sequence[Path]) -> str:
    """`2 files: .csv 3.1 MB, .csv 2.9 MB`, or of one file only what it is."""
    each = ", ".join(f"{file.name}, {file.stat().st_size / 1e6:.1f} MB" for file in files)
    return each if len(files) == 1 else f"{len(files)} files: {each}"


def _examples(raw: RawTable) -> dict[str, str]:
    """Reason, without the value -> the first row that is unusable for it."""
    examples: dict[str, str] = {}
    csv.field_size_limit(sys.maxsize)
    with raw.quarantine.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            kind = row["reason"].partition(", received ")[0]
            examples.setdefault(kind, f"for instance row {row['row']} of {row['file']}: {row['text'][:200]}")
    return examples


def _assignments(guess: Mapping[str, Any]) -> list[str]:
    """Settings as people type them after `--set`."""
    flat = {key: value for key, value in guess.items() if key != "columns"}
    flat |= {f"columns.{name}": value for name, value in guess.get("columns", {}).items()}
    return [f"{key}={_scalar(value)}" for key, value in flat.items()]


def _scalar(value: str | None) -> str:
    """A value that YAML reads as that text: a column called No needs quotes."""
    if value is None:
        return "null"
    try:
        plain = yaml.safe_load(value) == value
    except yaml.YAMLError:
        plain = True  # No YAML at all, such as %d.%m.%Y, is taken as it stands.
    return value if plain else yaml.safe_dump(value).strip()


def _options(guess: Mapping[str, Any]) -> str:
    return " ".join(f"--set {shlex.quote(pair)}" for pair in _assignments(guess))


def _spelt(way: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in way.items())
