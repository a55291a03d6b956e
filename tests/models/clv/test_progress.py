"""A training that goes on in another process: everything that it needs is in a checkpoint, whole or not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.board import Board
from models.clv import network
from models.clv.progress import Progress
from models.clv.training_settings import Training

EPOCHS, STEPS = 8, 4


class Session:
    """What a process sets up: a fresh network, its optimizer, and what a checkpoint folder holds."""

    def __init__(self, folder: Path | None, patience: int | None = None, board: Board | None = None) -> None:
        keras.utils.set_random_seed(1)
        settings = Training(members=2, hidden_units=(4,)).model_dump()
        self.model = network.build(settings, numeric_size=3, country_size=4, scale=700.0)
        rate = keras.optimizers.schedules.CosineDecay(0.05, EPOCHS * STEPS)
        self.model.compile(keras.optimizers.Adam(rate), network.loss(settings, 700.0), jit_compile=False)
        self.progress = Progress(
            self.model,
            epochs=EPOCHS,
            patience=patience,
            board=board or Board(None),
            checkpoints=str(folder) if folder else None,
        )

    def run(self, until: int = EPOCHS) -> Session:
        """Trains up to an epoch, as a process does that is killed after it."""
        if not self.progress.ended:
            self.model.fit(
                _rows(seed=0).repeat(),
                validation_data=_rows(seed=1),
                steps_per_epoch=STEPS,
                initial_epoch=self.progress.resumed_from,
                epochs=until,
                callbacks=[self.progress],
                verbose=0,
            )
        return self

    def state(self) -> list[Any]:
        variables = [*self.model.weights, *self.model.optimizer.variables]
        return [variable.numpy() for variable in (*variables, *self.progress.best)]


def _rows(seed: int) -> tf.data.Dataset:
    draw = np.random.default_rng(seed)
    numeric = draw.normal(size=(64, 3)).astype("float32")
    inputs = {
        network.NUMERIC: numeric,
        network.COUNTRY: draw.integers(0, 4, 64),
        network.BEFORE: np.zeros(64, "float32"),
    }
    return tf.data.Dataset.from_tensor_slices((inputs, 700 * np.exp(numeric[:, 0]))).batch(16)


def test_it_goes_on_with_weights_optimizer_rate_best_weights_and_history(tmp_path: Path) -> None:
    killed = Session(tmp_path, patience=8).run(until=7)
    again = Session(tmp_path, patience=8)
    assert (again.progress.resumed_from, again.progress.ended) == (7, False)
    assert again.progress.history == killed.progress.history
    assert again.progress.best_epoch == killed.progress.best_epoch == 7
    for found, left in zip(again.state(), killed.state(), strict=True):
        np.testing.assert_array_equal(found, left)
    assert int(again.model.optimizer.iterations.numpy()) == 7 * STEPS
    rates = [logs["learning_rate"] for logs in again.run().progress.history]
    assert rates == pytest.approx([0.05 * (1 + np.cos(np.pi * n / EPOCHS)) / 2 for n in range(1, EPOCHS + 1)], abs=1e-8)


def test_the_same_batches_after_an_interruption_give_the_same_weights(tmp_path: Path) -> None:
    """The rows of a virtual epoch are the same each time here, so that nothing but the state makes a difference."""
    straight = Session(None).run()
    Session(tmp_path).run(until=3)
    for found, wanted in zip(Session(tmp_path).run().state(), straight.state(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_early_stopping_knows_of_the_epochs_before_the_interruption(tmp_path: Path) -> None:
    killed = Session(tmp_path, patience=1)
    killed.progress.set_model(killed.model)
    for epoch, loss in enumerate([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.9]):
        killed.model.trainable_variables[0].assign(killed.model.trainable_variables[0] + 1.0)
        killed.progress.on_epoch_end(epoch, {"loss": loss, "val_loss": loss})
    again = Session(tmp_path, patience=1)
    assert (again.progress.ended, again.progress.best_epoch) == (True, 7)
    again.run()
    assert len(again.progress.history) == 8
    last = again.model.trainable_variables[0].numpy()
    again.progress.restore_best()
    np.testing.assert_allclose(again.model.trainable_variables[0].numpy(), last - 1.0)


def test_a_damaged_checkpoint_is_passed_over_and_damaged_ones_alone_start_anew(tmp_path: Path) -> None:
    Session(tmp_path).run(until=3)
    for number, left in ((3, 2), (2, 0)):
        for path in tmp_path.glob(f"ckpt-{number}.data*"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert Session(tmp_path).progress.resumed_from == left
    assert len(Session(tmp_path).run().progress.history) == EPOCHS


def test_the_board_shows_all_epochs_also_those_before_the_interruption(tmp_path: Path) -> None:
    Session(tmp_path / "kept").run(until=3)
    Session(tmp_path / "kept", board=Board(str(tmp_path / "logs"))).run()
    (log,) = (tmp_path / "logs").iterdir()
    shown: dict[str, list[int]] = {}
    for event in tf.compat.v1.train.summary_iterator(str(log)):
        for value in event.summary.value:
            shown.setdefault(f"{value.metadata.plugin_data.plugin_name} {value.tag}", []).append(event.step)
    for name in ("loss", "val_loss", "learning_rate"):
        assert shown[f"scalars {name}"] == list(range(1, EPOCHS + 1))
    histograms = [name for name in shown if name.startswith("histograms ")]
    assert len(histograms) == len(Session(None).model.trainable_variables)
    assert shown[histograms[0]] == list(range(4, EPOCHS + 1))
