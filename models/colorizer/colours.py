"""Luminance and chroma: how a picture falls apart into gray and colour, and how the two are joined again.

All functions take and return TensorFlow tensors of floats, [..., h, w, channels]. Gray and RGB run from -1 to 1,
chroma (Cb, Cr) from -.5 to .5. The split is that of JPEG (ITU-T T.871, section 7), full range, with R, G, B and Y
from 0 to 1:

    Y = .299 R + .587 G + .114 B,   Cb = (B - Y) / 1.772,   Cr = (R - Y) / 1.402
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

WEIGHTS = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the luminance."""
BLUE = 2 * (1 - WEIGHTS[2])
"""B - Y for a Cb of 1."""
RED = 2 * (1 - WEIGHTS[0])
"""R - Y for a Cr of 1."""


def luminance(rgb: Any) -> Any:
    """Returns the gray picture, [..., 1] from -1 to 1, of an RGB picture, [..., 3] from -1 to 1."""
    return tf.reduce_sum(rgb * tf.constant(WEIGHTS, rgb.dtype), axis=-1, keepdims=True)


def chroma(rgb: Any) -> Any:
    """Returns the chroma (Cb, Cr), [..., 2] from -.5 to .5, of an RGB picture, [..., 3] from -1 to 1."""
    difference = (rgb - luminance(rgb)) / 2
    return tf.stack([difference[..., 2] / BLUE, difference[..., 0] / RED], axis=-1)


def offsets(chroma: Any) -> Any:
    """Returns what a chroma adds to gray: RGB less luminance, [..., 3], in units of -1 to 1; linear in the chroma."""
    blue, red = 2 * BLUE * chroma[..., 0], 2 * RED * chroma[..., 1]
    green = -(WEIGHTS[0] * red + WEIGHTS[2] * blue) / WEIGHTS[1]
    return tf.stack([red, green, blue], axis=-1)


def join(gray: Any, chroma: Any) -> Any:
    """Returns the RGB picture, [..., 3] from -1 to 1, of a luminance and a chroma of the same height and width.

    Where the two leave the range of RGB, the chroma of that pixel is scaled down as far as needed. So the luminance
    stays exact and the hue too; clipping would change both.

    Args:
      gray: [..., 1], -1 to 1.
      chroma: (Cb, Cr), [..., 2].
    """
    added = offsets(chroma)
    highest = tf.reduce_max(added, axis=-1, keepdims=True)
    lowest = tf.reduce_min(added, axis=-1, keepdims=True)
    # Luminance is a mean of the three, so the highest is never below 0 and the lowest never above it.
    scale = tf.minimum(tf.math.divide_no_nan(1 - gray, highest), tf.math.divide_no_nan(1 + gray, -lowest))
    inside = (gray + highest <= 1) & (gray + lowest >= -1)
    return gray + tf.where(inside, tf.ones_like(scale), scale) * added
