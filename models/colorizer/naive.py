"""The rule that the model must beat: one tint for every picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.colorizer import colours, features, requests


def tint(inputs: Mapping[str, NDArray[Any]], feature_settings: Mapping[str, Any]) -> NDArray[np.float32]:
    """Joins the mean chroma of the training split to the luminance of each picture.

    Args:
      inputs: arrays of shape [rows] by feature name: `features.GRAY` (PNG files of one size), and the mean chroma
        `features.TRAIN_CB` and `features.TRAIN_CR`.
      feature_settings: not read.

    Returns:
      RGB, float32 of shape [rows, h, w, 3], -1 to 1.
    """
    gray = requests.decoded(inputs[features.GRAY], channels=1)
    mean = np.stack([inputs[features.TRAIN_CB], inputs[features.TRAIN_CR]], axis=-1).astype(np.float32)
    chroma = np.broadcast_to(mean[:, np.newaxis, np.newaxis], (*gray.shape[:3], 2))
    joined: NDArray[np.float32] = colours.join(gray, chroma).numpy()
    return joined
