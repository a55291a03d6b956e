"""Fits the network and saves it as a server loads it.

TFX reloads this module: it holds functions, named tuples and plain constants only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from models.clv import network, preprocessing, serving
from pipeline.contract import UserError, tell_epoch

BLOCK = 4096
"""Rows that are parsed at once."""
SHUFFLED = 100_000
"""Rows among which the next one is drawn; up to so many, the shuffle is a perfect one."""
CACHED = 1_000_000
"""Up to so many rows (of about 100 bytes) stay in memory after the first pass; more are read every epoch."""
HELD_OUT_FOLDS = preprocessing.FOLDS // 10
STEPS = 10
"""Steps that TensorFlow takes between two looks of Python's: a step of so small a network is over in a millisecond."""
GRADIENT_NORM = 1.0
"""Longer gradients are cut to this norm: one whale in a batch must not throw the weights."""


class Totals(NamedTuple):
    """What one pass over the training rows tells: how many, and their mean and largest future revenue."""

    rows: int
    mean: float
    largest: float


def run_fn(fn_args: Any) -> None:
    """TFX Trainer's entry: reads the transformed train split and `custom_config["training"]`, nothing of eval.

    Beside the model it writes `training.json` into the folder of the model run: what `train` returns.
    """
    history = train(
        examples=fn_args.train_files,
        transform_folder=fn_args.transform_graph_path,
        serving_folder=fn_args.serving_model_dir,
        settings=fn_args.custom_config["training"],
    )
    tf.io.gfile.makedirs(fn_args.model_run_dir)
    with tf.io.gfile.GFile(f"{fn_args.model_run_dir}/training.json", "w") as file:
        file.write(json.dumps(history, indent=1))


