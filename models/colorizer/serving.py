"""The saved model: three signatures that answer alike.

| signature          | asked with                               | answers                                    |
|--------------------|------------------------------------------|--------------------------------------------|
| `serving_default`  | `gray`: [n, h, w, 1] floats, any h and w | `features.RGB`: [n, h, w, 3] floats        |
| `serving_examples` | `examples`: serialized tf.Examples, [n]  | the same; h and w are the trained size     |
| `serving_bytes`    | `features.ENCODED`: pictures, [n]        | `features.PNG`: PNG files of the same sizes |

Floats run from -1 to 1. The feature `gray` of an example is an encoded picture, like those of `serving_bytes`.
Encoded pictures are PNG, JPEG, GIF (its first frame) or BMP, gray or in colours, of which only the luminance is looked
at; what is transparent counts as white. An orientation in a JPEG's metadata is not followed.

The network takes heights and widths that are multiples of `network.STRIDE`, so `serving_default` stretches what it is
asked with to the nearest ones for it. `serving_bytes` has the network paint at the trained size, whatever the size of
the picture, and brings the chroma to that size: the luminance of the answer is the picture's own, sharp. (The reference
network paints luminance too, and so blurs what is larger than it was trained on.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from models.colorizer import colours, features, network

EXAMPLES = "examples"
WHITE = 255

Tensors = dict[str, tf.Tensor]


class Servable(tf.Module):
    """What a SavedModel keeps: the variables, not the Keras model.

    A Keras 3 model as an attribute would load with `tf.saved_model.load`, but fail in loaders of the TF1 and C++ kind
    with "Could not find variable".
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.values = [variable.value for variable in model.variables]


def save(model: keras.Model, size: int, folder: str) -> None:
    """Writes the SavedModel with its three signatures.

    Args:
      model: from `network.build`.
      size: pixels of each side of the pictures that it was trained on.
      folder: local, or `gs://bucket/folder`.
    """
    tf.saved_model.save(Servable(model), folder, signatures=signatures(model, size))


def signatures(model: keras.Model, size: int) -> dict[str, Any]:
    """Returns the signatures by name, as described in this module's docstring; see `save` for the arguments."""

    def default(gray: Any) -> Tensors:
        return {features.RGB: paint(model, gray, _nearest(gray))}

    def examples(examples: Any) -> Tensors:
        parsed = tf.io.parse_example(examples, {features.GRAY: tf.io.FixedLenFeature([], tf.string)})
        gray = _map(lambda encoded: _resized(decoded(encoded), [size, size]), parsed[features.GRAY], [size, size, 1])
        return {features.RGB: paint(model, gray, [size, size])}

    def encoded(image_bytes: Any) -> Tensors:
        def coloured(picture: Any) -> Any:
            return _png(paint(model, decoded(picture)[tf.newaxis], [size, size])[0])

        return {features.PNG: _map(coloured, image_bytes, [])}

    return {
        "serving_default": _signature(default, tf.TensorSpec([None, None, None, 1], tf.float32, features.GRAY)),
        "serving_examples": _signature(examples, tf.TensorSpec([None], tf.string, EXAMPLES)),
        "serving_bytes": _signature(encoded, tf.TensorSpec([None], tf.string, features.ENCODED)),
    }


def paint(model: keras.Model, gray: Any, sides: Any) -> Any:
    """Returns the RGB pictures, [n, h, w, 3] from -1 to 1, of gray ones, [n, h, w, 1], of any height and width.

    Args:
      model: from `network.build`.
      gray: from -1 to 1.
      sides: height and width, multiples of `network.STRIDE`, at which the network sees the pictures.
    """
    painted = model(_resized(gray, sides), training=False)
    if painted.shape[-1] == len(colours.WEIGHTS):
        painted = tf.image.resize(painted, tf.shape(gray)[1:3])
    return network.finish(painted, gray)


def _nearest(gray: Any) -> Any:
    sides = tf.cast(tf.shape(gray)[1:3], tf.float32)
    return tf.maximum(tf.cast(tf.round(sides / network.STRIDE), tf.int32), 1) * network.STRIDE


def decoded(encoded: Any) -> Any:
    """Returns the luminance of an encoded picture, [h, w, 1] floats from -1 to 1; transparent pixels are white."""
    pixels = tf.ensure_shape(tf.io.decode_image(encoded, expand_animations=False), [None, None, None])
    levels = tf.cast(pixels, tf.float32) / WHITE
    # One to four channels: gray, gray and alpha, RGB, RGB and alpha. Without alpha, the white behind them stands in.
    count = tf.shape(levels)[-1]
    alpha_at = count - 1 + count % 2
    white = tf.ones_like(levels[..., :1])
    alpha = tf.concat([levels, white], axis=-1)[..., alpha_at : alpha_at + 1]
    over_white = levels[..., :alpha_at] * alpha + white - alpha
    # A single channel is taken for all three.
    return tf.ensure_shape(colours.luminance(over_white * 2 - 1), [None, None, 1])


def _png(rgb: Any) -> Any:
    return tf.io.encode_png(tf.cast(tf.round((rgb + 1) / 2 * WHITE), tf.uint8))


def _map(function: Callable[[Any], Any], encoded: Any, shape: list[int]) -> Any:
    """Applies a function to each picture by itself, as they differ in size: [n] -> [n, *shape]."""
    kind = tf.float32 if shape else tf.string
    return tf.map_fn(function, encoded, fn_output_signature=tf.TensorSpec(shape, kind))


def _resized(gray: Any, sides: Any) -> Any:
    """Gray pictures of another height and width, from -1 to 1; of the same ones they stay as they are.

    Bicubic, as the pictures were shrunk that the network was trained on. It overshoots at edges, where an encoded
    picture of that size would be clipped too.
    """
    return tf.clip_by_value(tf.image.resize(gray, sides, method="bicubic", antialias=True), -1.0, 1.0)


def _signature(function: Callable[..., Tensors], spec: tf.TensorSpec) -> Any:
    # Nothing here branches on a tensor, and AutoGraph would spend much time on Keras' code.
    return tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()
