"""Trainers of colorizers that a gate must refuse."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from models.colorizer import colours, features

SIGNATURES = ("serving_default", "serving_examples", "serving_bytes")


def _save(fn_args: Any, chroma: tuple[float, float], offset: int = 0) -> None:
    """Saves a model that pours one chroma over every picture; files come out `offset` levels brighter."""

    def painted(gray: Any) -> Any:
        return colours.join(gray, tf.broadcast_to(tf.constant(chroma), tf.concat([tf.shape(gray)[:-1], [2]], 0)))

    def decoded(file: Any) -> Any:
        return tf.cast(tf.io.decode_png(file, 1), tf.float32) / 127.5 - 1

    def file_of(rgb: Any) -> Any:
        levels = tf.clip_by_value(tf.round((rgb + 1) * 127.5) + offset, 0, 255)
        return tf.io.encode_png(tf.cast(levels, tf.uint8))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32, name=features.GRAY)])
    def floats(gray: Any) -> Any:
        return {features.RGB: painted(gray)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(serialized: Any) -> Any:
        files = tf.io.parse_example(serialized, {features.GRAY: tf.io.FixedLenFeature([], tf.string)})[features.GRAY]
        return {features.RGB: painted(tf.map_fn(decoded, files, fn_output_signature=tf.float32))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.ENCODED)])
    def files(image_bytes: Any) -> Any:
        return {features.PNG: tf.map_fn(lambda file: file_of(painted(decoded(file))), image_bytes)}

    signatures = dict(zip(SIGNATURES, (floats, examples, files), strict=True))
    tf.saved_model.save(tf.Module(), fn_args.serving_model_dir, signatures)


def copies_gray(fn_args: Any) -> None:
    """Leaves every picture gray."""
    _save(fn_args, (0.0, 0.0))


def tints(fn_args: Any) -> None:
    """Pours the training pictures' mean chroma over every picture."""
    files = [path for pattern in fn_args.train_files for path in tf.io.gfile.glob(pattern)]
    total, count = tf.zeros(2), 0
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP"):
        parsed = tf.io.parse_single_example(record, {features.COLOUR: tf.io.FixedLenFeature([], tf.string)})
        rgb = tf.cast(tf.io.decode_png(parsed[features.COLOUR], 3), tf.float32) / 127.5 - 1
        total, count = total + tf.reduce_mean(colours.chroma(rgb), axis=(0, 1)), count + 1
    _save(fn_args, tuple((total / count).numpy().tolist()))


def wrong_files(fn_args: Any) -> None:
    """Answers floats and tf.Examples; the files that it answers are far too bright."""
    _save(fn_args, (0.0, 0.05), offset=20)
