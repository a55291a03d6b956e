"""SavedModels with the signatures of the project's models and next to nothing behind them: made and loaded in a moment.

The customers' total is `past + factor * n_purchases`. Pictures come back inverted, three times the gray.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.push import Told, Version, draft, publish

CUSTOMER: dict[str, Any] = {
    "n_purchases": 3,
    "avg_purchase_size": 100,
    "avg_purchase_revenue": 300.5,
    "customer_age": 80,
    "days_since_last_purchase": 10,
    "past_monetary_value": 901.5,
    "tenure_days": 90,
    "revenue_30d": 300.5,
    "revenue_91d": 901.5,
    "revenue_182d": 901.5,
    "purchases_91d": 3,
    "purchases_182d": 3,
    "customer_country": "France",
}
TOTAL, FUTURE = "total_monetary_value", "future_monetary_value"
SIDE = 8
"""Height and width that pictures of tf.Examples are brought to."""


def push(destination: Path, folder: Path, model: str) -> Version:
    """Pushes a saved model; pushes of different models to one destination get rising numbers."""
    told = Told(model=model, pipeline=f"{model}-small", data_digest="d" * 16, settings={}, bounds={})
    manifest = draft(told, folder, run="", model_uri=str(folder), metrics={})
    return publish(str(destination), folder, manifest).version


def push_clv(destination: Path, scratch: Path, factor: float = 10.0) -> Version:
    """Pushes customers' totals."""
    folder = scratch / f"clv-{factor:g}"
    save_clv(folder, factor)
    return push(destination, folder, "clv")


def push_colorizer(destination: Path, scratch: Path) -> Version:
    """Pushes inverted pictures."""
    folder = scratch / "colorizer"
    save_colorizer(folder)
    return push(destination, folder, "colorizer")


def save_clv(folder: Path, factor: float) -> None:
    """Writes a SavedModel with the signatures `serving_default` and `serving_examples` of the model clv."""
    import tensorflow as tf

    from models.clv import features

    kinds = {name: tf.int64 if name in features.INTEGER_INPUTS else tf.float32 for name in features.NUMERIC_INPUTS}
    kinds[features.COUNTRY] = tf.string
    module = tf.Module()
    module.factor = tf.Variable(float(factor))

    def answer(raw: Any) -> Any:
        future = module.factor * tf.cast(raw["n_purchases"], tf.float32)
        said = {features.MEDIAN: 0.8 * future, features.LOW: future / 2, features.HIGH: 2 * future}
        said[features.BUYS_AGAIN] = tf.minimum(future / 100, 1.0)
        return {features.TOTAL: raw[features.PAST] + future, features.FUTURE: future, **said}

    spec = {n: tf.io.FixedLenFeature([], kind, features.UNKNOWN_CUSTOMER[n]) for n, kind in kinds.items()}
    named = {name: tf.TensorSpec([None], kind, name) for name, kind in kinds.items()}
    _save(
        module,
        folder,
        serving_default=(answer, named),
        serving_examples=(
            lambda examples: answer(tf.io.parse_example(examples, spec)),
            tf.TensorSpec([None], tf.string, "examples"),
        ),
    )


def save_colorizer(folder: Path) -> None:
    """Writes a SavedModel with the three signatures of the model colorizer."""
    import tensorflow as tf

    from models.colorizer import features

    def invert(gray: Any) -> Any:
        return {features.RGB: tf.repeat(-gray, 3, axis=-1)}

    def decoded(encoded: Any) -> Any:
        pixels = tf.io.decode_image(encoded, channels=1, expand_animations=False)
        return tf.ensure_shape(tf.cast(pixels, tf.float32) / 127.5 - 1, [None, None, 1])

    def of_examples(examples: Any) -> Any:
        parsed = tf.io.parse_example(examples, {features.GRAY: tf.io.FixedLenFeature([], tf.string)})
        gray = tf.map_fn(
            lambda one: tf.image.resize(decoded(one), [SIDE, SIDE]),
            parsed[features.GRAY],
            fn_output_signature=tf.TensorSpec([SIDE, SIDE, 1], tf.float32),
        )
        return invert(gray)

    def of_bytes(image_bytes: Any) -> Any:
        def png(one: Any) -> Any:
            rgb = invert(decoded(one)[tf.newaxis])[features.RGB][0]
            return tf.io.encode_png(tf.cast(tf.round((rgb + 1) * 127.5), tf.uint8))

        return {features.PNG: tf.map_fn(png, image_bytes, fn_output_signature=tf.TensorSpec([], tf.string))}

    _save(
        tf.Module(),
        folder,
        serving_default=(invert, tf.TensorSpec([None, None, None, 1], tf.float32, features.GRAY)),
        serving_examples=(of_examples, tf.TensorSpec([None], tf.string, "examples")),
        serving_bytes=(of_bytes, tf.TensorSpec([None], tf.string, features.ENCODED)),
    )


def _save(module: Any, folder: Path, **asked: Any) -> None:
    import tensorflow as tf

    functions = {
        name: tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()
        for name, (function, spec) in asked.items()
    }
    tf.saved_model.save(module, str(folder), signatures=functions)
