"""What TensorBoard shows of any training: curves, and histograms of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf


class Board:
    """Writes to a folder of TensorBoard's; without a folder it does nothing."""

    def __init__(self, folder: str | None) -> None:
        """Opens the folder, local or `gs://`; None is none."""
        self.writer = tf.summary.create_file_writer(folder) if folder else tf.summary.create_noop_writer()
        self.shows = bool(folder)

    def write_scalars(self, epoch: int, values: Mapping[str, float | None]) -> None:
        """Adds a point to each curve, by name; those without a value are left out."""
        with self.writer.as_default(step=epoch):
            for name, value in values.items():
                if value is not None:
                    tf.summary.scalar(name, value)

    def write_network(self, epoch: int, model: keras.Model) -> None:
        """Adds histograms of a network's weights."""
        if not self.shows:
            return
        with self.writer.as_default(step=epoch):
            for variable in model.trainable_variables:
                tf.summary.histogram(variable.path, variable.value)
        self.writer.flush()

    def close(self) -> None:
        """Writes what is left and closes the files."""
        self.writer.close()
