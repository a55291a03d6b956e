"""Training on transformed examples, without TFX: what it reads, keeps, repeats, writes, and goes on with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from discs import discs, png, tiny_network, write_examples

from models import checkpoints
from models.colorizer import augment, distribution, loop, network, pictures, trainer
from models.colorizer.board import Board
from models.colorizer.training_settings import Training
from pipeline.contract import UserError

SETTINGS = Training(epochs=4, batch_size=16, members=1, filters=(8, 8))
RUN_AND_DIE = """
import json, logging, os, signal, sys
from types import SimpleNamespace
from models.colorizer import trainer
from pipeline.contract import TRAINING_LOGGER

class Killer(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("epoch 2 "):
            os.kill(os.getpid(), signal.SIGKILL)

logging.getLogger(TRAINING_LOGGER).addHandler(Killer())
logging.getLogger(TRAINING_LOGGER).setLevel(logging.INFO)
trainer.run_fn(SimpleNamespace(**json.loads(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_examples(tmp_path_factory.mktemp("examples") / "examples.gz", discs(60))


@pytest.fixture(scope="module")
def folder(examples: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed training wrote."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trainer.run_fn(SimpleNamespace(**_arguments(examples, folder)))
    return folder


def _arguments(examples: str, folder: Path) -> dict[str, Any]:
    return {
        "train_files": [examples],
        "serving_model_dir": str(folder / "model"),
        "model_run_dir": str(folder / "run"),
        "custom_config": {"training": SETTINGS.model_dump(mode="json"), "checkpoints": str(folder / "checkpoints")},
    }


def _fit(loaded: pictures.Loaded, settings: Training = SETTINGS, board: Board | None = None) -> loop.Outcome:
    strategy = distribution.strategy("single")
    return loop.fit(tiny_network, loaded, settings.model_dump(), strategy, board=board or Board(None, loaded.fitted))


def _report(folder: Path) -> Any:
    return json.loads((folder / "run" / "training.json").read_text())


def _losses(report: Any) -> list[tuple[float, float]]:
    return [(epoch["loss"], epoch["held_out_loss"]) for epoch in report["history"]]


def _rgb(folder: Path) -> Any:
    gray, _ = augment.plain(discs(3))
    return tf.saved_model.load(str(folder / "model")).signatures["serving_default"](gray=gray)["rgb"].numpy()


# --- what is read ---------------------------------------------------------------------------------


def test_pictures_are_in_the_same_order_whatever_the_order_of_the_rows_and_files(examples: str, tmp_path: Path) -> None:
    shown = discs(60)
    write_examples(tmp_path / "part-0.gz", shown[:20:-1])
    write_examples(tmp_path / "part-1.gz", shown[:21])
    turned = pictures.load([f"{tmp_path}/part-*"], early_stopping=True)
    straight = pictures.load([examples], early_stopping=True)
    np.testing.assert_array_equal(turned.fitted, straight.fitted)
    assert turned.held_out is not None
    assert straight.held_out is not None
    np.testing.assert_array_equal(turned.held_out, straight.held_out)


def test_about_a_tenth_is_held_out_and_copies_stay_together(tmp_path: Path) -> None:
    shown = discs(200)
    loaded = pictures.load([write_examples(tmp_path / "twice.gz", [*shown, *shown])], early_stopping=True)
    assert loaded.held_out is not None
    fitted, held_out = ({picture.tobytes() for picture in part} for part in (loaded.fitted, loaded.held_out))
    assert (len(loaded.fitted), len(loaded.held_out)) == (2 * len(fitted), 2 * len(held_out))
    assert fitted | held_out == {picture.tobytes() for picture in shown}
    assert not fitted & held_out
    assert 10 <= len(held_out) <= 30


def test_without_early_stopping_nothing_is_held_out(examples: str) -> None:
    loaded = pictures.load([examples], early_stopping=False)
    assert loaded.fitted.shape == (60, 16, 16, 3)
    assert loaded.held_out is None


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (discs(0), "expected training pictures to fit the network on; received none"),
        (discs(1), r"received none, since there are so few pictures.*early_stopping=false"),
        (discs(60, size=24), "received 24 pixels; set features.size to 32"),
    ],
)
def test_pictures_that_do_not_suffice_are_refused(shown: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        pictures.load([write_examples(tmp_path / "few.gz", shown)], early_stopping=True)


def _resident(name: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of its memory anew")
def test_decoded_pictures_are_in_memory_once() -> None:
    shown = np.repeat(np.arange(24, dtype=np.uint8), 3 << 20).reshape((24, 1024, 1024, 3))
    pngs = [png(picture) for picture in shown]
    pictures.decode(pngs[:4])
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    decoded = pictures.decode(pngs)
    peak = _resident("VmHWM") - before
    np.testing.assert_array_equal(decoded, shown)
    assert peak < 1.5 * decoded.nbytes


def test_mean_chroma_is_that_of_all_pixels() -> None:
    _, rgb = augment.plain(discs(9))
    difference = (rgb - tf.reduce_sum(rgb * [0.299, 0.587, 0.114], -1, keepdims=True)).numpy().mean((0, 1, 2)) / 2
    assert pictures.mean_chroma(discs(9)) == pytest.approx((difference[2] / 1.772, difference[0] / 1.402), abs=1e-5)


# --- what reaches the replicas --------------------------------------------------------------------


def _batches(shown: Any, worker: int, workers: int, first_epoch: int = 0, **changes: Any) -> list[Any]:
    context = tf.distribute.InputContext(workers, worker, num_replicas_in_sync=2 * workers)
    settings = SETTINGS.model_copy(update={"batch_size": 4, "epochs": 2, **changes}).model_dump()
    return [rgb.numpy() for _, rgb in pictures.training_batches(shown, settings, context, first_epoch)]


@pytest.mark.parametrize("count", [4, 21, 32])
def test_each_epoch_gives_every_picture_to_one_replica_in_equal_parts(count: int) -> None:
    shown = discs(count)
    found = [_batches(shown, worker, workers=2, augmentation=False) for worker in range(2)]
    steps = pictures.steps_per_epoch(count, batch_size=4, replicas=4)
    expected = sorted(picture.tobytes() for picture in augment.plain(shown)[1].numpy())
    orders = []
    for epoch in range(2):
        batches = [batch for worker in found for batch in worker[2 * steps * epoch : 2 * steps * (epoch + 1)]]
        sizes = {len(batch) for batch in batches}
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        orders.append([picture.tobytes() for batch in batches for picture in batch])
        assert sorted(orders[-1]) == expected
    assert orders[0] != orders[1]


def test_an_epoch_is_the_same_whether_training_starts_with_it_or_not() -> None:
    straight, later = _batches(discs(9), 0, 1), _batches(discs(9), 0, 1, first_epoch=1)
    for batch, again in zip(straight[len(straight) // 2 :], later, strict=True):
        np.testing.assert_array_equal(batch, again)


def test_seed_and_epoch_change_order_and_variants() -> None:
    shown = np.repeat(discs(1), 8, axis=0)
    first, second = np.split(np.concatenate(_batches(shown, 0, 1)), 2)
    other = np.concatenate(_batches(shown, 0, 1, seed=2**32 - 1))[:8]
    assert np.abs(first - second).max() > 0.1
    assert np.abs(first - other).max() > 0.1


def test_fewer_pictures_than_replicas_are_refused() -> None:
    with pytest.raises(UserError, match="each of the 4 replicas; received 3"):
        pictures.steps_per_epoch(3, batch_size=8, replicas=4)


# --- what is learnt, and kept ---------------------------------------------------------------------


def test_the_best_epoch_is_kept_and_training_stops_when_there_is_no_better_one() -> None:
    # What is held out has the opposite colours, so that it gets worse as soon as something is learnt.
    loaded = pictures.Loaded(discs(24), ~discs(4, seed=6))
    outcome = _fit(loaded, Training(epochs=30, patience=3, learning_rate=0.03, augmentation=False))
    losses = [epoch.held_out_loss for epoch in outcome.history if epoch.held_out_loss is not None]
    assert outcome.best_epoch == losses.index(min(losses)) + 1
    assert len(losses) == outcome.best_epoch + 3 < 30
    model = tiny_network()
    for variable, value in zip(model.variables, outcome.weights, strict=True):
        variable.assign(value)
    gray, rgb = augment.plain(loaded.held_out)
    assert float(tf.reduce_mean(network.loss(model(gray), gray, rgb))) == pytest.approx(min(losses), rel=1e-5)


def test_the_same_pictures_and_seed_give_the_same_weights() -> None:
    loaded = pictures.Loaded(discs(24), discs(4, seed=6))
    settings = SETTINGS.model_copy(update={"epochs": 2})
    first, again = _fit(loaded, settings), _fit(loaded, settings)
    for one, other in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    moved = _fit(loaded, settings.model_copy(update={"seed": 8}))
    assert [epoch.loss for epoch in moved.history] != [epoch.loss for epoch in first.history]


def test_weights_that_run_away_are_the_users_to_correct() -> None:
    with pytest.raises(UserError, match=r"a training loss that.*set a lower training\.learning_rate"):
        _fit(pictures.Loaded(discs(24), None), Training(epochs=4, learning_rate=1e30))


def test_weights_that_run_away_in_the_only_step_show_in_what_is_held_out() -> None:
    """The loss of a step is that of the weights before it, so the training loss is still a number."""
    settings = Training(epochs=1, batch_size=24, learning_rate=1e30)
    with pytest.raises(UserError, match=r"a held-out loss that.*set a lower training\.learning_rate"):
        _fit(pictures.Loaded(discs(24), discs(4, seed=6)), settings)


def test_it_learns_and_tells_what_happened(folder: Path) -> None:
    report = _report(folder)
    assert report["rows"] + report["held_out_rows"] == 60
    assert (report["network"], report["size"], report["replicas"]) == ("chroma", 16, 1)
    assert (report["epochs"], report["resumed_from"], len(report["history"])) == (4, 0, 4)
    held_out = [loss for _, loss in _losses(report)]
    assert held_out[report["best_epoch"] - 1] == min(held_out) < held_out[0]
    assert report["images_per_second"] > 0
    rates = [epoch["learning_rate"] for epoch in report["history"]]
    assert sorted(rates, reverse=True) == rates
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    outer = [layer for layer in report["layers"] if "within" not in layer]
    assert [(layer["name"], layer["shape"]) for layer in outer] == [
        ("gray", [None, 16, 16, 1]),
        ("painter", [None, 2, 2, 12]),
    ]
    inner = [layer for layer in report["layers"] if layer.get("within") == "painter"]
    assert inner[1]["shape"] == [None, 4, 4, 8]
    assert {layer["copies"] for layer in inner} == {SETTINGS.members}
    assert SETTINGS.members * sum(layer["parameters"] for layer in inner) == report["parameters"]
    assert report["devices"]
    assert not list((folder / "checkpoints").iterdir())


def test_tensorboard_shows_curves_weights_and_pictures_of_each_epoch(folder: Path) -> None:
    (path,) = (folder / "run").glob("events.*")
    steps: dict[str, set[int]] = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            steps.setdefault(value.tag, set()).add(event.step)
    assert {"loss", "held_out_loss", "learning_rate", "images_per_second", "gray | predicted | true"} < set(steps)
    assert any(tag.endswith("kernel") for tag in steps)
    assert all(found == {1, 2, 3, 4} for found in steps.values())


# --- what is gone on with -------------------------------------------------------------------------


def test_a_killed_training_goes_on_and_ends_like_an_undisturbed_one(
    examples: str, folder: Path, tmp_path: Path
) -> None:
    arguments = _arguments(examples, tmp_path)
    path = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", RUN_AND_DIE, json.dumps(arguments)]
    killed = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr[-3000:]
    assert not (tmp_path / "model").exists()

    trainer.run_fn(SimpleNamespace(**arguments))
    report, undisturbed = _report(tmp_path), _report(folder)
    assert (report["resumed_from"], report["epochs"]) == (2, 4)
    assert _losses(report) == _losses(undisturbed)
    assert report["best_epoch"] == undisturbed["best_epoch"]
    np.testing.assert_array_equal(_rgb(tmp_path), _rgb(folder))
    assert not list((tmp_path / "checkpoints").iterdir())


def _training() -> loop.Training:
    loaded = pictures.Loaded(discs(24), discs(4, seed=6))
    return loop.Training(tiny_network, loaded, SETTINGS.model_dump(), distribution.strategy("single"))


def _damage(files: Sequence[Path]) -> None:
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_a_damaged_checkpoint_is_skipped(tmp_path: Path) -> None:
    training = _training()
    kept = checkpoints.Checkpoints(str(tmp_path), training.state, writes=True)
    for _ in training.epochs():
        kept.save(training.epochs_done)
    for damaged, epochs in {"ckpt-4.data*": 3, "ckpt-3.index": 0}.items():
        _damage(list(tmp_path.glob(damaged)))
        again = _training()
        found = checkpoints.Checkpoints(str(tmp_path), again.state, writes=True).restore()
        assert (found, again.epochs_done) == (epochs > 0, epochs)


def test_only_the_same_training_goes_on() -> None:
    config = {"training": {"seed": 1}, "code": "abc"}
    first = checkpoints.folder_of_training("gs://bucket/folder/", config, ["b", "a"])
    assert first.startswith("gs://bucket/folder/")
    assert checkpoints.folder_of_training("gs://bucket/folder", config, ["a", "b"]) == first
    others = [({**config, "code": "abd"}, ["a", "b"]), ({**config, "training": {"seed": 2}}, ["a", "b"]), (config, "a")]
    assert first not in [checkpoints.folder_of_training("gs://bucket/folder", *other) for other in others]
