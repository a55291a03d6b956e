"""How a server is asked about pictures of the examples: as floats, or as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.colorizer import features


def as_floats(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Returns the input of `serving_default`: gray, [n, h, w, 1] from -1 to 1."""
    return {features.GRAY: decoded(columns[features.GRAY], channels=1)}


def as_files(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Returns the input of `serving_bytes`: the pictures' files, [n]."""
    return {features.ENCODED: columns[features.GRAY]}


def from_files(outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Returns the answer of `serving_bytes` as `serving_default` gives it: RGB, [n, h, w, 3] from -1 to 1."""
    return {features.RGB: decoded(outputs[features.PNG], channels=3)}


def decoded(files: NDArray[Any], channels: int) -> NDArray[np.float32]:
    """Returns PNG files of one size, [n], as float32 of shape [n, h, w, channels], -1 to 1."""
    pictures = np.stack([tf.io.decode_png(file, channels).numpy() for file in files])
    scaled: NDArray[np.float32] = pictures.astype(np.float32) / np.float32(127.5) - 1
    return scaled
