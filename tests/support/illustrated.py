"""A measure and pictures of a straight line's answers, small enough to be reckoned by hand."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.contract import Answers


def off(answers: Answers) -> dict[str, NDArray[Any]]:
    """By how much an answer is off."""
    return {"off": np.abs(answers.prediction - answers.label)}


def squares(answers: Answers) -> dict[str, NDArray[Any]]:
    """A gray pixel as bright as x is great, 0 to 1, and one as bright as the answer is off."""
    return {"asked": _pixels(answers.features["x"]), "missed": _pixels(off(answers)["off"])}


def broken(answers: Answers) -> dict[str, NDArray[Any]]:
    """A mistake in code that nothing but the report needs."""
    raise RuntimeError(f"no ink for {len(answers.label)} rows")


def pixel(png: bytes) -> int:
    """The brightness of a picture of one pixel, 0 to 255."""
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.size) == ("PNG", (1, 1))
        return int(np.asarray(picture)[0, 0])


def _pixels(values: NDArray[Any]) -> NDArray[Any]:
    return np.array([_png(value) for value in values], dtype=object)


def _png(value: float) -> bytes:
    file = io.BytesIO()
    Image.new("L", (1, 1), round(float(value) * 255)).save(file, "PNG")
    return file.getvalue()
