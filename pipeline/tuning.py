"""Hyper-parameters that a search found, where TFX's Tuner left them."""

from __future__ import annotations

import json

from tfx.dsl.io import fileio

from pipeline.contract import Tuned

FILE = "best_hyperparameters.txt"
"""What TFX's Tuner calls it: KerasTuner's HyperParameters as JSON."""


def read_tuned(folder: str) -> Tuned:
    """Returns what a search came to, from the folder of its HyperParameters; local, or in a bucket."""
    with fileio.open(f"{folder}/{FILE}") as file:
        return Tuned.of(json.load(file))
