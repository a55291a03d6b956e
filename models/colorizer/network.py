"""The networks: what they paint, how it becomes a picture, and their loss.

The chroma network is several small networks of one form side by side, each a U-Net (Ronneberger, Fischer & Brox 2015,
"U-Net", MICCAI, LNCS 9351, 234-241) that looks at the luminance and paints curves, coarsely: for each cell of the
picture, the chroma at `LEVELS` luminances. Where a pixel's own luminance lies between two of them, so does its chroma.
Colours thus end where the luminance does, at full resolution (Gharbi et al. 2017, "Deep bilateral learning for
real-time image enhancement", ACM Transactions on Graphics 36(4), 118, section 3.3).

The answers of the networks are averaged (Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive
uncertainty estimation using deep ensembles", NeurIPS 30, section 2.4), and so are those to the picture and its mirror
image: what one network learns from a few hundred pictures is mostly chance, and chance differs from one to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from models.colorizer import colours, reference

STRIDE = 16
"""Height and width of the networks' input are multiples of it."""
COARSE = 8
"""Pixels on each side of a cell, for which the chroma network paints one curve for each of Cb and Cr."""
LEVELS = 6
"""Luminances, evenly spread from black to white, for which a curve tells the chroma; it is linear between them."""
UNIT = 0.05
"""Chroma that an activation of 1 stands for: that of a muted colour."""


def build(settings: Mapping[str, Any], tint: tuple[float, float]) -> keras.Model:
    """Returns the untrained network: gray [n, h, w, 1] from -1 to 1 to what it paints.

    `network=chroma` paints curves, [n, h / COARSE, w / COARSE, LEVELS * 2]: Cb and Cr at black, Cb and Cr at the next
    level, and so on; in training those of each member, [..., LEVELS * members * 2]. `network=reference` paints RGB,
    [n, h, w, 3] from -1 to 1. h and w are multiples of `STRIDE`. Untrained, the first paints `tint` everywhere.

    Args:
      settings: training settings; `network`, `members`, `filters`, `dropout` and `saturation` are read.
      tint: mean Cb and Cr of the training pictures.
    """
    if settings["network"] == "reference":
        return reference.build()
    gray = keras.Input((None, None, 1), name="gray")
    members = [_member(settings["filters"], settings["dropout"]) for _ in range(settings["members"])]
    return keras.Model(gray, Painter(members, tint, settings["saturation"])(gray), name="chroma")


