"""Checkpoints that outlive an interrupted training, so that the next run with the same arguments goes on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

KEPT = 2
"""Checkpoints that are kept: should the newest be damaged, there is one before it."""


def folder_of_training(folder: str, config: Mapping[str, Any], files: Sequence[str]) -> str:
    """Returns the folder of one training below a folder of checkpoints: same arguments, same folder.

    Args:
      folder: local, or `gs://bucket/folder`; several machines must share it.
      config: all that the training depends on, as plain data: settings, digest of the code.
      files: URIs of the training examples.
    """
    arguments = json.dumps([dict(config), sorted(files)], sort_keys=True)
    return f"{folder.rstrip('/')}/{hashlib.sha256(arguments.encode()).hexdigest()[:16]}"


def remove(folder: str | None) -> None:
    """Removes the folder of a training that came to its end; None is none."""
    if folder and tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)


class Checkpoints:
    """The checkpoints of one training. Without a folder, nothing is kept and nothing is found."""

    def __init__(self, folder: str | None, state: tf.train.Checkpoint, *, writes: bool) -> None:
        """Looks for checkpoints.

        Args:
          folder: see `folder_of_training`, or None.
          state: all variables that the training goes on with.
          writes: whether this process is the one that writes. Mirrored variables are alike on all workers, so
            saving them needs nobody else.
        """
        self.state, self.writes = state, writes
        self.manager = folder and tf.train.CheckpointManager(state, folder, max_to_keep=KEPT)

    def restore(self) -> bool:
        """Restores the newest checkpoint that is whole, and returns whether there was one."""
        for path in reversed(self.manager.checkpoints if self.manager else []):
            if _is_whole(path):
                self.state.restore(path).assert_existing_objects_matched()
                return True
            logging.getLogger(__name__).warning("skipped a damaged checkpoint: %s", path)
        return False

    def save(self, epoch: int) -> None:
        """Keeps the state as it is after so many epochs."""
        if self.manager and self.writes:
            self.manager.save(checkpoint_number=epoch)


def _is_whole(path: str) -> bool:
    """Reads a checkpoint through, which verifies its checksums; a restore that fails midway leaves a mixture."""
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, LookupError, RuntimeError, ValueError):
        # The reader raises what a status of TensorFlow's happens to map to: IndexError for a file that is too short.
        return False
    return True
