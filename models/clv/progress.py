"""What is kept of a training epoch by epoch, so that it can stop early, be watched, and go on in another process.

Keras' own callbacks do part of it: BackupAndRestore brings back weights, optimizer and epoch, but not what
EarlyStopping knows; it writes over its only backup, and one that was cut short fails each later run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import keras
import tensorflow as tf

from models.board import Board
from models.checkpoints import Checkpoints
from pipeline.contract import tell_epoch

Logs = Mapping[str, float]


class Progress(keras.callbacks.Callback):
    """Keeps the best weights, a checkpoint and a point on the board after each epoch.

    Attributes:
      resumed_from: epochs that a checkpoint brought; 0 for none.
    """

    def __init__(
        self, model: keras.Model, *, epochs: int, patience: int | None, board: Board, checkpoints: str | None
    ) -> None:
        """Goes on where the newest checkpoint was, if there is one.

        Args:
          model: compiled, untrained.
          epochs: to run at most.
          patience: epochs without improvement of the held-out loss, in the last quarter, after which training ends;
            None for all epochs, without held-out rows.
          board: what is shown of it.
          checkpoints: folder of the checkpoints of this very training, or None to keep none.
        """
        super().__init__()
        self.epochs, self.patience, self.board = epochs, patience, board
        model.optimizer.build(model.trainable_variables)
        self.weights = [variable.value for variable in model.weights]
        self.best = [tf.Variable(variable.numpy()) for variable in self.weights]
        self.told = tf.Variable(json.dumps([]))
        optimizer = [variable.value for variable in model.optimizer.variables]
        state = tf.train.Checkpoint(weights=self.weights, optimizer=optimizer, best=self.best, told=self.told)
        self.checkpoints = Checkpoints(checkpoints, state, writes=True)
        self.resumed_from = len(self.history) if self.checkpoints.restore() else 0
        for number, logs in enumerate(self.history, start=1):
            board.write_scalars(number, logs)

    @property
    def history(self) -> list[dict[str, float]]:
        """Losses and learning rate of the epochs so far, as Keras names them."""
        return list(json.loads(self.told.numpy()))

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose weights are kept: the last one where nothing is held out; 0 before any.

        A tenth of the rows is a noisy judge and would favour barely trained weights: it judges the last quarter.
        """
        done, first = len(self.history), self.epochs * 3 // 4
        if self.patience is None or done <= first:
            return done
        losses = [logs["val_loss"] for logs in self.history[first:]]
        return first + losses.index(min(losses)) + 1

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or the last ones brought no improvement."""
        done = len(self.history)
        return done >= self.epochs or (self.patience is not None and done - self.best_epoch >= self.patience)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Notes an epoch of `fit`."""
        told = {**(logs or {}), "learning_rate": self.model.optimizer.learning_rate}
        self.told.assign(json.dumps([*self.history, {name: float(value) for name, value in told.items()}]))
        done = len(self.history)
        if self.best_epoch == done:
            for best, variable in zip(self.best, self.weights, strict=True):
                best.assign(variable)
        self.model.stop_training = self.ended
        self.checkpoints.save(done)
        self.board.write_scalars(done, self.history[-1])
        self.board.write_network(done, self.model)
        tell_epoch(done, self.epochs, self.history[-1])

    def restore_best(self) -> None:
        """Gives the network the weights of the best epoch."""
        for best, variable in zip(self.best, self.weights, strict=True):
            variable.assign(best)
