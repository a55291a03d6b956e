"""Rows without any meaning, to ask a model about where nobody brings others."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runners.serving.loaded import Columns, Signature, Tensor

SIDE = 32
"""Length of an axis that may have any."""


def drawn_rows(signature: Signature, draw: np.random.Generator, rows: int) -> Columns:
    """Returns so many rows that a signature may be asked about, without any meaning."""
    return {name: _drawn(tensor, draw, rows) for name, tensor in signature.inputs.items()}


def _drawn(tensor: Tensor, draw: np.random.Generator, rows: int) -> NDArray[Any]:
    shape = [rows, *(SIDE if side is None else side for side in tensor.shape[1:])]
    if tensor.dtype == "string":
        values = np.empty(shape, object)
        values[...] = _picture(draw) if tensor.name.endswith("_bytes") else b""
        return values
    if tensor.dtype.startswith(("int", "uint")):
        return draw.integers(0, 100, shape).astype(tensor.dtype)
    # Single numbers of all sizes; images and the like from -1 to 1.
    values = 10 ** draw.uniform(-1, 3, shape) if len(shape) == 1 else draw.uniform(-1, 1, shape)
    return values.astype(tensor.dtype)


def _picture(draw: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw.integers(0, 256, (SIDE, SIDE), np.uint8)).save(file, "PNG")
    return file.getvalue()
