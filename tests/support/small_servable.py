"""A small saved model with a signature of each kind, pushed: it calculates, and was not trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from pipeline.push import Told, draft, publish

ROW = {"amount": tf.float32, "count": tf.int64, "country": tf.string}


class _Calculator(tf.Module):
    """`total` is amount times count, `shout` the country in capitals."""

    def __init__(self) -> None:
        super().__init__()
        self.one = tf.Variable(1.0)

    def answer(self, **row: Any) -> Any:
        total = self.one * row["amount"] * tf.cast(row["count"], tf.float32)
        return {"total": total, "shout": tf.strings.upper(row["country"])}

    def examples(self, examples: Any) -> Any:
        spec = {name: tf.io.FixedLenFeature([], kind) for name, kind in ROW.items()}
        return self.answer(**tf.io.parse_example(examples, spec))

    def totals(self, examples: Any) -> Any:
        return {"total": self.examples(examples)["total"]}

    def pictures(self, image_bytes: Any) -> Any:
        """The negative of each picture, and how many pixels it has."""

        def negative(encoded: Any) -> Any:
            pixels = tf.io.decode_image(encoded, channels=1, expand_animations=False)
            pixels = tf.ensure_shape(pixels, [None, None, 1])
            return tf.io.encode_png(255 - pixels), tf.size(pixels)

        spec = (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32))
        png, pixels = tf.map_fn(negative, image_bytes, fn_output_signature=spec)
        return {"png_bytes": png, "pixels": pixels}

    def arrays(self, gray: Any) -> Any:
        return {"rgb": self.one * tf.repeat(gray, 3, axis=-1)}


def push_small_servable(destination: Path) -> Path:
    """Saves and pushes it; returns the folder of the version."""
    folder = destination.parent / "saved"
    model = _Calculator()
    text = tf.TensorSpec([None], tf.string)

    def signature(function: Any, **specs: Any) -> Any:
        return tf.function(function, autograph=False).get_concrete_function(**specs)

    signatures = {
        "serving_default": signature(model.answer, **{name: tf.TensorSpec([None], ROW[name], name) for name in ROW}),
        "serving_examples": signature(model.examples, examples=text),
        "totals": signature(model.totals, examples=text),
        "serving_bytes": signature(model.pictures, image_bytes=text),
        "arrays": signature(model.arrays, gray=tf.TensorSpec([None, None, None, 1], tf.float32)),
    }
    tf.saved_model.save(model, str(folder), signatures=signatures)
    told = Told(model="clv", pipeline=destination.name, data_digest="d" * 16, settings={}, bounds={})
    made = draft(told, folder, run="", model_uri=str(folder), metrics={})
    return Path(publish(str(destination), folder, made, 10).version.path)


def example(**features: Any) -> bytes:
    """Returns a serialized tf.Example of single values."""
    made = tf.train.Example()
    for name, value in features.items():
        feature = made.features.feature[name]
        if isinstance(value, float):
            feature.float_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.append(value if isinstance(value, bytes) else value.encode())
    serialized: bytes = made.SerializeToString()
    return serialized
