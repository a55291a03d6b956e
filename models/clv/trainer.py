"""Fits the network and saves it as a server loads it.

TFX reloads this module: it holds functions, named tuples and plain constants only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from models import architecture, checkpoints
from models.board import Board
from models.clv import network, preprocessing, reference, serving
from models.clv.progress import Progress
from pipeline.contract import UserError, tuned_config

BLOCK = 4096
"""Rows that are parsed at once."""
SHUFFLED = 100_000
"""Rows among which the next one is drawn; up to so many, the shuffle is a perfect one."""
CACHED = 1_000_000
"""Up to so many rows (of about 100 bytes) stay in memory after the first pass; more are read every epoch."""
HELD_OUT_FOLDS = preprocessing.FOLDS // 10
STEPS_A_PASS = 16
"""The batches of a small shop are so small that a pass has so many: a few steps in all would teach it nothing."""
STEPS = 10
"""Steps that TensorFlow takes at most between two looks of Python's: one of so small a network takes a millisecond."""


class Totals(NamedTuple):
    """What one pass over the training rows tells: how many, and their mean and largest future revenue."""

    rows: int
    mean: float
    largest: float


def run_fn(fn_args: Any) -> None:
    """TFX Trainer's entry: reads the transformed train split and `custom_config`, nothing of eval.

    `custom_config["training"]` are the training settings; what a search found, `hyperparameters`, goes over them.
    `custom_config["checkpoints"]` is a folder for checkpoints that outlive an interrupted training, or None. Beside the
    model, the folder of the model run gets `training.json`, which is what `train` returns, with `tuned` if there was a
    search, and TensorBoard's logs.
    """
    config, tuned = tuned_config(fn_args)
    folder = config.get("checkpoints")
    history = train(
        examples=fn_args.train_files,
        transform_folder=fn_args.transform_graph_path,
        serving_folder=fn_args.serving_model_dir,
        settings=config["training"],
        run_folder=fn_args.model_run_dir,
        checkpoints_folder=folder and checkpoints.folder_of_training(folder, config, fn_args.train_files),
    )
    if tuned:
        history["tuned"] = tuned.model_dump(mode="json")
    tf.io.gfile.makedirs(fn_args.model_run_dir)
    with tf.io.gfile.GFile(f"{fn_args.model_run_dir}/training.json", "w") as file:
        file.write(json.dumps(history, indent=1))


def train(
    *,
    examples: Sequence[str],
    transform_folder: str,
    serving_folder: str,
    settings: Mapping[str, Any],
    run_folder: str | None = None,
    checkpoints_folder: str | None = None,
) -> dict[str, Any]:
    """Fits a network on transformed examples and saves it with its signatures.

    Same examples, in any order, and same settings give the same weights, unless the training was interrupted. To that
    end Keras', numpy's and Python's global seeds are set.

    Args:
      examples: file patterns of gzipped TFRecords of transformed examples: the train split.
      transform_folder: Transform's output.
      serving_folder: where the SavedModel goes.
      settings: the training settings as plain data.
      run_folder: where TensorBoard's logs go, if anywhere.
      checkpoints_folder: where the checkpoints of this very training are kept until it ends, or None.

    Returns:
      What happened, as plain data: rows, mean and largest future revenue, rows held out, what `fit` returns, and what
      `architecture.describe` says of the network.

    Raises:
      UserError: no training row has future revenue, or none is held out though early stopping asks for it.
    """
    transform = tft.TFTransformOutput(transform_folder)
    with closing(Board(run_folder)) as board:
        model, history = fitted(examples, transform, settings, board=board, checkpoints_folder=checkpoints_folder)
    serving.save(model, network.answers(settings, ceiling=history["largest"]), transform, serving_folder)
    checkpoints.remove(checkpoints_folder)
    return history


