"""Reads rows: JSONL, CSV, parquet, files of tf.Examples, tables in BigQuery. One batch is in memory at a time."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipeline.contract import UserError
from runners.batch.conversion import of_table, parsed, parsed_text
from runners.batch.rows import BATCH_BYTES, BadRow, Rows, Source, batch_rows, chunks
from runners.serving.loaded import Signature

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet", ".tfrecord", ".tfrecord.gz")
UNEVEN_ROWS = 100_000
"""Rows of a CSV one after the other that may have too few or too many cells: they are in memory meanwhile."""


def check_file(path: Path) -> None:
    """Refuses what is no file of rows, by the end of its name.

    Raises:
      UserError: there is no such file, or it is of another kind.
    """
    if not path.is_file() or not path.name.endswith(SUFFIXES):
        raise UserError(
            expected=f"a file of rows ({', '.join(SUFFIXES)}), a folder of pictures, or bq://project.dataset.table",
            received=f"{path}, which {'is of another kind' if path.exists() else 'does not exist'}",
            todo="correct --input",
        )


def open_file(path: Path, signature: Signature) -> Source:
    """Opens a file of rows, by the end of its name.

    Raises:
      UserError: there is no such file, or it is of another kind. So does reading, of one that is broken.
    """
    check_file(path)
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return Source(_understood(path, _jsonl(path, signature)), counted="line")
    if path.name.endswith((".csv", ".csv.gz")):
        return Source(_understood(path, _csv(path, signature)))
    if path.suffix == ".parquet":
        return _parquet(path, signature)
    from runners.batch.examples import batches  # Imports TensorFlow.

    return Source(_understood(path, batches(path, signature)), counted="record")


def _understood(path: Path, batches: Iterator[Rows]) -> Iterator[Rows]:
    try:
        yield from batches
    except (OSError, EOFError, pa.ArrowInvalid, ValueError) as error:
        raise UserError(
            expected=f"a file that can be read to its end, {path}",
            received=" ".join(str(error).split())[:300] or type(error).__name__,
            todo="write it anew; nothing was written to --output",
        ) from error


# --- JSONL ---------------------------------------------------------------------------------------------


def _jsonl(path: Path, signature: Signature) -> Iterator[Rows]:
    number = 0
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for chunk in chunks(iter(file), batch_rows(signature)):
            yield _of_lines(signature, chunk, number)
            number += len(chunk)


def _of_lines(signature: Signature, lines: list[bytes], before: int) -> Rows:
    numbers, values, unreadable = [], [], []
    for number, line in enumerate(lines, before + 1):
        try:
            values.append(orjson.loads(line))
            numbers.append(number)
        except orjson.JSONDecodeError as error:
            if line.strip():
                unreadable.append(BadRow(number, line.decode(errors="replace").strip(), f"no JSON: {error}"))
    return _of_values(signature, values, np.array(numbers, np.int64), unreadable)


def _of_values(signature: Signature, values: list[Any], numbers: Any, unreadable: list[BadRow]) -> Rows:
    names = signature.inputs.keys()
    only = next(iter(names)) if len(names) == 1 else None
    taken = set(signature.outputs) - set(names)
    if any(isinstance(value, dict) and not taken.isdisjoint(value) for value in values):
        raise UserError(
            expected=f"other fields in the rows than the model answers: {', '.join(signature.outputs)}",
            received=f"fields of these names: {', '.join(sorted(taken))}",
            todo="rename them, so that nobody takes the one for the other",
        )
    if only is not None:  # A value may stand for the object that has it.
        rows = [value if isinstance(value, dict) and only in value else {only: value} for value in values]
    else:
        rows = [value if isinstance(value, dict) else {} for value in values]

    def instance(index: int) -> Any:
        if only is None and not isinstance(values[index], dict):
            return values[index]
        return {name: value for name, value in rows[index].items() if name in names}

    return Rows(
        numbers=numbers,
        wanted={name: [row.get(name) for row in rows] for name in names},
        kept=_others(rows, names),
        instance=instance,
        told=lambda index: values[index],
        unreadable=unreadable,
    )


def _others(rows: list[dict[str, Any]], names: Collection[str]) -> list[dict[str, Any]]:
    """What rows have besides some fields; most rows have the same ones."""
    found: dict[tuple[str, ...], list[str]] = {}
    kept = []
    for row in rows:
        fields = tuple(row)
        if fields not in found:
            found[fields] = [name for name in fields if name not in names]
        kept.append({name: row[name] for name in found[fields]})
    return kept


# --- CSV -----------------------------------------------------------------------------------------------


def _csv(path: Path, signature: Signature) -> Iterator[Rows]:
    """All cells are read as text: nothing is guessed, and what is kept stays as it was written."""
    header = _header(path)
    check_columns(path, header, signature)
    uneven: dict[int, BadRow] = {}

    def note(row: Any) -> str:
        if len(uneven) >= UNEVEN_ROWS:
            return "error"
        reason = f"expected {row.expected_columns} cells, received {row.actual_columns}"
        uneven[row.number - 1] = BadRow(row.number - 1, row.text, reason)  # The header is row 1 to Arrow.
        return "skip"

    reader = pa_csv.open_csv(
        path,
        # Threads would not know the numbers of rows.
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=BATCH_BYTES),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
        ),
    )
    before = 0
    with reader:
        for batch in _slices(reader, batch_rows(signature)):
            numbers, bad, before = _numbered(len(batch), before, uneven)
            yield _of_texts(signature, batch, numbers, bad)
    rest = [uneven.pop(number) for number in sorted(uneven)]
    if rest:
        yield _of_texts(signature, pa.table({name: pa.array([], pa.string()) for name in header}), _none(), rest)


def _header(path: Path) -> list[str]:
    with pa.input_stream(str(path), compression="detect") as stream:
        first = stream.read(1 << 16).partition(b"\n")[0]
    if not first.strip():
        raise UserError(expected=f"a header in {path}", received="an empty first line", todo="correct the file")
    names = list(pa_csv.read_csv(pa.BufferReader(first + b"\n")).schema.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            expected=f"a header of {path} that names each column once", received=f"twice {twice}", todo="rename them"
        )
    return names


def _numbered(rows: int, before: int, uneven: dict[int, BadRow]) -> tuple[Any, list[BadRow], int]:
    """Numbers of the next rows, between those that were skipped; those; and the number of the last one."""
    numbers: Any = np.arange(before + 1, before + 1 + rows)
    skipped = []
    for number in sorted(uneven):
        if not rows or number > numbers[-1]:
            break
        numbers[numbers >= number] += 1
        skipped.append(uneven.pop(number))
    return numbers, skipped, int(numbers[-1]) if rows else before


def _none() -> Any:
    return np.array([], np.int64)


def _of_texts(signature: Signature, batch: Any, numbers: Any, unreadable: list[BadRow]) -> Rows:
    texts = {name: _array(batch.column(name)) for name in signature.inputs}
    typed = {name: parsed(tensor, texts[name]) for name, tensor in signature.inputs.items()}

    def instance(index: int) -> dict[str, Any]:
        row = {name: texts[name][index].as_py() for name in texts}
        tensors = signature.inputs
        # An empty cell is an empty text, and no number.
        present = {name: text for name, text in row.items() if text.strip() or tensors[name].dtype == "string"}
        return {name: _cell(tensors[name], text) for name, text in present.items()}

    return Rows(
        numbers=numbers,
        wanted={name: [None] * len(numbers) if column is None else column for name, column in typed.items()},
        kept=_kept(batch, signature),
        instance=instance,
        told=lambda index: {name: batch.column(name)[index].as_py() for name in batch.schema.names},
        unreadable=unreadable,
    )


def _cell(tensor: Any, text: str) -> Any:
    """A cell that stands for an array is JSON."""
    if len(tensor.shape) == 1:
        return parsed_text(tensor, text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


# --- parquet, and what else comes as Arrow ----------------------------------------------------------------


def _parquet(path: Path, signature: Signature) -> Source:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(expected=f"a parquet file, {path}", received=str(error), todo="correct --input") from error
    check_columns(path, file.schema_arrow.names, signature)
    batches = file.iter_batches(batch_size=batch_rows(signature))
    return Source(_understood(path, of_batches(batches, signature)), total=file.metadata.num_rows)


def of_batches(batches: Iterable[Any], signature: Signature) -> Iterator[Rows]:
    """Yields the rows of Arrow's record batches."""
    before = 0
    for batch in _slices(batches, batch_rows(signature)):
        numbers = np.arange(before + 1, before + 1 + len(batch))
        before += len(batch)
        yield of_batch(signature, batch, numbers)


