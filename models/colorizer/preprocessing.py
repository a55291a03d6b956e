"""TFX Transform's part: the two pictures of an example pass through as they are.

There is nothing to analyse: the trainer works out the mean chroma of what it fits on, and a server is asked with
pictures of any size. TFX reloads this module: it holds functions and plain constants only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models.colorizer import features


def preprocessing_fn(inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns `features.GRAY` and `features.COLOUR`, PNG files, [rows] each.

    Args:
      inputs: raw features by name, [rows].
      custom_config: TFX's; not read, since nothing here depends on settings.
    """
    del custom_config
    return {name: tf.reshape(inputs[name], [-1]) for name in (features.GRAY, features.COLOUR)}
