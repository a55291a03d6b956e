"""The smallest model that the contract allows: y from x by a straight line. Proves that the pipeline knows no model.

All names derive from `__name__`, so that a test may copy the folder under another name and edit the copy.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pipeline.contract import (
    Ask,
    Bound,
    Column,
    Condition,
    FeatureSettings,
    GateSettings,
    Metric,
    Model,
    Query,
    Range,
    Settings,
    TrainingSettings,
)


class Features(FeatureSettings):
    """`scale` multiplies y."""

    scale: int = 1


class Training(TrainingSettings):
    """`offset` is added to every prediction: a way to train a worse model."""

    offset: float = 0.0


class Gates(GateSettings):
    bounds: dict[str, Bound] = {
        "relative_mae": Bound(upper=0.5, slices=Range(upper=0.5), reason="the rule y = 0 must be beaten by far"),
        "mae": Bound(upper=5.0, worsening=0.001, reason="an error of 5 is of no use to anybody"),
    }


class TinySettings(Settings):
    features: Features = Features()
    training: Training = Training()
    gates: Gates = Gates()


def resolve(settings: Settings, ask: Ask) -> Settings:
    """Nothing depends on the data."""
    return settings


def write_sample(path: Path, seed: int = 7) -> None:
    """Writes 600 rows of y = 3 x + 2, exactly."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Id", "X", "Y"])
        writer.writerows([i, (i * 7919 + seed) % 100 / 10, 3 * ((i * 7919 + seed) % 100 / 10) + 2] for i in range(600))


def spoil(source: Path, target: Path) -> None:
    """Makes every y negative."""
    target.write_text(source.read_text().replace(",2", ",-2"))


def make_model(**changes: Any) -> Model:
    """The contract; `changes` replace fields."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "title": "a straight line",
        "source": Query(
            sql=f"{__name__}:examples.sql",
            table="points",
            columns=(
                Column(name="id", source="Id", type="integer"),
                Column(name="x", source="X", type="float"),
                Column(name="y", source="Y", type="float"),
            ),
            forbidden=(Condition(name="negative x", where="x < 0"),),
            resolve=f"{__name__}.resolve",
        ),
        "schema_file": f"{__name__}:schema.pbtxt",
        "key": ("id",),
        "label": "y",
        "prediction": "predicted",
        "preprocessing_fn": f"{__name__}.preprocessing.preprocessing_fn",
        "run_fn": f"{__name__}.trainer.run_fn",
        "naive": f"{__name__}.naive.naive",
        "naive_features": ("x",),
        "sample_data": f"{__name__}.write_sample",
        "spoil_data": f"{__name__}.spoil",
        "metrics": (
            Metric(name="mae", function="pipeline.metrics.mae"),
            Metric(name="relative_mae", function="pipeline.metrics.mae_relative_to_naive"),
        ),
        "slices": ("band",),
        "settings": TinySettings,
    }
    return Model(**{**fields, **changes})


MODEL = make_model()
