"""Scales x by a full pass."""

from __future__ import annotations

from typing import Any

import tensorflow_transform as tft


def preprocessing_fn(inputs: dict[str, Any], custom_config: Any = None) -> dict[str, Any]:
    return {"x_scaled": tft.scale_to_z_score(inputs["x"]), "y": inputs["y"]}
