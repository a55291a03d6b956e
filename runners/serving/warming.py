"""Asking a version once before it serves: TensorFlow prepares much when it is first asked."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from runners.serving.drawn import drawn_rows
from runners.serving.loaded import LoadedModel


def warm_up(loaded: LoadedModel) -> None:
    """Asks each signature about a row that was drawn."""
    draw = np.random.default_rng(1)
    for signature in loaded.signatures.values():
        with suppress(ValueError):  # Such a row may make no sense to the model; then the first request is slower.
            loaded.ask(signature.name, drawn_rows(signature, draw, 1))
