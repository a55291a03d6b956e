"""The pictures that a report shows of an answer: what was asked, what was answered, and the truth."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.colorizer import features, sheet
from pipeline.contract import Answers

LONGEST_SIDE = 128
"""Pixels at most, so that a report stays small: 18 rows of three photos take 1.2 MB, and 1.6 in a page."""
GRAY, PREDICTED, TRUE = "gray", "predicted", "true"


def illustrate(answers: Answers) -> dict[str, NDArray[Any]]:
    """Returns PNG files, [n] each: the gray picture, the prediction and the truth.

    Args:
      answers: as `models.colorizer.measure.measure` is given them.
    """
    levels = np.rint((np.clip(answers.prediction, -1, 1) + 1) * 127.5).astype(np.uint8)
    return {
        GRAY: _files(Image.open(io.BytesIO(file)).convert("L") for file in answers.features[features.GRAY]),
        PREDICTED: _files(Image.fromarray(picture) for picture in levels),
        TRUE: _files(Image.open(io.BytesIO(file)).convert("RGB") for file in answers.label),
    }


def _files(pictures: Iterable[Image.Image]) -> NDArray[Any]:
    return np.array([_png(picture) for picture in pictures], dtype=object)


def _png(picture: Image.Image) -> bytes:
    small = picture if max(picture.size) <= LONGEST_SIDE else sheet.small_copy(picture, LONGEST_SIDE)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return file.getvalue()
