"""From rows to tensors: whole columns at once, and row by row, with reasons, only where a column is not as it must be.

What passes here is what `runners.serving.instances` passes, which answers for the server: the fast way takes only what
it is sure of, and leaves everything else to that module.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from runners.batch.rows import BadRow, Column, Rows
from runners.serving import instances
from runners.serving.loaded import Columns, Signature, Tensor, concatenate

Part = tuple[NDArray[np.int64], Columns]
"""Which rows, and their tensors."""
Refuse = Callable[[BadRow], None]


def parts(signature: Signature, rows: Rows, refuse: Refuse) -> Iterator[Part]:
    """Yields the tensors of the rows that are as the signature wants them, in order; tells of the others.

    One part, unless arrays of different shapes follow each other.
    """
    if not len(rows):
        return
    fast = whole_columns(signature, rows)
    if fast is not None:
        yield np.arange(len(rows)), fast
    else:
        yield from _joined(_one_by_one(signature, rows, refuse))


def whole_columns(signature: Signature, rows: Rows) -> Columns | None:
    """Returns the tensors of all rows; None where one of them may be bad."""
    found = {}
    for name, tensor in signature.inputs.items():
        column = _fast(tensor, rows.wanted[name])
        if column is None:
            return _at_once(signature, rows) if len(tensor.shape) > 1 else None
        found[name] = column
    return found


def _at_once(signature: Signature, rows: Rows) -> Columns | None:
    try:
        return instances.columns(signature, [rows.instance(index) for index in range(len(rows))])
    except instances.BadInstances:
        return None


def _one_by_one(signature: Signature, rows: Rows, refuse: Refuse) -> Iterator[tuple[int, Columns]]:
    for index in range(len(rows)):
        try:
            yield index, instances.columns(signature, [rows.instance(index)])
        except instances.BadInstances as error:
            refuse(rows.bad(index, str(error).replace("instances[0].", "").replace("instances[0]", "the row")))


def _joined(singles: Iterator[tuple[int, Columns]]) -> Iterator[Part]:
    indices: list[int] = []
    columns: list[Columns] = []
    for index, row in singles:
        if columns and _shapes(row) != _shapes(columns[0]):
            yield np.array(indices), concatenate(columns)
            indices, columns = [], []
        indices.append(index)
        columns.append(row)
    if columns:
        yield np.array(indices), concatenate(columns)


def _shapes(columns: Columns) -> list[tuple[int, ...]]:
    return [values.shape[1:] for values in columns.values()]


# --- columns -------------------------------------------------------------------------------------------


def _fast(tensor: Tensor, column: Column) -> NDArray[Any] | None:
    if len(tensor.shape) > 1:
        return None
    try:
        return _of_list(tensor.dtype, column) if isinstance(column, list) else _of_arrow(tensor.dtype, column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError, UnicodeEncodeError):
        return None


def _of_list(dtype: str, values: list[Any]) -> NDArray[Any] | None:
    """Python's own types, as JSON has them: their set tells at once whether any value is of another."""
    kinds = set(map(type, values))
    if dtype == "string":
        if kinds == {str}:
            return _objects([value.encode() for value in values])
        return _objects(values) if kinds == {bytes} else None
    if dtype == "bool":
        return np.array(values, bool) if kinds == {bool} else None
    if kinds == {int}:
        return _number(dtype, np.array(values, np.int64))
    return _number(dtype, np.array(values, np.float64)) if kinds <= {int, float} else None


def _of_arrow(dtype: str, column: pa.Array) -> NDArray[Any] | None:
    if column.null_count:
        return None
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if dtype == "string":
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)
        return column.cast(pa.large_binary()).to_numpy(zero_copy_only=False) if text else None
    if dtype == "bool":
        return column.to_numpy(zero_copy_only=False) if pa.types.is_boolean(kind) else None
    if pa.types.is_integer(kind):
        return _number(dtype, column.cast(pa.int64()).to_numpy(zero_copy_only=False))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _number(dtype, column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return None


def _number(dtype: str, values: NDArray[Any]) -> NDArray[Any] | None:
    """Numbers in the tensor's type, if all of them are in its range."""
    whole = dtype.startswith(("int", "uint"))
    if values.dtype == np.int64:
        limits = np.iinfo(dtype) if whole else None
        fits = limits is None or (values.min() >= limits.min and values.max() <= limits.max)
        return values.astype(dtype) if fits else None
    if whole:  # Beyond 2**53 a float no longer says which integer it is, so let those go the slow way.
        fits = bool((np.abs(values) <= 2**53).all()) and bool((values == np.floor(values)).all())
        return _number(dtype, values.astype(np.int64)) if fits else None
    return values.astype(dtype) if bool((np.abs(values) <= instances.GREATEST_FLOAT).all()) else None


def _objects(values: list[bytes]) -> NDArray[Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


# --- what an Arrow table and the text of a CSV file mean in JSON ------------------------------------------


def of_table(table: dict[str, pa.Array], index: int) -> dict[str, Any]:
    """Returns a row of typed columns as a server would be asked about it; what is null is not in it."""
    found = {name: column[index].as_py() for name, column in table.items()}
    return {name: _plain(value) for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def parsed(tensor: Tensor, texts: pa.Array) -> pa.Array | None:
    """Returns a column of text in the type of its tensor; None if any of it does not parse."""
    if tensor.dtype == "string":
        return texts
    for kind in _kinds(tensor):
        try:
            return pc.cast(pc.utf8_trim_whitespace(texts), kind)
        except pa.ArrowInvalid:
            continue
    return None


def parsed_text(tensor: Tensor, text: str) -> Any:
    """Returns a text in the type of its tensor, or as it is where it does not parse: the refusal shows it then."""
    array = parsed(tensor, pa.array([text], pa.string()))
    return text if array is None else array[0].as_py()


def _kinds(tensor: Tensor) -> tuple[pa.DataType, ...]:
    if tensor.dtype == "bool":
        return (pa.bool_(),)
    return (pa.int64(), pa.float64()) if tensor.dtype.startswith(("int", "uint")) else (pa.float64(),)
