"""Searches for the offset of the line that lies best: there is nothing to fit for that."""

from __future__ import annotations

from typing import Any

from models import tuning


def tuner_fn(fn_args: Any) -> Any:
    config = fn_args.custom_config
    space = {"offset": (-0.5, 0.0, 0.5)}
    objective = "distance from the line"
    return tuning.search(
        lambda settings: abs(settings["offset"]),
        config["training"],
        space,
        trials=config["trials"],
        objective=objective,
    )
