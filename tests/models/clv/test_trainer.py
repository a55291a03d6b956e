"""Training on transformed examples, without TFX."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from models.clv import features, preprocessing, serving, trainer
from models.clv.training_settings import Training
from pipeline.contract import UserError

SHORT = Training(epochs=6, members=3)


def _train(transformed: Any, folder: Path, settings: Training = SHORT) -> dict[str, Any]:
    return trainer.train(
        examples=[transformed.examples],
        transform_folder=transformed.graph,
        serving_folder=str(folder),
        settings=settings.model_dump(),
    )


def _future(folder: Path, table: Any) -> Any:
    asked = {name: tf.constant(table[name], kind) for name, kind in serving.input_types().items()}
    return tf.saved_model.load(str(folder)).signatures["serving_default"](**asked)[features.FUTURE].numpy()


def test_it_learns_who_goes_on_buying(transformed: Any, table: Any, tmp_path: Path) -> None:
    history = _train(transformed, tmp_path / "model", Training())
    label, future = table[features.FUTURE_LABEL], _future(tmp_path / "model", table)
    assert np.abs(future - label).mean() < 0.8 * np.abs(label.mean() - label).mean()
    assert abs(future.sum() / label.sum() - 1) < 0.25
    assert (history["epochs"], history["rows"]) == (Training().epochs, 600)


def test_the_same_seed_gives_the_same_answers_in_another_process_too(
    transformed: Any, table: Any, tmp_path: Path
) -> None:
    first = _train(transformed, tmp_path / "first")
    assert _train(transformed, tmp_path / "again") == first
    assert _train(transformed, tmp_path / "other", Training(epochs=6, members=3, seed=8)) != first
    code = (
        "import json, sys; from models.clv import trainer; a = json.loads(sys.argv[1]);"
        "print(json.dumps(trainer.train(**a)))"
    )
    arguments = {"examples": [transformed.examples], "transform_folder": transformed.graph}
    arguments |= {"serving_folder": str(tmp_path / "process"), "settings": SHORT.model_dump()}
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert json.loads(done.stdout.splitlines()[-1]) == first
    answers = [_future(tmp_path / name, table) for name in ("first", "again", "process")]
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def test_the_order_of_the_rows_does_not_matter(transformed: Any, table: Any, tmp_path: Path) -> None:
    """Transform writes the same rows in another order each time."""
    (path,) = tf.io.gfile.glob(transformed.examples)
    records = list(tf.data.TFRecordDataset(path, compression_type="GZIP").as_numpy_iterator())
    with tf.io.TFRecordWriter(str(tmp_path / "reversed-0.gz"), options="GZIP") as writer:
        for record in reversed(records):
            writer.write(record)
    turned = transformed._replace(examples=str(tmp_path / "reversed-*"))
    assert _train(turned, tmp_path / "turned") == _train(transformed, tmp_path / "straight")
    np.testing.assert_array_equal(_future(tmp_path / "turned", table), _future(tmp_path / "straight", table))


def test_without_early_stopping_all_rows_and_all_epochs_are_used(transformed: Any, tmp_path: Path) -> None:
    history = _train(transformed, tmp_path / "model", Training(epochs=3, early_stopping=False))
    assert (history["rows"], history["epochs"]) == (600, 3)


def test_customers_held_out_are_a_tenth_and_not_fitted_on(transformed: Any) -> None:
    graph = tft.TFTransformOutput(transformed.graph)
    fitted, held_out = trainer.splits([transformed.examples], graph, early_stopping=True)
    assert held_out is not None
    rows = [sum(len(label) for _, label in part.as_numpy_iterator()) for part in (fitted, held_out)]
    assert 0.85 * 600 <= rows[0] <= 0.95 * 600
    as_of_the_cutoff = 450
    assert 0.05 * as_of_the_cutoff <= rows[1] <= 0.15 * as_of_the_cutoff
    assert all((inputs[preprocessing.BEFORE] == 0).all() for inputs, _ in held_out.as_numpy_iterator())


@pytest.mark.parametrize(
    ("rows", "chosen", "wanted"),
    [
        (600, {}, (30, 17)),
        (9_887, {}, (30, 39)),
        (2_000_000, {}, (30, 7813)),
        (600, {"virtual_epochs": 10}, (10, 51)),
        (2_000_000, {"virtual_epochs": 10}, (10, 23_439)),
        (2638, {"network": "reference"}, (10, 166)),
        (5, {"virtual_epochs": 1000}, (1000, 1)),
        (5, {}, (30, 5)),
    ],
)
def test_virtual_epochs_are_as_many_whatever_the_rows(
    rows: int, chosen: dict[str, Any], wanted: tuple[int, int]
) -> None:
    assert trainer.virtual_epochs(rows, Training(**chosen).model_dump()) == wanted


def test_virtual_epochs_share_out_the_steps_of_the_training(transformed: Any, tmp_path: Path) -> None:
    """600 rows in 5 passes of 19 batches each, in 3 parts; the last pass is not cut off."""
    settings = Training(epochs=5, virtual_epochs=3, batch_size=32, early_stopping=False, members=1)
    model, told = trainer.fitted(
        [transformed.examples], tft.TFTransformOutput(transformed.graph), settings.model_dump()
    )
    assert (told["epochs"], told["steps_per_epoch"]) == (3, 32)
    assert int(model.optimizer.iterations.numpy()) == 96


def test_the_reference_is_the_labs_network_and_serves_its_total(transformed: Any, table: Any, tmp_path: Path) -> None:
    settings = Training(network="reference", epochs=4, virtual_epochs=2)
    told = _train(transformed, tmp_path / "model", settings)
    assert (told["rows"], told["epochs"], told["steps_per_epoch"]) == (600, 2, 38)
    model, _ = trainer.fitted([transformed.examples], tft.TFTransformOutput(transformed.graph), settings.model_dump())
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [256, 1]
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.2]
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    hidden, bias, last, offset = [variable.numpy() for variable in model.trainable_variables]
    amounts = np.stack([table[name] for name in features.REFERENCE_INPUTS], axis=1)
    total = (np.maximum(amounts @ hidden + bias, 0) @ last + offset)[:, 0]
    future = total - table[features.PAST]
    np.testing.assert_allclose(_future(tmp_path / "model", table), future, atol=0.01)
    assert told["loss"] > 0.5 * np.abs(future - table[features.FUTURE_LABEL]).mean()


def test_run_fn_reads_the_train_files_and_writes_what_happened(transformed: Any, tmp_path: Path) -> None:
    trainer.run_fn(
        SimpleNamespace(
            train_files=[transformed.examples],
            transform_graph_path=transformed.graph,
            serving_model_dir=str(tmp_path / "model"),
            model_run_dir=str(tmp_path / "run"),
            custom_config={
                "training": Training(epochs=2, members=5, early_stopping=True).model_dump(),
                "checkpoints": str(tmp_path / "checkpoints"),
            },
            hyperparameters=None,
        )
    )
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert (tmp_path / "model" / "saved_model.pb").is_file()
    told = json.loads((tmp_path / "run" / "training.json").read_text())
    assert told["epochs"] == len(told["history"]) == 2
    assert all(set(epoch) == {"loss", "val_loss", "learning_rate"} for epoch in told["history"])
    assert told["val_loss"] == told["history"][told["best_epoch"] - 1]["val_loss"]
    assert 0.95 * 600 < told["rows"] + told["held_out_rows"] < 600
    assert told["parameters"] == sum(layer["parameters"] for layer in told["layers"])
    assert told["devices"][0] == "CPU:0"
    by_name = {layer["name"]: layer for layer in told["layers"]}
    assert by_name["numeric"]["inputs"] == []
    assert by_name["concatenate_1"]["inputs"] == ["repeat", "reshape"]
    assert by_name["einsum_dense_1"]["shape"] == [None, 5, 3]
    assert {name for layer in told["layers"] for name in layer["inputs"]} < set(by_name)


def test_no_future_revenue_is_refused() -> None:
    with pytest.raises(UserError, match="expected training rows with revenue after the cut-off"):
        trainer.measure(tf.data.Dataset.from_tensors(({}, tf.zeros([3]))))


def test_too_few_customers_to_hold_any_out_are_refused(transformed: Any, tmp_path: Path) -> None:
    graph = tft.TFTransformOutput(transformed.graph)
    records = list(tf.data.TFRecordDataset(tf.io.gfile.glob(transformed.examples), "GZIP").as_numpy_iterator())
    folds = tf.io.parse_example(records, graph.transformed_feature_spec())[preprocessing.FOLD].numpy()
    with tf.io.TFRecordWriter(str(tmp_path / "few.gz"), "GZIP") as writer:
        for record, fold in zip(records, folds, strict=True):
            if fold >= trainer.HELD_OUT_FOLDS:
                writer.write(record)
    with pytest.raises(UserError, match="early_stopping=false"):
        _train(
            transformed._replace(examples=str(tmp_path / "few.gz")), tmp_path / "model", Training(early_stopping=True)
        )
