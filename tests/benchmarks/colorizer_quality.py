"""How good the colorizer is on pictures that it never saw, over seeds and splits, as a table in Markdown.

Split 0 is the product's own; the others draw the pictures anew. Each training goes through the product's trainer and
its saved model; the test split of each is asked once, and nothing is chosen by it.

Usage: python tests/benchmarks/colorizer_quality.py PHOTOS [--splits 3] [--seeds 3] [--size 80] [--set KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.colorizer import MODEL, features, measure, metrics, naive, requests, trainer
from pipeline.contract import Answers, Pictures
from pipeline.ingestion.decoding import Picture, decode_all
from pipeline.ingestion.pictures import read_files, split_of
from pipeline.settings import make_settings, read_assignments

RESAMPLES = 10_000
ASKED = 32
"""Pictures that the model is asked about at once."""

Numbers = dict[str, NDArray[np.float64]]


class Row(NamedTuple):
    """What a training came to on its test split.

    Attributes:
      ratio: squared error relative to the constant tint's, with the ends of its 95 % paired-bootstrap interval.
      gray_ratio: relative to the gray copy's.
      colourfulness: relative to the truth's.
    """

    split: int
    seed: int
    epochs: int
    best_epoch: int
    ratio: tuple[float, float, float]
    gray_ratio: float
    colourfulness: float


def draw(pictures: list[Picture], number: int) -> dict[str, list[Picture]]:
    """Returns the pictures by split: of the product for 0, drawn anew for others."""
    found: dict[str, list[Picture]] = {}
    for picture in pictures:
        digest = picture.digest if number == 0 else hashlib.sha256(f"{number} {picture.digest}".encode()).hexdigest()
        found.setdefault(split_of(digest, Pictures().splits), []).append(picture)
    return found


def train(pictures: list[Picture], folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Trains as the DAG does and returns what the trainer tells; the model is in `folder / "model"`."""
    examples = folder / "examples.gz"
    with tf.io.TFRecordWriter(str(examples), options="GZIP") as writer:
        for picture in pictures:
            example = tf.train.Example()
            example.features.feature[features.GRAY].bytes_list.value.append(picture.gray)
            example.features.feature[features.COLOUR].bytes_list.value.append(picture.colour)
            writer.write(example.SerializeToString())
    return trainer.train(
        examples=[str(examples)],
        serving_folder=str(folder / "model"),
        run_folder=str(folder / "run"),
        settings=settings,
    )


def measured(model: Path, test: list[Picture], tint: tuple[float, float]) -> Numbers:
    """Asks the saved model about the test pictures."""
    answer = tf.saved_model.load(str(model)).signatures["serving_default"]
    parts = []
    for start in range(0, len(test), ASKED):
        asked = test[start : start + ASKED]
        inputs = {
            features.GRAY: np.array([picture.gray for picture in asked], dtype=object),
            features.TRAIN_CB: np.full(len(asked), tint[0]),
            features.TRAIN_CR: np.full(len(asked), tint[1]),
        }
        predicted = answer(**{key: tf.constant(value) for key, value in requests.as_floats(inputs).items()})
        truth = np.array([picture.colour for picture in asked], dtype=object)
        parts.append(measure.measure(Answers(truth, predicted[features.RGB].numpy(), naive.tint(inputs, {}), inputs)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(found: Numbers) -> tuple[float, float, float]:
    """Returns the error relative to the tint's, and its 95 % interval when pictures are drawn with replacement."""
    drawn = np.random.default_rng(0).integers(0, len(found[metrics.ERROR]), (RESAMPLES, len(found[metrics.ERROR])))
    ratios = found[metrics.ERROR][drawn].sum(axis=1) / found[metrics.TINT_ERROR][drawn].sum(axis=1)
    lower, upper = np.quantile(ratios, [0.025, 0.975]).tolist()
    return float(found[metrics.ERROR].sum() / found[metrics.TINT_ERROR].sum()), lower, upper


def rows(photos: Path, splits: int, seeds: int, size: int, assignments: list[str]) -> Iterator[Row]:
    """Trains and judges once for each split and seed."""
    decoded = decode_all(read_files(str(photos)), size)
    pictures = [picture for _, picture in decoded if not isinstance(picture, str)]
    for split in range(splits):
        drawn = draw(pictures, split)
        tint = tuple(float(np.mean([getattr(picture, name) for picture in drawn["train"]])) for name in ("cb", "cr"))
        for seed in range(seeds):
            settings = make_settings(MODEL, read_assignments(MODEL, [*assignments, f"seed={seed}"]))
            with tempfile.TemporaryDirectory() as folder:
                told = train(drawn["train"], Path(folder), settings.training.model_dump())
                found = measured(Path(folder) / "model", drawn["test"], (tint[0], tint[1]))
            total = {name: float(values.sum()) for name, values in found.items()}
            yield Row(
                split,
                seed,
                told["epochs"],
                told["best_epoch"],
                interval(found),
                total[metrics.ERROR] / total[metrics.GRAY_ERROR],
                total[metrics.COLOURFULNESS] / total[metrics.TRUE_COLOURFULNESS],
            )


def main() -> None:
    """Prints the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=80)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    print(
        "| split | seed | epochs (best) | error / tint's, 95 % interval | error / gray copy's | colourfulness / true |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows(arguments.photos, arguments.splits, arguments.seeds, arguments.size, arguments.assignments):
        value, lower, upper = row.ratio
        print(
            f"| {row.split} | {row.seed} | {row.epochs} ({row.best_epoch}) | {value:.3f} ({lower:.3f} .. {upper:.3f}) "
            f"| {row.gray_ratio:.3f} | {row.colourfulness:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
