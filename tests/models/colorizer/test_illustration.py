"""The pictures that a report shows of an answer, decoded again."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.colorizer import features
from models.colorizer.illustration import LONGEST_SIDE, illustrate
from pipeline.contract import Answers


def file_of(levels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def opened(png: bytes) -> NDArray[np.uint8]:
    """Levels of a PNG file, [h, w] or [h, w, 3]."""
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def answers(size: int) -> tuple[Answers, NDArray[np.uint8], NDArray[np.uint8]]:
    """Two pictures: what a gate knows of them, the levels of the truth, and those of the answer."""
    draw = np.random.default_rng(2)
    truth, answer = (draw.integers(0, 256, (2, size, size, 3), np.uint8) for _ in range(2))
    files = np.array([file_of(picture) for picture in truth], dtype=object)
    gray = np.array([file_of(picture[..., 0]) for picture in truth], dtype=object)
    prediction = answer.astype(np.float32) / 127.5 - 1
    return Answers(files, prediction, prediction, {features.GRAY: gray}), truth, answer


def test_what_was_asked_what_was_answered_and_the_truth_side_by_side() -> None:
    asked, truth, answer = answers(16)
    found = illustrate(asked)
    assert list(found) == ["gray", "predicted", "true"]
    for row in range(2):
        gray, predicted, true = (opened(files[row]) for files in found.values())
        np.testing.assert_array_equal(gray, truth[row][..., 0])
        np.testing.assert_array_equal(predicted, answer[row])
        np.testing.assert_array_equal(true, truth[row])


def test_an_answer_beyond_black_and_white() -> None:
    asked, *_ = answers(16)
    beyond = asked._replace(prediction=np.where(asked.prediction > 0, 1.5, -1.5))
    assert set(np.unique(opened(illustrate(beyond)["predicted"][0]))) == {0, 255}


@pytest.mark.parametrize("size", [144, 256])
def test_large_pictures_are_kept_small(size: int) -> None:
    found = illustrate(answers(size)[0])
    assert {opened(file).shape[:2] for files in found.values() for file in files} == {(LONGEST_SIDE, LONGEST_SIDE)}
