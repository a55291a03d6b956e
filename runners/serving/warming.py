"""Asking a version once before it serves: TensorFlow prepares much when it is first asked."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runners.serving.loaded import LoadedModel, Tensor

SIDE = 32
"""Length of an axis that may have any."""


def warm_up(loaded: LoadedModel) -> None:
    """Asks each signature about a row of zeros, a small gray picture, or nothing."""
    for signature in loaded.signatures.values():
        with suppress(ValueError):  # Such a row may make no sense to the model; then the first request is slower.
            loaded.ask(signature.name, {name: _row(tensor) for name, tensor in signature.inputs.items()})


def _row(tensor: Tensor) -> NDArray[Any]:
    if tensor.dtype == "string":
        return np.array([_picture() if tensor.name.endswith("_bytes") else b""], object)
    return np.zeros([1, *(SIDE if side is None else side for side in tensor.shape[1:])], tensor.dtype)


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("L", (SIDE, SIDE)).save(file, "PNG")
    return file.getvalue()
