"""Fits the network and saves it as a server loads it.

TFX reloads this module: it holds functions, named tuples and plain constants only.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import keras
import tensorflow as tf

from models import architecture, checkpoints
from models.colorizer import distribution, loop, network, pictures, serving
from models.colorizer.board import Board


def run_fn(fn_args: Any) -> None:
    """TFX Trainer's entry: reads the transformed train split and `custom_config`, nothing of eval.

    `custom_config["training"]` are the training settings; `custom_config["checkpoints"]` is a folder for checkpoints
    that outlive an interrupted training, or None. Beside the model, the folder of the model run gets `training.json`,
    which is what `train` returns, and TensorBoard's logs.
    """
    config = fn_args.custom_config
    folder = config.get("checkpoints")
    train(
        examples=fn_args.train_files,
        serving_folder=fn_args.serving_model_dir,
        run_folder=fn_args.model_run_dir,
        settings=config["training"],
        checkpoints_folder=folder and checkpoints.folder_of_training(folder, config, fn_args.train_files),
    )


def train(
    *,
    examples: Sequence[str],
    serving_folder: str,
    run_folder: str,
    settings: Mapping[str, Any],
    checkpoints_folder: str | None = None,
) -> dict[str, Any]:
    """Fits a network on transformed examples and saves it with its signatures.

    Same pictures, in any order, and same settings give the same weights on the same CPUs, interrupted or not. To that
    end Keras', numpy's and Python's global seeds are set. On GPUs weights may differ a little from training to
    training, as deterministic kernels are not asked for. Of several workers only the chief writes.

    Args:
      examples: file patterns of gzipped TFRecords of transformed examples: the train split.
      serving_folder: where the SavedModel goes.
      run_folder: where `training.json` and TensorBoard's logs go.
      settings: the training settings as plain data.
      checkpoints_folder: where the checkpoints of this very training are kept until it ends, or None.

    Returns:
      What happened, as plain data.

    Raises:
      UserError: the pictures or the machines do not suffice; see `pictures.load`, `distribution.strategy`, `loop.fit`.
    """
    # First of all: workers must be connected before TensorFlow is used.
    strategy = distribution.strategy(settings["distribution"])
    keras.utils.set_random_seed(settings["seed"])
    loaded = pictures.load(examples, early_stopping=settings["early_stopping"])
    tint = pictures.mean_chroma(loaded.fitted)
    writes = distribution.is_chief(strategy)
    shown = loaded.fitted if loaded.held_out is None else loaded.held_out
    with closing(Board(run_folder if writes else None, shown)) as board:
        outcome = loop.fit(
            # Judged as it is fitted: saturation costs error on purpose, and would favour an early, pale epoch.
            lambda: network.build({**settings, "saturation": 1.0}, tint),
            loaded,
            settings,
            strategy,
            board=board,
            checkpoints=checkpoints_folder,
        )
    model = _built(settings, tint, outcome.weights)
    report = {
        "network": settings["network"],
        "replicas": strategy.num_replicas_in_sync,
        **_report(outcome, loaded),
        **architecture.describe(model, loaded.fitted.shape[1]),
    }
    if writes:
        serving.save(model, loaded.fitted.shape[1], serving_folder)
        with tf.io.gfile.GFile(f"{run_folder}/training.json", "w") as file:
            file.write(json.dumps(report, indent=1))
        checkpoints.remove(checkpoints_folder)
    distribution.wait_for_all(strategy)
    return report


def _built(settings: Mapping[str, Any], tint: tuple[float, float], weights: Sequence[Any]) -> keras.Model:
    """Returns the network with given weights, made outside of any strategy: nothing of one is to reach a server."""
    model = network.build(settings, tint)
    for variable, value in zip(model.variables, weights, strict=True):
        variable.assign(value)
    return model


def _report(outcome: loop.Outcome, loaded: pictures.Loaded) -> dict[str, Any]:
    return {
        "size": loaded.fitted.shape[1],
        "rows": len(loaded.fitted),
        "held_out_rows": 0 if loaded.held_out is None else len(loaded.held_out),
        "epochs": len(outcome.history),
        "best_epoch": outcome.best_epoch,
        "resumed_from": outcome.resumed_from,
        "images_per_second": statistics.median(epoch.images_per_second for epoch in outcome.history),
        "history": [epoch._asdict() for epoch in outcome.history],
    }
