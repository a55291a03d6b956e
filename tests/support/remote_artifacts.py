"""Artifacts at addresses that are no local paths: TensorFlow's file system in memory stands in for a bucket."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tfx.components.trainer.executor import GenericExecutor
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2, trainer_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils, proto_utils

from pipeline.contract import TRAINING_LOGGER, TrainingSettings


def upload(folder: Path | str, address: str) -> str:
    """Copies a local folder, and returns the address."""
    io_utils.copy_dir(str(folder), address)
    return address


def at(kind: Any, address: str, splits: tuple[str, ...] = ()) -> Any:
    """An artifact of a kind at an address."""
    artifact = kind()
    artifact.uri = address
    if splits:
        artifact.split_names = artifact_utils.encode_split_names(list(splits))
    return artifact


def read(address: str) -> bytes:
    """The content of a file."""
    with fileio.open(address, "rb") as file:
        content: bytes = file.read()
    return content


def train(run_fn: str, root: str, settings: TrainingSettings) -> None:
    """Runs TFX's Trainer on what lies below an address: `examples` and `graph` in, `model` and `run` out."""
    examples = at(standard_artifacts.Examples, f"{root}/examples", ("train",))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, "tfrecords_gzip")
    config = {"training": settings.model_dump(mode="json"), "features": {}, "checkpoints": f"{root}/checkpoints"}
    GenericExecutor().Do(
        {"examples": [examples], "transform_graph": [at(standard_artifacts.TransformGraph, f"{root}/graph")]},
        {
            "model": [at(standard_artifacts.Model, f"{root}/model")],
            "model_run": [at(standard_artifacts.ModelRun, f"{root}/run")],
        },
        {
            "run_fn": run_fn,
            "train_args": proto_utils.proto_to_json(trainer_pb2.TrainArgs(splits=["train"])),
            "eval_args": proto_utils.proto_to_json(trainer_pb2.EvalArgs(splits=["train"])),
            "custom_config": json.dumps(config),
        },
    )


class Interruption(Exception):
    """What ends a training that is to go on later."""


@contextmanager
def interrupted_after(epochs: int) -> Iterator[None]:
    """Ends the training inside it when so many epochs are told of."""

    class Stopper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith(f"epoch {epochs} "):
                raise Interruption

    logger, stopper = logging.getLogger(TRAINING_LOGGER), Stopper()
    logger.addHandler(stopper)
    logger.setLevel(logging.INFO)
    try:
        with pytest.raises(Interruption):
            yield
    finally:
        logger.removeHandler(stopper)
