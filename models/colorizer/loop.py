"""The training loop: one for a single device, for the devices of a machine, and for several machines.

It is written out because `keras.Model.fit` does not work under MultiWorkerMirroredStrategy.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from models.checkpoints import Checkpoints
from models.colorizer import distribution, pictures, steps
from models.colorizer.board import Board
from pipeline.contract import UserError, tell_epoch


class Epoch(NamedTuple):
    """What is told of an epoch.

    Attributes:
      loss: mean over the fitted pictures, while the weights changed.
      held_out_loss: mean over the held-out pictures after the epoch; None where none are held out.
      learning_rate: after the epoch.
      images_per_second: of the training alone, all replicas together.
    """

    loss: float
    held_out_loss: float | None
    learning_rate: float
    images_per_second: float


class Outcome(NamedTuple):
    """What came of a training.

    Attributes:
      weights: values of the network's variables at the best epoch, in the order of `keras.Model.variables`.
      history: of all epochs, those before an interruption included.
      best_epoch: from 1; the last one where no pictures are held out.
      resumed_from: epochs that a checkpoint brought; 0 for none.
    """

    weights: list[Any]
    history: list[Epoch]
    best_epoch: int
    resumed_from: int


def fit(
    build: Callable[[], keras.Model],
    loaded: pictures.Loaded,
    settings: Mapping[str, Any],
    strategy: tf.distribute.Strategy,
    *,
    board: Board,
    checkpoints: str | None = None,
) -> Outcome:
    """Fits a network and returns the weights of its best epoch.

    Args:
      build: returns the untrained network.
      loaded: the pictures.
      settings: the training settings as plain data.
      strategy: see `distribution.strategy`.
      board: what is shown of it.
      checkpoints: folder of the checkpoints of this very training, or None to keep none.

    Raises:
      UserError: there are fewer pictures than replicas, the workers do not see the same checkpoints, or the loss is no
        number any more.
    """
    training = Training(build, loaded, settings, strategy)
    kept = Checkpoints(checkpoints, training.state, writes=distribution.is_chief(strategy))
    resumed_from = training.epochs_done if kept.restore() else 0
    _check_same_start(strategy, resumed_from)
    for number, epoch in enumerate(training.history, start=1):
        board.write_scalars(number, epoch._asdict())
    for epoch in training.epochs():
        number = training.epochs_done
        kept.save(number)
        board.write_scalars(number, epoch._asdict())
        board.write_network(number, training.model)
        tell_epoch(number, settings["epochs"], epoch._asdict())
    weights = [variable.numpy() for variable in training.best]
    return Outcome(weights, training.history, training.best_epoch, resumed_from)


class Training:
    """A training that can stop after any epoch and go on in another process.

    Attributes:
      model: the network as it is now.
      best: its variables as they were at the best epoch.
      state: all of it that a checkpoint keeps.
    """

    def __init__(
        self,
        build: Callable[[], keras.Model],
        loaded: pictures.Loaded,
        settings: Mapping[str, Any],
        strategy: tf.distribute.Strategy,
    ) -> None:
        """Makes the network and its optimizer; see `fit` for the arguments."""
        self.loaded, self.settings, self.strategy = loaded, settings, strategy
        replicas = strategy.num_replicas_in_sync
        self.steps_per_epoch = pictures.steps_per_epoch(len(loaded.fitted), settings["batch_size"], replicas)
        with strategy.scope():
            self.model = build()
            self.optimizer = _optimizer(settings, self.steps_per_epoch * settings["epochs"])
            self.optimizer.build(self.model.trainable_variables)
        variables = [variable.value for variable in self.model.variables]
        self.best = [tf.Variable(variable.numpy()) for variable in variables]
        self.told = tf.Variable(json.dumps([]))
        optimizer = [variable.value for variable in self.optimizer.variables]
        self.state = tf.train.Checkpoint(model=variables, optimizer=optimizer, best=self.best, told=self.told)

    @property
    def history(self) -> list[Epoch]:
        """What is told of the epochs so far."""
        return [Epoch(*values) for values in json.loads(self.told.numpy())]

    @property
    def epochs_done(self) -> int:
        """How many epochs there are so far."""
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, with the least held-out loss; the last one where nothing is held out; 0 before any."""
        losses = [epoch.held_out_loss for epoch in self.history if epoch.held_out_loss is not None]
        return losses.index(min(losses)) + 1 if losses else self.epochs_done

    def epochs(self) -> Iterator[Epoch]:
        """Runs the epochs that are left, and yields each when all of its state is in `state`."""
        batches = self.training_batches()
        step = steps.training_step(self.strategy, self.model, self.optimizer, batches)
        judge = self._judge()
        iterator = iter(batches)
        while self.epochs_done < self.settings["epochs"] and not self._is_stuck():
            start = time.perf_counter()
            losses = [step(next(iterator)) for _ in range(self.steps_per_epoch)]
            loss = float(tf.reduce_mean(losses))
            rate = len(self.loaded.fitted) / (time.perf_counter() - start)
            epoch = Epoch(loss, judge(), float(self.optimizer.learning_rate), rate)
            _check_finite(epoch)
            self._note(epoch)
            yield epoch

    def training_batches(self) -> Any:
        """Returns the distributed dataset of the batches that are left, from the next epoch on."""
        first = self.epochs_done
        return self._distributed(
            lambda context: pictures.training_batches(self.loaded.fitted, self.settings, context, first)
        )

    def _judge(self) -> Callable[[], float | None]:
        """Returns what computes the held-out loss."""
        held_out = self.loaded.held_out
        if held_out is None:
            return lambda: None
        size = self.settings["batch_size"]
        batches = self._distributed(lambda context: pictures.judging_batches(held_out, size, context))
        step = steps.judging_step(self.strategy, self.model, batches)

        def judge() -> float:
            total, count = sum(step(batch) for batch in batches).numpy().tolist()
            return float(total / count)

        return judge

    def _distributed(self, dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset]) -> Any:
        return self.strategy.distribute_datasets_from_function(dataset)

    def _is_stuck(self) -> bool:
        return self.epochs_done - self.best_epoch >= int(self.settings["patience"])

    def _note(self, epoch: Epoch) -> None:
        self.told.assign(json.dumps([*self.history, epoch]))
        if self.best_epoch == self.epochs_done:
            for best, variable in zip(self.best, self.model.variables, strict=True):
                best.assign(variable.value)


def _optimizer(settings: Mapping[str, Any], steps: int) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov & Hutter 2019); only kernels decay, and with `decay` the learning rate does, along a cosine."""
    rate = settings["learning_rate"]
    if settings["decay"]:
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings["weight_decay"], beta_1=settings["beta_1"])
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _check_same_start(strategy: tf.distribute.Strategy, epochs: int) -> None:
    if distribution.differs(strategy, epochs):
        raise UserError(
            expected="a folder of checkpoints that all workers share",
            received="workers that found different checkpoints",
            todo="set it to a folder that every worker sees, such as gs://bucket/folder",
        )


def _check_finite(epoch: Epoch) -> None:
    """Neither loss may be NaN or infinite; of the held-out one, no later epoch could be better than NaN."""
    for name, loss in (("training", epoch.loss), ("held-out", epoch.held_out_loss)):
        if loss is not None and not math.isfinite(loss):
            raise UserError(
                expected=f"a {name} loss that is a number",
                received=f"{loss}: the weights ran away",
                todo="set a lower training.learning_rate",
            )
