"""Rows from a file, and what explains them into another: a block at a time, so that no file is too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipeline.contract import Explanation, UserError
from runners.batch.sinks import written
from runners.serving.explaining import Attribution, vertex_shape
from runners.serving.loaded import Signature

BLOCK = 1024
"""Rows that are read, explained and written at a time."""

JSON_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE

Row = dict[str, Any]


class Explained(NamedTuple):
    """A row of a file, what the model answers to it, and why.

    Attributes:
      row: as it was read, with whatever else the file has.
      prediction: the whole answer, for JSON.
      attribution: why the explained output is what it is.
    """

    row: Row
    prediction: Any
    attribution: Attribution


Write = Callable[[list[Explained]], None]


# --- reading -------------------------------------------------------------------------------------------


def read(path: Path, signature: Signature) -> Iterator[list[Row]]:
    """Yields the rows of a .jsonl, .csv or .parquet file, `BLOCK` of them at a time.

    Args:
      path: the file.
      signature: whose inputs' types the text in a .csv is read as.

    Raises:
      UserError: there is no such file, it is of another kind, or it is not as files of its kind are.
    """
    import pyarrow as pa

    reader = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}.get(path.suffix.lower())
    if reader is None:
        raise UserError(expected="a .jsonl, .csv or .parquet file", received=str(path), todo="correct --input")
    try:
        yield from reader(path, signature)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(
            expected=f"rows in {path}, as a {path.suffix} file has them",
            received=" ".join(str(error).split())[:300],
            todo="correct the file, or --input",
        ) from error


def _json_lines(path: Path, signature: Signature) -> Iterator[list[Row]]:
    with path.open("rb") as file:
        numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        while block := list(islice(numbered, BLOCK)):
            yield [_object(number, line) for number, line in block]


def _object(number: int, line: bytes) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"line {number} is no JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is no JSON object")
    return row


def _csv(path: Path, signature: Signature) -> Iterator[list[Row]]:
    import pyarrow as pa
    from pyarrow import csv

    # What is no input stays as it is written.
    with csv.open_csv(path) as opened:
        types = dict.fromkeys(opened.schema.names, pa.string())
    types |= {name: pa.type_for_alias(tensor.dtype) for name, tensor in signature.inputs.items()}
    with csv.open_csv(path, convert_options=csv.ConvertOptions(column_types=types)) as batches:
        yield from _rows(batches)


def _parquet(path: Path, signature: Signature) -> Iterator[list[Row]]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        yield from _rows(file.iter_batches(BLOCK))


def _rows(batches: Iterable[Any]) -> Iterator[list[Row]]:
    for batch in batches:
        for start in range(0, batch.num_rows, BLOCK):
            yield batch.slice(start, BLOCK).to_pylist()


# --- writing -------------------------------------------------------------------------------------------


@contextmanager
def writing(path: Path, explanation: Explanation, key: tuple[str, ...]) -> Iterator[Write]:
    """Gives a function that writes explained rows; the file appears when all of them are written.

    A .jsonl has Vertex AI's lines: `instance`, `prediction`, `explanation`. A .csv or .parquet has a row each: its
    number, the key, the explained output, its baseline, what each input adds, the approximation error.

    Args:
      path: the file, whose ending says its kind. One that is there is replaced.
      explanation: of the model.
      key: columns that say which row a row is, where the file has them and they are no inputs.

    Raises:
      UserError: the file is of another kind, or cannot be written.
    """
    opened = {".jsonl": _json_writer, ".csv": _table_writer, ".parquet": _table_writer}.get(path.suffix.lower())
    if opened is None:
        raise UserError(expected="a .jsonl, .csv or .parquet file", received=str(path), todo="correct --output")
    with written(path) as draft, opened(draft, path.suffix.lower(), explanation, key) as write:
        yield write


@contextmanager
def _json_writer(path: Path, suffix: str, explanation: Explanation, key: tuple[str, ...]) -> Iterator[Write]:
    with path.open("wb") as file:

        def write(rows: list[Explained]) -> None:
            for row, prediction, attribution in rows:
                told = vertex_shape(attribution, explanation)
                line = {"instance": row, "prediction": prediction, "explanation": told}
                file.write(orjson.dumps(line, default=str, option=JSON_LINE))

        yield write


@contextmanager
def _table_writer(path: Path, suffix: str, explanation: Explanation, key: tuple[str, ...]) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    kept = [name for name in key if name not in explanation.baseline]
    adds = [(name, pa.float64()) for name in ("baseline", explanation.output, *explanation.baseline)]
    schema = pa.schema(
        [("row", pa.int64()), *((name, pa.string()) for name in kept), *adds, ("approximation_error", pa.float64())]
    )
    done = 0
    with (csv.CSVWriter if suffix == ".csv" else parquet.ParquetWriter)(str(path), schema) as file:

        def write(rows: list[Explained]) -> None:
            nonlocal done
            flat = [_flat(number, one, explanation, kept) for number, one in enumerate(rows, done + 1)]
            file.write_table(pa.Table.from_pylist(flat, schema=schema))
            done += len(rows)

        yield write


def _flat(number: int, explained: Explained, explanation: Explanation, kept: list[str]) -> Row:
    row, _, attribution = explained
    return {
        "row": number,
        **{name: str(row[name]) for name in kept if row.get(name) is not None},
        "baseline": attribution.baseline,
        explanation.output: attribution.instance,
        **attribution.features,
        "approximation_error": attribution.approximation_error,
    }
