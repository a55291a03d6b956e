"""What TensorBoard shows of the colorizer's training besides curves and histograms: pictures of each epoch."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from models import board
from models.colorizer import augment, network
from models.colorizer.pictures import Bytes

SHOWN = 6
"""Pictures that are shown after each epoch."""


class Board(board.Board):
    """Writes to a folder of TensorBoard's; without a folder it does nothing."""

    def __init__(self, folder: str | None, pictures: Bytes) -> None:
        """Opens the folder.

        Args:
          folder: local or `gs://`, or None.
          pictures: the first of them are shown, [n, h, w, 3].
        """
        super().__init__(folder)
        self.pictures = pictures[:SHOWN]

    def write_network(self, epoch: int, model: keras.Model) -> None:
        """Adds histograms of a network's weights, and pictures side by side: gray, predicted, true."""
        if not self.shows:
            return
        with self.writer.as_default(step=epoch):
            tf.summary.image("gray | predicted | true", _side_by_side(model, self.pictures), max_outputs=SHOWN)
        super().write_network(epoch, model)


def _side_by_side(model: keras.Model, pictures: Bytes) -> Any:
    gray, rgb = augment.plain(pictures)
    predicted = network.finish(model(gray, training=False), gray)
    return (tf.concat([tf.image.grayscale_to_rgb(gray), predicted, rgb], axis=2) + 1) / 2
