"""Writes predictions: JSONL, CSV or parquet, whole or not at all."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.contract import UserError
from runners.batch.rows import BadRow
from runners.serving import instances
from runners.serving.loaded import Columns

Kept: TypeAlias = Any
"""What `Rows.kept` is: a pyarrow Table, or a list of objects."""


class Sink(Protocol):
    """Takes predictions, batch by batch, in order."""

    def write(self, kept: Kept, answer: Columns) -> None:
        """Writes what was kept of some rows, and what the model said to them."""

    def close(self) -> None:
        """Ends the file."""


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Lends the name of a file beside `path`, which takes its name when all went well, and else is removed.

    Raises:
      UserError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            yield draft
            draft.replace(path)
    except OSError as error:
        raise UserError(
            expected=f"a place to write to, {path}", received=str(error), todo="correct --output"
        ) from error


def open_sink(path: Path) -> Sink:
    """Opens a file, by the end of its name.

    Raises:
      UserError: it is of another kind.
    """
    kinds: dict[str, Callable[[Path], Sink]] = {".jsonl": _Jsonl, ".csv": _Table, ".parquet": _Table}
    return kinds[check_suffix(path)](path)


def check_suffix(path: Path) -> str:
    """Returns how the name of an output ends.

    Raises:
      UserError: it is of a kind that cannot be written.
    """
    if path.suffix not in (".jsonl", ".csv", ".parquet"):
        raise UserError(
            expected="an output that ends in .jsonl, .csv or .parquet", received=str(path), todo="correct --output"
        )
    return path.suffix


class BadRows:
    """The file of rows without predictions: `<output>.errors.jsonl`, an object a line; there is none without such rows.

    Attributes:
      count: how many there are.
    """

    def __init__(self, output: Path, draft: Path, counted: str) -> None:
        self.path, self.draft, self.counted, self.count = errors_of(output), draft, counted, 0

    def write(self, rows: list[BadRow]) -> None:
        """Appends rows."""
        self.count += len(rows)
        with self.draft.open("ab") as file:
            for row in sorted(rows):
                told = {self.counted: row.number, "reason": row.reason, "instance": row.row}
                file.write(orjson.dumps(told, default=_shown, option=orjson.OPT_APPEND_NEWLINE))


def errors_of(output: Path) -> Path:
    """Returns where the rows without predictions of an output are."""
    return output.with_name(f"{output.name}.errors.jsonl")


def _shown(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


class _Jsonl:
    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def write(self, kept: Kept, answer: Columns) -> None:
        keys = kept if isinstance(kept, list) else kept.to_pylist()
        # As the server writes them: a float32 in as few digits as tell it from others.
        columns = [_json(name, values) for name, values in answer.items()]
        # The values are JSON already: of whole columns that is three times as fast as of rows.
        named = b",".join(orjson.dumps(name).replace(b"%", b"%%") + b":%s" for name in answer)
        alone, after = b"{" + named + b"}\n", b"%s," + named + b"}\n"
        for key, *values in zip(keys, *columns, strict=True):
            row = after % (orjson.dumps(key, _shown)[:-1], *values) if key else alone % tuple(values)
            self.file.write(row)

    def close(self) -> None:
        self.file.close()


def _json(name: str, values: NDArray[Any]) -> list[bytes]:
    """Each value of a column as JSON."""
    if values.ndim == 1 and values.dtype.kind in "fiu":
        return orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    plain = instances.by_column({name: np.ascontiguousarray(values)})
    return [orjson.dumps(value, _shown, orjson.OPT_SERIALIZE_NUMPY) for value in plain]


class _Table:
    """CSV and parquet, whose columns are those of the first batch."""

    def __init__(self, path: Path) -> None:
        self.path, self.writer, self.schema = path, None, None

    writer: Any
    schema: Any

    def write(self, kept: Kept, answer: Columns) -> None:
        table = self._table(kept) if isinstance(kept, list) and any(kept) else kept
        columns = {} if isinstance(table, list) else dict(zip(table.schema.names, table.columns, strict=True))
        table = pa.table({**columns, **{name: _arrow(name, values) for name, values in answer.items()}})
        if self.path.suffix == ".csv":
            table = _flat(table)
        if self.writer is None:
            self.schema = _without_null_types(table.schema)
            make = pa_csv.CSVWriter if self.path.suffix == ".csv" else pq.ParquetWriter
            self.writer = make(str(self.path), self.schema)
        self.writer.write_table(self._like_the_first(table))

    def _table(self, kept: list[dict[str, Any]]) -> Any:
        with self._refused():
            names = list(dict.fromkeys(name for row in kept for name in row))
            return pa.table({name: pa.array([row.get(name) for row in kept]) for name in names})

    def _like_the_first(self, table: Any) -> Any:
        with self._refused():
            missing = [field for field in self.schema if field.name not in table.schema.names]
            for field in missing:
                table = table.append_column(field, pa.nulls(len(table), field.type))
            if len(table.schema.names) > len(self.schema.names):
                raise ValueError(f"also {sorted(set(table.schema.names) - set(self.schema.names))}")
            return table.select(self.schema.names).cast(self.schema)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, OverflowError, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise UserError(
                expected="rows that are kept in columns of one type each, the same ones throughout",
                received=str(error),
                todo="write to a .jsonl, where each row may have its own, or drop what is not needed from the input",
            ) from error

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        else:
            pq.write_table(pa.table({}), self.path) if self.path.suffix == ".parquet" else self.path.touch()


def _without_null_types(schema: Any) -> Any:
    """A column that is empty in the first batch may hold anything later: text does."""
    fields = [pa.field(field.name, pa.string()) if pa.types.is_null(field.type) else field for field in schema]
    return pa.schema(fields)


def _arrow(name: str, values: NDArray[Any]) -> pa.Array:
    if values.dtype.kind in "OS":
        plain = list(values.ravel()) if values.ndim == 1 else values.tolist()
        return pa.array(plain, pa.binary()) if name.endswith("_bytes") else pa.array([_text(value) for value in plain])
    return pa.array(values if values.ndim == 1 else values.tolist())


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _flat(table: Any) -> Any:
    """For CSV: what is no single value is JSON, bytes are base64."""
    columns = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        nested = pa.types.is_nested(column.type) or pa.types.is_binary(column.type)
        columns[name] = pa.array([_cell(value) for value in column.to_pylist()], pa.string()) if nested else column
    return pa.table(columns)


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, bytes):
        return None if value is None else base64.b64encode(value).decode()
    return orjson.dumps(value, default=_shown).decode()


def write_table(table: Any, path: Path) -> None:
    """Writes a table that is there already, such as a ranked list.

    Raises:
      UserError: the output is of another kind, or cannot be written.
    """
    check_suffix(path)
    with written(path) as draft:
        sink = open_sink(draft)
        sink.write(table, {})
        sink.close()
