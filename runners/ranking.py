"""Straight from raw rows to a ranked list, with a pushed model: `pipelines predict MODEL --transactions FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pipeline.contract import Model, Query, Ranking, Settings, TableSettings, UserError, load
from pipeline.ingestion.raw import feature_table, load_raw, subjects
from pipeline.push import Manifest, verify
from pipeline.settings import make_settings, read_assignments
from runners.as_of import Tell, count, hold_some, hold_usable, sentences
from runners.batch.rows import BATCH_ROWS
from runners.run import make_root
from runners.serving.loaded import LoadedModel, concatenate

SIGNATURE = "serving_default"
SHOWN_ROWS = 10
READING = ("data", "gates")
"""Parts of the settings that may be others than the training's: how the file is written, and what it may lack."""


def ranked(
    contract: Model,
    version: Path,
    data: Path,
    as_of: date,
    root: Path,
    assignments: Sequence[str] | None = None,
    tell: Tell | None = None,
) -> pa.Table:
    """Returns the model's ranked list of a raw file.

    Features are computed as in the training, by the model's own SELECT with `as_of` in the place of its cut-off. Rows
    after that day are left out; no label is needed, so it may be the last day of the file.

    Args:
      contract: the model; it has a `ranking`.
      version: folder of the pushed version that predicts.
      data: raw rows, written as the training's were, unless `assignments` say otherwise.
      as_of: last day that counts.
      root: folder that receives the parsed rows and the quarantine.
      assignments: `key=value` of settings `data.*` and `gates.max_quarantined_share`, over those of the training.
      tell: told what was left out, a sentence each; standard error if None.

    Raises:
      UserError: the model has no list; version, settings or data cannot be used; too many rows are unusable; or nothing
        is known up to that day.
    """
    ranking, query = _listing(contract)
    tell = tell or _on_standard_error
    settings = _settings(contract, _manifest(contract, version), {ranking.as_of: as_of}, assignments or ())
    written = settings.data if isinstance(settings.data, TableSettings) else TableSettings()
    raw = load_raw(data, query, make_root(root) / "data", written)
    hold_usable(raw, settings.gates.max_quarantined_share, tell)
    rows = count(raw, query, as_of, ranking.subject)
    table = subjects(feature_table(raw, query, settings.features), query)
    hold_some(rows, table, raw.source, as_of)
    for sentence in sentences(rows, table, as_of, ranking.subject):
        tell(sentence)
    listed: pa.Table = load(ranking.function)(answered(LoadedModel.load(version), table))
    return listed


def show(table: pa.Table, console: Console) -> None:
    """Prints the top of a list, money in whole units, shares in hundredths, and how many rows are of each class.

    Classes are the values of dictionary columns. A narrow terminal takes from texts, never from numbers or the first
    column, which says whom a row is about; where that does not do, the last columns are left out, and named below.
    """
    names = table.column_names
    boundless = console.options.update(width=10 * console.width)  # A measure is never above the width that it is given.
    while len(names) > 1 and console.measure(_page(table.select(names)), options=boundless).minimum > console.width:
        names = names[:-1]
    page = _page(table.select(names))
    if left_out := table.column_names[len(names) :]:
        page.caption = f"too wide to be shown: {', '.join(left_out)}"
    console.print(page)
    for field in table.schema:
        if pa.types.is_dictionary(field.type):
            _show_counts(field.name, table.column(field.name), console)


def _page(table: pa.Table) -> Table:
    title = f"the first {min(SHOWN_ROWS, table.num_rows)} of {table.num_rows:,}"
    page = Table(title=title, box=SIMPLE, collapse_padding=True, pad_edge=False)
    for field in table.schema:
        text = pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
        cut = text and field.name != table.column_names[0]
        page.add_column(field.name.replace("_", "\n"), justify="left" if text else "right", no_wrap=not cut)
    for row in table.slice(0, SHOWN_ROWS).to_pylist():
        page.add_row(*(_cell(value) for value in row.values()))
    return page


def _show_counts(name: str, column: pa.ChunkedArray, console: Console) -> None:
    counts = Table(name, Column("rows", justify="right"), box=SIMPLE)
    found = {count["values"]: count["counts"] for count in column.value_counts().to_pylist()}
    for value, number in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        counts.add_row(_cell(value), f"{number:,}")
    console.print(counts)


def _cell(value: Any) -> Text:
    text = f"{value:,.{2 if 0 < abs(value) < 1 else 0}f}" if isinstance(value, float) else str(value)
    return Text(text, no_wrap=True, overflow="ellipsis")


def _on_standard_error(sentence: str) -> None:
    Console(stderr=True).print(sentence, markup=False, soft_wrap=True)


def _listing(contract: Model) -> tuple[Ranking, Query]:
    if contract.ranking is None or not isinstance(contract.source, Query):
        raise UserError(
            expected="a model that has a ranked list",
            received=f"{contract.name}, which has none",
            todo="name another model, or predict with --input",
        )
    return contract.ranking, contract.source


def _manifest(contract: Model, version: Path) -> Manifest:
    manifest = verify(version)
    if manifest.model != contract.name:
        raise UserError(
            expected=f"a pushed version of {contract.name}",
            received=f"{version}, which is one of {manifest.model}",
            todo="name that model, or another version",
        )
    return manifest


def _settings(contract: Model, manifest: Manifest, fixed: dict[str, Any], assignments: Sequence[str]) -> Settings:
    """The training's settings of data and features, under those that are typed, under what the command says itself."""
    typed = read_assignments(contract, assignments)
    if others := sorted(set(typed) - set(READING)):
        raise UserError(
            expected=f"settings of {' and '.join(READING)}, which say how the file is read",
            received=f"settings of {' and '.join(others)}, in --set {' --set '.join(assignments)}",
            todo="leave them out: a pushed model answers with those that it was trained with",
        )
    kept = {part: manifest.settings[part] for part in ("data", "features")}
    share = {"gates": {"max_quarantined_share": manifest.settings["gates"]["max_quarantined_share"]}}
    own = read_assignments(contract, [f"{key}={value}" for key, value in fixed.items()])
    return make_settings(contract, kept, share, typed, own)


def answered(model: LoadedModel, table: pa.Table) -> pa.Table:
    """Returns a table of features with the outputs of the model beside them.

    Raises:
      UserError: the model is asked with a feature that the table lacks.
    """
    names = list(model.signatures[SIGNATURE].inputs)
    if missing := sorted(set(names) - set(table.column_names)):
        raise UserError(
            expected=f"features {', '.join(names)}, which version {model.version} is asked with",
            received=f"from the model's SELECT none of the name {', '.join(missing)}",
            todo="push a model that was trained with this code, or use the code that it was trained with",
        )
    batches = [table.slice(start, BATCH_ROWS) for start in range(0, table.num_rows, BATCH_ROWS)]
    answers = [model.ask(SIGNATURE, {name: _values(batch.column(name)) for name in names}) for batch in batches]
    for name, values in concatenate(list(answers)).items():
        table = table.append_column(name, pa.array(values))
    return table


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = (column.cast(pa.binary()) if pa.types.is_string(column.type) else column).to_numpy()
    return values
