"""From JSON to tensors and back: what Vertex AI and TensorFlow Serving call instances, a row each.

A signature's types are checked by pydantic, strictly: a number is no text, true is no number, a float is finite. Bytes
are text, or `{"b64": "..."}`. A signature with one input takes the value itself in the place of an object.
"""

from __future__ import annotations

import base64
import binascii
import reprlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, FailFast, Field, PlainValidator, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from runners.serving.loaded import Columns, Signature, Tensor, rows_of

GREATEST_FLOAT = float(np.finfo(np.float32).max)
EXACT = 2.0**53
"""Up to here, each whole number is a float of its own."""
INT64 = np.iinfo(np.int64)
SHOWN = 3
"""So many mistakes of a request are told."""
SHOWN_CHARACTERS = 60


class BadInstances(Exception):
    """A request that is not as the signature wants it: the message names rows and fields."""


def columns(signature: Signature, instances: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Returns the tensors of a batch of rows.

    Args:
      signature: what is asked.
      instances: a JSON value a row: an object with a field for each input, or the value of the only one.

    Raises:
      BadInstances: there is no row, or one is not as the signature wants it.
    """
    if not instances:
        raise BadInstances("expected at least one instance, received none")
    rows = _validated(_adapter(_key(signature)), [_named(signature, instance) for instance in instances], "instances")
    return {name: _array(tensor, [row[name] for row in rows]) for name, tensor in signature.inputs.items()}


def columns_of(signature: Signature, inputs: Any) -> dict[str, NDArray[Any]]:
    """Returns the tensors of a batch that is given by column, TensorFlow Serving's `inputs`.

    Raises:
      BadInstances: a column is missing, unknown, of another length, or not of its type.
    """
    if len(signature.inputs) == 1 and not (isinstance(inputs, Mapping) and set(inputs) == set(signature.inputs)):
        inputs = dict.fromkeys(signature.inputs, inputs)
    if not isinstance(inputs, Mapping) or set(inputs) != set(signature.inputs):
        raise BadInstances(f"expected in `inputs` the columns {', '.join(signature.inputs)}, {_received(inputs)}")
    lengths = {name: len(column) if isinstance(column, list) else None for name, column in inputs.items()}
    if None in lengths.values() or len(set(lengths.values())) != 1:
        raise BadInstances(f"expected in `inputs` lists of one length, received {lengths} (null is no list)")
    names = list(inputs)
    return columns(signature, [dict(zip(names, row, strict=True)) for row in zip(*inputs.values(), strict=True)])


def rows(answer: Columns) -> list[Any]:
    """Returns an answer's rows for JSON: an object with a field for each output, or the value of the only one.

    Numpy's numbers stay what they are; bytes become text, or `{"b64": "..."}` where they are none or their tensor's
    name ends with `_bytes`.
    """
    plain = {name: _plain(name, values) for name, values in answer.items()}
    if len(plain) == 1:
        return list(next(iter(plain.values())))
    return [{name: values[row] for name, values in plain.items()} for row in range(rows_of(answer))]


def by_column(answer: Columns) -> Any:
    """Returns an answer's columns for JSON, TensorFlow Serving's `outputs`."""
    plain = {name: _plain(name, values) for name, values in answer.items()}
    return next(iter(plain.values())) if len(plain) == 1 else plain


# --- types ---------------------------------------------------------------------------------------------


def _key(signature: Signature) -> tuple[Tensor, ...]:
    return tuple(signature.inputs.values())


@lru_cache(maxsize=64)
def _adapter(tensors: tuple[Tensor, ...]) -> TypeAdapter[list[dict[str, Any]]]:
    fields = {tensor.name: _type(tensor.dtype, len(tensor.shape) - 1) for tensor in tensors}
    row = TypedDict("Instance", fields)  # type: ignore[misc] # The fields are known at run time only.
    row.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # type: ignore[attr-defined]
    # One wrong row is enough: of thousands of mistakes each would be an object.
    rows: Any = Annotated[list[row], FailFast()]  # type: ignore[valid-type]
    return TypeAdapter(rows)


def _type(dtype: str, axes: int) -> Any:
    if axes:
        return Annotated[list[_type(dtype, axes - 1)], FailFast()]  # type: ignore[misc]
    if dtype == "string":
        return Annotated[bytes, PlainValidator(_bytes)]
    if dtype == "bool":
        return bool
    if dtype.startswith(("int", "uint")):
        info = np.iinfo(dtype)
        return Annotated[int, Field(ge=max(info.min, INT64.min), le=min(info.max, INT64.max)), BeforeValidator(_whole)]
    return Annotated[float, Field(ge=-GREATEST_FLOAT, le=GREATEST_FLOAT)]


def _whole(value: Any) -> Any:
    """A client whose numbers are all floats (JavaScript, protobuf's) writes 3 as 3.0.

    A larger float may have been another number: JSON's reader makes one of an integer that is too large.
    """
    return int(value) if isinstance(value, float) and abs(value) <= EXACT and value.is_integer() else value


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise ValueError("Input should be text without lone surrogates") from None
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"Input should be base64 in the field b64: {error}") from None
    raise ValueError('Input should be text, or {"b64": "..."} for bytes')


# --- from rows to tensors ------------------------------------------------------------------------------


def _named(signature: Signature, instance: Any) -> Any:
    """The row as an object: the value of the only input may stand for it."""
    if len(signature.inputs) > 1:
        return instance
    (name,) = signature.inputs
    return instance if isinstance(instance, dict) and set(instance) == {name} else {name: instance}


def _validated(adapter: TypeAdapter[list[dict[str, Any]]], value: list[Any], where: str) -> list[dict[str, Any]]:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        told = [f"{where}{_place(one['loc'])}: {one['msg']}, {_received(one['input'])}" for one in found[:SHOWN]]
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise BadInstances("; ".join(told) + more) from None


def _place(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part[:SHOWN_CHARACTERS]}" for part in parts)


def shown(value: Any) -> str:
    """Returns what a message says of a value that was received, cut short."""
    text = reprlib.repr(value)  # A list in a list a thousand times over has no `repr`.
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _received(value: Any) -> str:
    return f"received {shown(value)}"


def _array(tensor: Tensor, values: list[Any]) -> NDArray[Any]:
    try:
        array = np.asarray(values, object if tensor.dtype == "string" else tensor.dtype)
    except (ValueError, OverflowError):
        raise BadInstances(f"{tensor.name}: expected the same lengths in all instances; ask them one by one") from None
    # An empty list has fewer axes than its type.
    fits = array.ndim == len(tensor.shape) and array.size
    if not fits or any(want not in (None, got) for want, got in zip(tensor.shape, array.shape, strict=True)):
        raise BadInstances(f"{tensor.name}: expected the shape {_shape(tensor)}, received {list(array.shape[1:])}")
    return array


def _shape(tensor: Tensor) -> str:
    return f"[{', '.join('any' if side is None else str(side) for side in tensor.shape[1:])}]"


def _plain(name: str, values: NDArray[Any]) -> Any:
    if values.dtype.kind not in "OS":
        return values
    return [_plain(name, value) if isinstance(value, np.ndarray) else _text(name, value) for value in values]


def _text(name: str, value: bytes) -> Any:
    try:
        if not name.endswith("_bytes"):
            return value.decode()
    except UnicodeDecodeError:
        pass
    return {"b64": base64.b64encode(value).decode()}
