"""Random variants of training pictures, as one pure TensorFlow function."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from models.colorizer import colours

SMALLEST = 0.8
"""Least share of the sides that a crop keeps."""
EXPONENT = 1.1
"""Luminance (0 to 1) is raised to a power between 1 / EXPONENT and EXPONENT."""


def plain(colour: Any) -> tuple[Any, Any]:
    """Returns gray [n, h, w, 1] and RGB [n, h, w, 3], floats from -1 to 1, of pictures of bytes, [n, h, w, 3]."""
    rgb = tf.cast(colour, tf.float32) / 127.5 - 1
    return colours.luminance(rgb), rgb


def augmented(colour: Any, seed: Any) -> tuple[Any, Any]:
    """Returns a random variant of each picture: what `plain` returns, mirrored, cropped and relit.

    Half of the pictures are mirrored left to right; each is cropped to a random window of at least `SMALLEST` of its
    sides and stretched to the size it had; the luminance that the network sees, not the colours that it must paint,
    is raised to a random power. Same pictures and seed, same variants.

    Args:
      colour: bytes, [n, h, w, 3].
      seed: two integers, [2].
    """
    seeds = tf.random.split(seed, 2)
    rgb = _cropped(colour, seeds[0])
    return _relit(colours.luminance(rgb), seeds[1]), rgb


def _cropped(colour: Any, seed: Any) -> Any:
    shape = tf.shape(colour)
    top, left, high, wide, mirror = tf.unstack(tf.random.stateless_uniform((5, shape[0]), seed))
    high, wide = SMALLEST + (1 - SMALLEST) * high, SMALLEST + (1 - SMALLEST) * wide
    top, left = top * (1 - high), left * (1 - wide)
    # crop_and_resize mirrors where the left edge lies right of the right one.
    first = tf.where(mirror < 0.5, left, left + wide)
    last = tf.where(mirror < 0.5, left + wide, left)
    boxes = tf.stack([top, first, top + high, last], axis=1)
    cropped = tf.image.crop_and_resize(colour, boxes, tf.range(shape[0]), shape[1:3])
    return tf.ensure_shape(cropped / 127.5 - 1, colour.shape)


def _relit(gray: Any, seed: Any) -> Any:
    limit = tf.math.log(EXPONENT)
    power = tf.exp(tf.random.stateless_uniform((tf.shape(gray)[0], 1, 1, 1), seed, -limit, limit))
    return 2 * tf.maximum((gray + 1) / 2, 0) ** power - 1