def of_batch(signature: Signature, batch: Any, numbers: Any) -> Rows:
    """Returns the rows of a record batch."""
    wanted = {name: _array(batch.column(name)) for name in signature.inputs}
    every = {name: _array(batch.column(name)) for name in batch.schema.names}
    return Rows(
        numbers=numbers,
        wanted=wanted,
        kept=_kept(batch, signature),
        instance=lambda index: of_table(wanted, index),
        told=lambda index: of_table(every, index),
    )


def check_columns(where: object, names: Iterable[str], signature: Signature) -> None:
    """Refuses a table that lacks a column of the signature, or has one with the name of an answer.

    Raises:
      UserError: as said.
    """
    found = list(names)
    missing = [name for name in signature.inputs if name not in found]
    if missing:
        raise UserError(
            expected=f"columns in {where} for the inputs of {signature.name}: {', '.join(signature.inputs)}",
            received=f"{', '.join(found)}; without {', '.join(missing)}",
            todo="rename or add the columns",
        )
    taken = [name for name in signature.outputs if name in found and name not in signature.inputs]
    if taken:
        raise UserError(
            expected=f"other columns in {where} than the model answers: {', '.join(signature.outputs)}",
            received=f"columns of these names: {', '.join(taken)}",
            todo="rename them, so that nobody takes the one for the other",
        )


def _slices(batches: Iterable[Any], rows: int) -> Iterator[Any]:
    for batch in batches:
        for start in range(0, len(batch), rows):
            yield batch.slice(start, rows)


def _kept(batch: Any, signature: Signature) -> Any:
    names = [name for name in batch.schema.names if name not in signature.inputs]
    return pa.table({name: batch.column(name) for name in names}) if names else [{}] * len(batch)


def _array(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