def fitted(
    examples: Sequence[str],
    transform: tft.TFTransformOutput,
    settings: Mapping[str, Any],
    *,
    board: Board | None = None,
    checkpoints_folder: str | None = None,
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns the network fitted on transformed examples, and what `train` says of it; see there."""
    keras.utils.set_random_seed(settings["seed"])
    rows, held_out = splits(examples, transform, early_stopping=settings["early_stopping"])
    totals = measure(rows)
    held_out_rows = 0 if held_out is None else _held_out_rows(held_out)
    model = network.build(
        settings,
        numeric_size=rows.element_spec[0][network.NUMERIC].shape[-1],
        country_size=transform.vocabulary_size_by_name(preprocessing.VOCABULARY) + preprocessing.OOV_BUCKETS,
        scale=totals.mean,
    )
    told = fit(model, rows, held_out, totals, settings, board=board, checkpoints_folder=checkpoints_folder)
    return model, {
        **totals._asdict(),
        "held_out_rows": held_out_rows,
        "network": settings["network"],
        **told,
        **architecture.describe(model),
    }


def fit(
    model: keras.Model,
    fitted: tf.data.Dataset,
    held_out: tf.data.Dataset | None,
    totals: Totals,
    settings: Mapping[str, Any],
    *,
    board: Board | None = None,
    checkpoints_folder: str | None = None,
) -> dict[str, Any]:
    """Fits the network with Adam; with `held_out`, keeps the weights of the epoch that is best on it.

    Args:
      model: from `network.build`.
      fitted: blocks of rows as `splits` returns them.
      held_out: the same, or None for all epochs.
      totals: of `fitted`.
      settings: the training settings as plain data.
      board: what is shown of it, if anything.
      checkpoints_folder: see `train`.

    Returns:
      Virtual epochs run, their steps, the best of them, how many a checkpoint brought, the best epoch's loss, and the
      `history`: losses and learning rate of each, as Keras names them.
    """
    epochs, steps = virtual_epochs(totals.rows, settings)
    _compile(model, settings, totals.mean, epochs, steps)
    patience = None if held_out is None else settings["patience"]
    progress = Progress(
        model, epochs=epochs, patience=patience, board=board or Board(None), checkpoints=checkpoints_folder
    )
    if not progress.ended:
        model.fit(
            # From another seed after an interruption: rows of the epochs before it would come in their order again.
            _batches(_asked(model, fitted), totals.rows, settings, seed=settings["seed"] + progress.resumed_from),
            validation_data=None if held_out is None else _asked(model, held_out),
            initial_epoch=progress.resumed_from,
            epochs=epochs,
            steps_per_epoch=steps if settings["virtual_epochs"] else None,
            callbacks=[progress],
            shuffle=False,  # The dataset has its order.
            verbose=0,
        )
    progress.restore_best()
    watched = "loss" if held_out is None else "val_loss"
    return {
        "epochs": len(progress.history),
        "steps_per_epoch": steps,
        "best_epoch": progress.best_epoch,
        "resumed_from": progress.resumed_from,
        watched: progress.history[progress.best_epoch - 1][watched],
        "history": progress.history,
    }


def virtual_epochs(rows: int, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Returns how many virtual epochs there are, and the steps of each.

        steps = total examples / batch size / virtual epochs,    total examples = epochs * rows

    The number of checkpoints is thus the same however many rows there are, and so are early stopping's looks
    (Lakshmanan, Robinson & Munn 2020, "Machine Learning Design Patterns", chapter 4, "Checkpoints").
    """
    passes, parts = settings["epochs"], settings["virtual_epochs"] or settings["epochs"]
    return parts, max(1, round(passes * math.ceil(rows / batch_size(rows, settings)) / parts))


def batch_size(rows: int, settings: Mapping[str, Any]) -> int:
    """Returns the rows of a step: those of the settings, or fewer for a small shop and the product's own network."""
    size: int = settings["batch_size"]
    return size if settings["network"] == "reference" else max(1, min(size, rows // STEPS_A_PASS))


def _compile(model: keras.Model, settings: Mapping[str, Any], scale: float, epochs: int, steps: int) -> None:
    rate = settings["learning_rate"]
    if settings["decay"]:
        rate = keras.optimizers.schedules.CosineDecay(rate, epochs * steps)
    model.compile(
        optimizer=_optimizer(rate, settings),
        loss=network.loss(settings, scale),
        jit_compile=False,
        steps_per_execution=_divisor(steps) if settings["virtual_epochs"] else STEPS,
    )


def _optimizer(rate: Any, settings: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    norm = network.GRADIENT_NORM[settings["network"]]
    if settings["network"] == "reference":
        return keras.optimizers.Adam(rate, clipnorm=norm)
    return keras.optimizers.AdamW(rate, weight_decay=settings["weight_decay"], clipnorm=norm)


def _divisor(steps: int) -> int:
    """Keras runs over the end of a virtual epoch whose steps are no multiple of those it takes at once."""
    return max(count for count in range(1, STEPS + 1) if steps % count == 0)


def _asked(model: keras.Model, blocks: tf.data.Dataset) -> tf.data.Dataset:
    """The same blocks with those inputs only that the network asks for."""
    return blocks.map(lambda inputs, label: ({name: inputs[name] for name in model.input}, label))


def splits(
    examples: Sequence[str], transform: tft.TFTransformOutput, *, early_stopping: bool
) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
    """Returns the rows to fit on and, for early stopping, the rows held out: the first tenth of the folds.

    Both are datasets of blocks `(inputs of any network by name, label [rows])`. Folds are hashes of the
    customer, so that no customer is on both sides. Rows as of earlier days are fitted on or left out, never held out.
    """
    files = sorted(path for pattern in examples for path in tf.io.gfile.glob(pattern))
    spec = transform.transformed_feature_spec()
    blocks = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(BLOCK)
    rows = _in_order(blocks.map(lambda records: tf.io.parse_example(records, spec)))
    if not early_stopping:
        return rows.map(_pair), None
    fitted = rows.map(lambda row: _pair(_masked(row, row[preprocessing.FOLD] >= HELD_OUT_FOLDS)))
    held_out = rows.map(lambda row: _pair(_masked(row, _is_held_out(row))))
    return fitted, held_out.cache()


def _is_held_out(row: Mapping[str, tf.Tensor]) -> tf.Tensor:
    return (row[preprocessing.FOLD] < HELD_OUT_FOLDS) & (row[preprocessing.BEFORE] == 0)


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


def _held_out_rows(held_out: tf.data.Dataset) -> int:
    rows = sum(len(label) for _, label in held_out.as_numpy_iterator())
    if not rows:
        raise UserError(
            expected="training rows to hold out for early stopping, a tenth of the customers",
            received="none, since there are so few customers",
            todo="bring more data, or set training.early_stopping=false",
        )
    return rows


def _masked(row: Mapping[str, tf.Tensor], mask: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.boolean_mask(values, mask) for name, values in row.items()}


def _pair(row: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    names = (network.NUMERIC, network.COUNTRY, network.BEFORE, reference.AMOUNTS, reference.PAST)
    return {name: row[name] for name in names}, row[preprocessing.LABEL]


def _batches(blocks: tf.data.Dataset, rows: int, settings: Mapping[str, Any], *, seed: int) -> tf.data.Dataset:
    """The batches of a pass, in another order in each; with virtual epochs, those of all passes."""
    kept = blocks.cache() if rows <= CACHED else blocks
    single = kept.unbatch().apply(tf.data.experimental.assert_cardinality(rows))
    shuffled = single.shuffle(min(rows, SHUFFLED), seed=seed)
    batches = shuffled.batch(batch_size(rows, settings))
    return (batches.repeat() if settings["virtual_epochs"] else batches).prefetch(tf.data.AUTOTUNE)