class Painter(keras.layers.Layer):
    """Curves of several networks: side by side in training, averaged over networks and mirror images otherwise.

    Args:
      members: networks from gray to the curves' distance from `tint`, in units of `UNIT`, [n, h', w', LEVELS * 2].
      tint: mean Cb and Cr.
      saturation: factor on the distance of the chroma from its own mean over the picture; not in training.
    """

    def __init__(self, members: Sequence[keras.Model], tint: tuple[float, float], saturation: float) -> None:
        super().__init__(name="painter")
        self.members, self.tint, self.saturation = list(members), tint, saturation

    def call(self, gray: Any, training: bool = False) -> Any:
        """Returns the curves, [n, h / COARSE, w / COARSE, LEVELS * 2]; in training [..., LEVELS * members * 2]."""
        tint = self.tint * LEVELS
        if training:
            painted = [tf.split(tint + UNIT * member(gray, training=True), LEVELS, axis=-1) for member in self.members]
            return tf.concat([chroma for level in zip(*painted, strict=True) for chroma in level], axis=-1)
        mirrored = tf.reverse(gray, [2])
        answers = [member(gray, training=False) for member in self.members]
        answers += [tf.reverse(member(mirrored, training=False), [2]) for member in self.members]
        curves = tint + UNIT * tf.add_n(answers) / len(answers)
        mean = tf.tile(tf.reduce_mean(_chroma(curves, gray), axis=(1, 2), keepdims=True), [1, 1, 1, LEVELS])
        # Curves that are moved away from the mean move the chroma away from it, as that is linear in them.
        return mean + self.saturation * (curves - mean)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the curves outside of training."""
        return (shape[0], *(side and side // COARSE for side in shape[1:3]), LEVELS * 2)


class Doubled(keras.layers.Layer):
    """Twice the height and width, bilinear. Keras' own layer does not export with free sides on both TFX lines."""

    def call(self, features: Any) -> Any:
        """Returns [n, 2 h, 2 w, c] of [n, h, w, c]."""
        return tf.image.resize(features, 2 * tf.shape(features)[1:3])

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the result."""
        return (shape[0], *(side and 2 * side for side in shape[1:3]), shape[3])


def _member(filters: Sequence[int], dropout: float) -> keras.Model:
    """One network: a quarter of the sides at once, then a halving a level, and back up to the cells."""
    gray = keras.Input((None, None, 1))
    features = _convolved(gray, filters[0], size=7, strides=4)
    skips = []
    for level in filters[1:]:
        features = _convolved(features, level, strides=2)
        skips.append(features := _convolved(features, level))
    features = keras.layers.SpatialDropout2D(dropout)(features)
    for level, skip in zip(filters[-2:0:-1], skips[-2::-1], strict=True):
        features = keras.layers.Conv2D(level, 1)(features)
        features = Doubled()(features)
        features = _convolved(keras.layers.Add()([features, skip]), level)
    features = keras.layers.SpatialDropout2D(dropout)(features)
    return keras.Model(gray, keras.layers.Conv2D(LEVELS * 2, 1, kernel_initializer="zeros")(features))


def _convolved(features: Any, filters: int, *, size: int = 3, strides: int = 1) -> Any:
    convolved = keras.layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(features)
    # A training has hundreds of steps: statistics with Keras' momentum of .99 would still remember the first ones.
    return keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.9)(convolved))


def _chroma(curves: Any, gray: Any) -> Any:
    """Chroma of every pixel, [n, h, w, members * 2], read off the curves around it at its luminance."""
    around = tf.split(tf.image.resize(curves, tf.shape(gray)[1:3]), LEVELS, axis=-1)
    position = (gray + 1) / 2 * (LEVELS - 1)
    return tf.add_n([tf.nn.relu(1 - tf.abs(position - level)) * chroma for level, chroma in enumerate(around)])


def finish(painted: Any, gray: Any) -> Any:
    """Returns the RGB picture, [n, h, w, 3] from -1 to 1.

    Chroma is read off the curves at gray's luminance and joined to it; RGB is what it is.

    Args:
      painted: what the network paints outside of training, [n, h', w', LEVELS * 2 or 3].
      gray: [n, h, w, 1], -1 to 1.
    """
    if painted.shape[-1] == 3:
        return painted
    return colours.join(gray, _chroma(painted, gray))


def loss(painted: Any, gray: Any, rgb: Any) -> Any:
    """Returns the mean squared error of each picture, [n], in units of RGB from -1 to 1; of several members, the mean.

    For curves it is the error of the chroma, as if no pixel left the range of RGB: the luminance is always exact.

    Args:
      painted: what the network paints, [n, h', w', 3 or LEVELS * members * 2].
      gray: what the network saw, [n, h, w, 1]; a variant in another light than `rgb` has.
      rgb: the true colours, [n, h, w, 3], -1 to 1.
    """
    if painted.shape[-1] == 3:
        return tf.reduce_mean(tf.square(painted - rgb), axis=(1, 2, 3))
    chroma = _chroma(painted, gray)
    members = tf.reshape(chroma, tf.concat([tf.shape(gray)[:3], [-1, 2]], axis=0))
    errors = colours.offsets(members - colours.chroma(rgb)[..., tf.newaxis, :])
    return tf.reduce_mean(tf.square(errors), axis=(1, 2, 3, 4))
