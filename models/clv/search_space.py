"""The hyper-parameters that a search chooses from: plain data, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.clv.training_settings import Training

SPACE: dict[str, tuple[Any, ...]] = {
    "learning_rate": (0.003, 0.01, 0.02),
    "hidden_units": ((32, 16), (64,), (64, 32), (64, 64)),
    "activation": ("gelu", "selu"),
    "weight_decay": (0.0, 0.1, 0.3),
    "epochs": (8, 16, 30),
    "mae_weight": (0.0, 0.3, 0.6, 1.0),
    "nll_weight": (0.1, 0.3, 0.6),
    "tweedie_power": (1.3, 1.5, 1.7),
}
"""Training setting -> the values to choose from."""


def space_of(settings: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Returns what there is to choose for a network: the reference has no use for some settings."""
    useless = Training.without_reference if settings["network"] == "reference" else ()
    return {name: values for name, values in SPACE.items() if name not in useless}
