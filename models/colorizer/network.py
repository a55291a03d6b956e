"""The networks: what they paint, how it becomes a picture, and their loss.

The chroma network is several small networks of one form side by side, each a U-Net (Ronneberger, Fischer & Brox 2015,
"U-Net", MICCAI, LNCS 9351, 234-241) from luminance to chroma at a quarter of the height and width: eyes see colour
coarsely, too. Their answers are averaged (Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive
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
COARSE = 4
"""Pixels on each side for which the chroma network paints one chroma."""
UNIT = 0.1
"""Chroma that an activation of 1 stands for: that of a lively colour."""


def build(settings: Mapping[str, Any], tint: tuple[float, float]) -> keras.Model:
    """Returns the untrained network: gray [n, h, w, 1] from -1 to 1 to what it paints.

    `network=chroma` paints chroma (Cb, Cr), [n, h / COARSE, w / COARSE, 2]; in training one for each of its members,
    [..., 2 * members]. `network=reference` paints RGB, [n, h, w, 3] from -1 to 1. h and w are multiples of `STRIDE`.
    Untrained, the first paints `tint` everywhere.

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
    """Chroma of several networks: side by side in training, averaged over networks and mirror images otherwise.

    Args:
      members: networks from gray to the chroma's distance from `tint`, in units of `UNIT`.
      tint: mean Cb and Cr.
      saturation: factor on the distance of the average from its own mean over the picture; not in training.
    """

    def __init__(self, members: Sequence[keras.Model], tint: tuple[float, float], saturation: float) -> None:
        super().__init__(name="painter")
        self.members, self.tint, self.saturation = list(members), tint, saturation

    def call(self, gray: Any, training: bool = False) -> Any:
        """Returns chroma, [n, h / COARSE, w / COARSE, 2]; in training [..., 2 * members]."""
        if training:
            return tf.concat([self.tint + UNIT * member(gray, training=True) for member in self.members], axis=-1)
        mirrored = tf.reverse(gray, [2])
        answers = [member(gray, training=False) for member in self.members]
        answers += [tf.reverse(member(mirrored, training=False), [2]) for member in self.members]
        chroma = self.tint + UNIT * tf.add_n(answers) / len(answers)
        mean = tf.reduce_mean(chroma, axis=(1, 2), keepdims=True)
        return mean + self.saturation * (chroma - mean)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the chroma outside of training."""
        return (shape[0], *(side and side // COARSE for side in shape[1:3]), 2)


def _member(filters: Sequence[int], dropout: float) -> keras.Model:
    """One network: a quarter of the sides at once, then a halving a level, and back up to a quarter."""
    gray = keras.Input((None, None, 1))
    features = _convolved(gray, filters[0], size=7, strides=COARSE)
    skips = [features := _convolved(features, filters[0])]
    for level in filters[1:]:
        features = _convolved(features, level, strides=2)
        skips.append(features := _convolved(features, level))
    features = keras.layers.SpatialDropout2D(dropout)(features)
    for level, skip in zip(filters[-2::-1], skips[-2::-1], strict=True):
        features = keras.layers.Conv2D(level, 1)(features)
        features = keras.layers.UpSampling2D(interpolation="bilinear")(features)
        features = _convolved(keras.layers.Add()([features, skip]), level)
    features = keras.layers.SpatialDropout2D(dropout)(features)
    return keras.Model(gray, keras.layers.Conv2D(2, 1, kernel_initializer="zeros")(features))


def _convolved(features: Any, filters: int, *, size: int = 3, strides: int = 1) -> Any:
    convolved = keras.layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(features)
    # A training has hundreds of steps: statistics with Keras' momentum of .99 would still remember the first ones.
    return keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.9)(convolved))


def finish(painted: Any, gray: Any) -> Any:
    """Returns the RGB picture, [n, h, w, 3] from -1 to 1.

    Chroma is brought to gray's size and joined to it; RGB is what it is.

    Args:
      painted: what the network paints outside of training, [n, h', w', 2 or 3].
      gray: [n, h, w, 1], -1 to 1.
    """
    if painted.shape[-1] == 3:
        return painted
    return colours.join(gray, tf.image.resize(painted, tf.shape(gray)[1:3]))


def loss(painted: Any, rgb: Any) -> Any:
    """Returns the mean squared error of each picture, [n], in units of RGB from -1 to 1; of several members, the mean.

    For chroma it is the error against the mean chroma of `COARSE` by `COARSE` pixels, as if no pixel left the range of
    RGB: the rest of the error no coarse chroma can avoid.

    Args:
      painted: what the network paints, [n, h', w', 3 or 2 * members].
      rgb: the true colours, [n, h, w, 3], -1 to 1.
    """
    if painted.shape[-1] == 3:
        return tf.reduce_mean(tf.square(painted - rgb), axis=(1, 2, 3))
    true = tf.nn.avg_pool2d(colours.chroma(rgb), COARSE, COARSE, "VALID")[..., tf.newaxis, :]
    members = tf.reshape(painted, tf.concat([tf.shape(painted)[:3], [-1, 2]], axis=0))
    return tf.reduce_mean(tf.square(colours.offsets(members - true)), axis=(1, 2, 3, 4))