def train(
    *, examples: Sequence[str], transform_folder: str, serving_folder: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Fits a network on transformed examples and saves it with its signatures.

    Same examples, in any order, and same settings give the same weights. To that end Keras', numpy's and Python's
    global seeds are set.

    Args:
      examples: file patterns of gzipped TFRecords of transformed examples: the train split.
      transform_folder: Transform's output.
      serving_folder: where the SavedModel goes.
      settings: the training settings as plain data.

    Returns:
      What happened, as plain data: rows, mean and largest future revenue, and what `fit` returns.

    Raises:
      UserError: no training row has future revenue, or none is held out though early stopping asks for it.
    """
    transform = tft.TFTransformOutput(transform_folder)
    model, history = fitted(examples, transform, settings)
    serving.save(model, transform, serving_folder)
    return history


def fitted(
    examples: Sequence[str], transform: tft.TFTransformOutput, settings: Mapping[str, Any]
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns the network fitted on transformed examples, and what `train` says of it; see there."""
    keras.utils.set_random_seed(settings["seed"])
    rows, held_out = splits(examples, transform, early_stopping=settings["early_stopping"])
    totals = measure(rows)
    if held_out is not None:
        _check_held_out(held_out)
    model = network.build(
        settings,
        numeric_size=rows.element_spec[0][network.NUMERIC].shape[-1],
        country_size=transform.vocabulary_size_by_name(preprocessing.VOCABULARY) + preprocessing.OOV_BUCKETS,
        scale=totals.mean,
        ceiling=totals.largest,
    )
    return model, {**totals._asdict(), **fit(model, rows, held_out, totals, settings)}


def fit(
    model: keras.Model,
    fitted: tf.data.Dataset,
    held_out: tf.data.Dataset | None,
    totals: Totals,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Fits the network with Adam; with `held_out`, keeps the weights of the epoch that is best on it.

    Args:
      model: from `network.build`.
      fitted: blocks of rows as `splits` returns them.
      held_out: the same, or None for all epochs.
      totals: of `fitted`.
      settings: the training settings as plain data.

    Returns:
      Epochs run, and the last or best epoch's loss.
    """
    steps = settings["epochs"] * math.ceil(totals.rows / settings["batch_size"])
    rate = keras.optimizers.schedules.CosineDecay(settings["learning_rate"], steps)
    loss = network.revenue_loss(scale=totals.mean, power=settings["tweedie_power"], mae_weight=settings["mae_weight"])
    model.compile(
        optimizer=keras.optimizers.Adam(rate, clipnorm=GRADIENT_NORM),
        loss=loss,
        jit_compile=False,
        steps_per_execution=STEPS,
    )
    watched = "loss" if held_out is None else "val_loss"
    # A tenth of the rows is a noisy judge and would favour barely trained weights: it judges the last quarter.
    stop = keras.callbacks.EarlyStopping(
        watched,
        patience=settings["patience"],
        start_from_epoch=settings["epochs"] * 3 // 4,
        restore_best_weights=True,
    )
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: tell_epoch(epoch + 1, settings["epochs"], logs)
    )
    fits = model.fit(
        _batches(fitted, totals.rows, settings),
        validation_data=held_out,
        epochs=settings["epochs"],
        callbacks=[told] if held_out is None else [told, stop],
        shuffle=False,  # The dataset has its order.
        verbose=0,
    )
    values = fits.history[watched]
    return {"epochs": len(values), watched: values[-1] if held_out is None else min(values[stop.start_from_epoch :])}


def splits(
    examples: Sequence[str], transform: tft.TFTransformOutput, *, early_stopping: bool
) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
    """Returns the rows to fit on and, for early stopping, the rows held out: the first tenth of the folds.

    Both are datasets of blocks `({NUMERIC: [rows, k], COUNTRY: [rows]}, label [rows])`. Folds are hashes of the
    customer, so that no customer is on both sides.
    """
    files = sorted(path for pattern in examples for path in tf.io.gfile.glob(pattern))
    spec = transform.transformed_feature_spec()
    blocks = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(BLOCK)
    rows = _in_order(blocks.map(lambda records: tf.io.parse_example(records, spec)))
    if not early_stopping:
        return rows.map(_pair), None
    fitted = rows.map(lambda row: _pair(_masked(row, row[preprocessing.FOLD] >= HELD_OUT_FOLDS)))
    held_out = rows.map(lambda row: _pair(_masked(row, row[preprocessing.FOLD] < HELD_OUT_FOLDS)))
    return fitted, held_out.cache()


def _in_order(rows: tf.data.Dataset) -> tf.data.Dataset:
    """The same blocks whichever order Transform wrote the rows in, which differs from run to run.

    More than `CACHED` rows stay as they are: they are not held in memory, and training on them does not repeat to
    the last bit.
    """
    if sum(len(block[preprocessing.LABEL]) for block in rows) > CACHED:
        return rows
    found = list(rows.as_numpy_iterator())
    columns = {name: np.concatenate([block[name] for block in found]) for name in found[0]}
    order = np.lexsort([key for column in columns.values() for key in np.reshape(column, (len(column), -1)).T])
    return tf.data.Dataset.from_tensor_slices({name: column[order] for name, column in columns.items()}).batch(BLOCK)


def measure(fitted: tf.data.Dataset) -> Totals:
    """Returns the totals of a dataset of blocks, in one pass.

    Raises:
      UserError: there is no future revenue in it.
    """
    rows, revenue, largest = 0, 0.0, 0.0
    for _, label in fitted.as_numpy_iterator():
        rows += len(label)
        revenue += float(label.sum(dtype="float64"))
        largest = max(largest, float(label.max(initial=0)))
    if revenue <= 0:
        raise UserError(
            expected="training rows with revenue after the cut-off",
            received=f"{rows} rows with a revenue of {revenue:g} in all",
            todo="check the cut-off and the horizon against the days that the data have",
        )
    return Totals(rows, revenue / rows, largest)


def _check_held_out(held_out: tf.data.Dataset) -> None:
    if not sum(len(label) for _, label in held_out.as_numpy_iterator()):
        raise UserError(
            expected="training rows to hold out for early stopping, a tenth of the customers",
            received="none, since there are so few customers",
            todo="bring more data, or set training.early_stopping=false",
        )


def _masked(row: Mapping[str, tf.Tensor], mask: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.boolean_mask(values, mask) for name, values in row.items()}


def _pair(row: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    inputs = {network.NUMERIC: row[preprocessing.NUMERIC], network.COUNTRY: row[preprocessing.COUNTRY]}
    return inputs, row[preprocessing.LABEL]


def _batches(blocks: tf.data.Dataset, rows: int, settings: Mapping[str, Any]) -> tf.data.Dataset:
    kept = blocks.cache() if rows <= CACHED else blocks
    single = kept.unbatch().apply(tf.data.experimental.assert_cardinality(rows))
    shuffled = single.shuffle(min(rows, SHUFFLED), seed=settings["seed"])
    return shuffled.batch(settings["batch_size"]).prefetch(tf.data.AUTOTUNE)
