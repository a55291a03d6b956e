"""Fits a line by least squares: no epochs, no seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved import saved_transform_io_v2

from pipeline.contract import tuned_config


def run_fn(fn_args: Any) -> None:
    graph = tft.TFTransformOutput(fn_args.transform_graph_path or fn_args.transform_output)
    files = tf.io.gfile.glob(fn_args.train_files)
    records = list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())
    rows = tf.io.parse_example(tf.constant(records), graph.transformed_feature_spec())
    slope, intercept = np.polyfit(np.ravel(rows["x_scaled"]), np.ravel(rows["y"]), 1)
    config, _ = tuned_config(fn_args)
    export(graph, slope, intercept + config["training"]["offset"], fn_args.serving_model_dir)


def export(graph: Any, slope: float, intercept: float, folder: str) -> None:
    module = tf.Module()
    loader = saved_transform_io_v2.SavedModelLoader(graph.transform_savedmodel_dir)
    module.transform = vars(loader)
    module.line = [tf.Variable(slope, dtype=tf.float32), tf.Variable(intercept, dtype=tf.float32)]

    # AutoGraph, and saving a layer of Keras, would take longer than all else that a run of this model does.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")], autograph=False)
    def serving_default(x: Any) -> Any:
        scaled = loader.apply_transform_model({"x": x})["x_scaled"]
        return {"predicted": module.line[0] * tf.reshape(scaled, [-1]) + module.line[1]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
    def serving_examples(examples: Any) -> Any:
        return serving_default(tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"])

    tf.saved_model.save(module, folder, {"serving_default": serving_default, "serving_examples": serving_examples})
