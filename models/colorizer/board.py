"""What TensorBoard shows of a training: curves, histograms of the weights, and pictures of each epoch."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from models.colorizer import augment, network
from models.colorizer.pictures import Bytes

SHOWN = 6
"""Pictures that are shown after each epoch."""


class Board:
    """Writes to a folder of TensorBoard's; without a folder it does nothing."""

    def __init__(self, folder: str | None, pictures: Bytes) -> None:
        """Opens the folder.

        Args:
          folder: local or `gs://`, or None.
          pictures: the first of them are shown, [n, h, w, 3].
        """
        self.writer = tf.summary.create_file_writer(folder) if folder else tf.summary.create_noop_writer()
        self.shows = bool(folder)
        self.pictures = pictures[:SHOWN]

    def write_scalars(self, epoch: int, values: dict[str, float | None]) -> None:
        """Adds a point to each curve, by name; those without a value are left out."""
        with self.writer.as_default(step=epoch):
            for name, value in values.items():
                if value is not None:
                    tf.summary.scalar(name, value)

    def write_network(self, epoch: int, model: keras.Model) -> None:
        """Adds histograms of a network's weights, and pictures side by side: gray, predicted, true."""
        if not self.shows:
            return
        with self.writer.as_default(step=epoch):
            for variable in model.trainable_variables:
                tf.summary.histogram(variable.path, variable.value)
            tf.summary.image("gray | predicted | true", _side_by_side(model, self.pictures), max_outputs=SHOWN)

    def close(self) -> None:
        """Writes what is left and closes the files."""
        self.writer.close()


def _side_by_side(model: keras.Model, pictures: Bytes) -> Any:
    gray, rgb = augment.plain(pictures)
    predicted = network.finish(model(gray, training=False), gray)
    return (tf.concat([tf.image.grayscale_to_rgb(gray), predicted, rgb], axis=2) + 1) / 2
