"""Trainers of CLV models that a gate must refuse, each trained for real on what the DAG hands it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from models.clv import features, network, preprocessing, serving, trainer


def _fitted(fn_args: Any) -> tuple[keras.Model, network.Answers, tft.TFTransformOutput]:
    """The product's network after its own training, and what it answers."""
    transform, settings = tft.TFTransformOutput(fn_args.transform_graph_path), fn_args.custom_config["training"]
    model, history = trainer.fitted(fn_args.train_files, transform, settings)
    return model, network.answers(settings, ceiling=history["largest"]), transform


def _save_changed(fn_args: Any, change: Callable[[dict[str, Any]], Any]) -> None:
    """Saves the product's model with another expected future, made of what it answers."""
    model, answers, transform = _fitted(fn_args)

    def changed(answer: Any) -> dict[str, Any]:
        found = answers(answer)
        return {**found, features.FUTURE: change(found)}

    serving.save(model, changed, transform, fn_args.serving_model_dir)


def zeros(fn_args: Any) -> None:
    """Predicts that nobody buys again."""
    _save_changed(fn_args, lambda found: 0 * found[features.FUTURE])


def constant(fn_args: Any) -> None:
    """Predicts the same for everybody: about the mean."""
    _save_changed(fn_args, lambda found: 0 * found[features.FUTURE] + 700)


def median(fn_args: Any) -> None:
    """Predicts what has the smallest absolute error, and a training on nothing else ends in: the median."""
    _save_changed(fn_args, lambda found: found[features.MEDIAN])


def worse(fn_args: Any) -> None:
    """Worse than the product's own model beyond chance, with as good an order: everybody's future is 75 too high."""
    _save_changed(fn_args, lambda found: found[features.FUTURE] + 75)


def shuffled_labels(fn_args: Any) -> None:
    """Trains as the product does, on labels that were shuffled among the customers."""
    files = [path for pattern in fn_args.train_files for path in tf.io.gfile.glob(pattern)]
    records = [
        tf.train.Example.FromString(record)
        for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    ]
    labels = [record.features.feature[preprocessing.LABEL].float_list.value[0] for record in records]
    np.random.default_rng(0).shuffle(labels)
    out = Path(fn_args.model_run_dir) / "shuffled.gz"
    out.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(out), options="GZIP") as writer:
        for record, label in zip(records, labels, strict=True):
            record.features.feature[preprocessing.LABEL].float_list.value[:] = [label]
            writer.write(record.SerializeToString())
    trainer.train(
        examples=[str(out)],
        transform_folder=fn_args.transform_graph_path,
        serving_folder=fn_args.serving_model_dir,
        settings=fn_args.custom_config["training"],
    )


def fails_on_raw_input(fn_args: Any) -> None:
    """Answers tf.Examples, as the Evaluator asks, but not raw features, as a server is asked."""
    model, answers, transform = _fitted(fn_args)
    servable = serving.Servable(model, transform)
    signatures = serving.signatures(model, answers, servable.layer)
    named = [{name: tf.TensorSpec([None], kind, name=name) for name, kind in serving.input_types().items()}]

    @tf.function(input_signature=named)
    def broken(raw: Any) -> Any:
        parsed = tf.strings.to_number(raw[features.COUNTRY])
        return {name: parsed for name in features.OUTPUTS}

    tf.saved_model.save(servable, fn_args.serving_model_dir, {**signatures, "serving_default": broken})


def only_tf2_can_load(fn_args: Any) -> None:
    """Keeps the Keras model as an attribute: `tf.saved_model.load` restores its variables, other loaders do not."""
    model, answers, transform = _fitted(fn_args)
    servable = serving.Servable(model, transform)
    servable.values = []
    servable.model = model
    tf.saved_model.save(servable, fn_args.serving_model_dir, serving.signatures(model, answers, servable.layer))
