"""Small pictures with something to learn, as Transform leaves them, and a network small enough for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.colorizer import features, network

DISC, GROUND = (220, 90, 30), (40, 90, 190)


def discs(count: int, size: int = 16, seed: int = 5) -> NDArray[np.uint8]:
    """Orange discs on blue, no two alike, [count, size, size, 3]."""
    draw = np.random.Generator(np.random.PCG64(seed))
    rows, columns = np.mgrid[:size, :size]
    middles, radii = draw.uniform(0.3, 0.7, (count, 2)) * size, draw.uniform(0.2, 0.4, count) * size
    y, x = middles.T[..., None, None]
    inside = (rows - y) ** 2 + (columns - x) ** 2 < radii[:, None, None] ** 2
    colour = np.where(inside[..., None], DISC, GROUND) + draw.normal(0, 5, (count, size, size, 3))
    return np.asarray(np.clip(np.round(colour), 0, 255), np.uint8)


def png(picture: Any) -> bytes:
    """The PNG file of a picture of bytes, [h, w, channels]."""
    encoded: bytes = tf.io.encode_png(picture).numpy()
    return encoded


def gray_of(picture: Any) -> NDArray[np.uint8]:
    """The luminance of a picture of bytes, [h, w, 1]."""
    return np.asarray(np.round(picture @ np.array([0.299, 0.587, 0.114]))[..., None], np.uint8)


def write_examples(path: Path, pictures: Iterable[Any]) -> str:
    """Writes gzipped TFRecords, and returns the path as a file pattern."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for picture in pictures:
            example = tf.train.Example()
            example.features.feature[features.COLOUR].bytes_list.value.append(png(picture))
            example.features.feature[features.GRAY].bytes_list.value.append(png(gray_of(picture)))
            writer.write(example.SerializeToString())
    return str(path)


def tiny_network(*, normalized: bool = False) -> keras.Model:
    """Paints curves at a quarter of the size, by 100 weights; `normalized`: with batch norm and dropout."""
    keras.utils.set_random_seed(1)
    gray = keras.Input((None, None, 1))
    hidden = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(gray)
    if normalized:
        hidden = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization(momentum=0.5)(hidden))
    return keras.Model(gray, keras.layers.Conv2D(network.LEVELS * 2, 1)(keras.layers.AveragePooling2D(4)(hidden)))
