"""What is measured of a picture, and the metrics made of it, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from models.colorizer import MODEL, colours, features, measure, metrics, naive
from pipeline.contract import Answers, Rows
from pipeline.ingestion.decoding import Picture, decode

SIDE = 16
CHROMA = np.array([-0.1, 0.2], np.float32)


def pngs(pictures: NDArray[Any]) -> NDArray[Any]:
    """PNG files of pictures from -1 to 1."""
    levels = np.rint((pictures + 1) * 127.5).astype(np.uint8)
    return np.array([tf.io.encode_png(picture).numpy() for picture in levels], dtype=object)


def pictures(count: int = 3) -> NDArray[np.float32]:
    """Random pictures whose values are levels of a PNG."""
    levels = np.random.default_rng(3).integers(60, 196, (count, SIDE, SIDE, 3))
    return (levels / 127.5 - 1).astype(np.float32)


def features_of(truth: NDArray[Any], chroma: NDArray[Any] = CHROMA) -> dict[str, NDArray[Any]]:
    gray = truth @ np.array([0.299, 0.587, 0.114], np.float32)
    rows = len(truth)
    tint = {features.TRAIN_CB: np.full(rows, chroma[0]), features.TRAIN_CR: np.full(rows, chroma[1])}
    return {features.GRAY: pngs(gray[..., np.newaxis]), **tint}


def values(truth: NDArray[Any], prediction: NDArray[Any]) -> dict[str, float]:
    """All metrics of some pictures."""
    inputs = features_of(truth)
    answers = Answers(pngs(truth), prediction, naive.tint(inputs, {}), inputs)
    nothing = np.empty((len(truth), 0))
    rows = Rows(nothing, nothing, nothing, np.ones(len(truth)), measure.measure(answers))
    return {metric.name: getattr(metrics, metric.name)(rows) for metric in MODEL.metrics}


def test_the_truth_itself_is_perfect() -> None:
    found = values(pictures(), pictures())
    assert found["mse"] == pytest.approx(0, abs=1e-12)
    assert (found["mse_vs_gray"], found["mse_vs_tint"]) == pytest.approx((0, 0), abs=1e-9)
    assert found["psnr"] == pytest.approx(54.15, abs=0.01)
    assert (found["ssim"], found["colourfulness"]) == pytest.approx((1, 1))


def test_a_known_error_has_its_known_size() -> None:
    found = values(pictures(), pictures() + 0.1)
    assert found["mse"] == pytest.approx(0.01, rel=1e-4)
    assert found["psnr"] == pytest.approx(26.02, abs=0.01)
    assert found["ssim"] < 1


def test_a_gray_copy_is_the_gray_copy_and_has_no_colour() -> None:
    truth = pictures()
    gray = np.repeat((truth @ np.array([0.299, 0.587, 0.114], np.float32))[..., np.newaxis], 3, axis=-1)
    found = values(truth, gray)
    assert found["mse_vs_gray"] == pytest.approx(1, rel=1e-2)
    assert found["colourfulness"] == pytest.approx(0, abs=1e-6)


def test_the_tint_is_the_tint() -> None:
    truth = pictures()
    found = values(truth, naive.tint(features_of(truth), {}))
    assert found["mse_vs_tint"] == pytest.approx(1)


def test_the_tint_keeps_the_luminance_and_adds_its_chroma() -> None:
    truth = np.zeros((1, SIDE, SIDE, 3), np.float32)
    painted = naive.tint(features_of(truth, np.array([0.05, -0.1])), {})[0, 0, 0]
    assert painted @ np.array([0.299, 0.587, 0.114]) == pytest.approx(1 / 255, abs=1e-5)  # level 128 of 0 .. 255
    red, _, blue = painted - painted @ np.array([0.299, 0.587, 0.114])
    assert (blue / 1.772 / 2, red / 1.402 / 2) == pytest.approx((0.05, -0.1), abs=1e-6)


def test_half_the_way_to_the_truth_is_a_quarter_of_the_squared_error() -> None:
    truth = pictures()
    tinted = naive.tint(features_of(truth), {})
    assert values(truth, (truth + tinted) / 2)["mse_vs_tint"] == pytest.approx(0.25, rel=1e-4)


def test_all_gray_pictures_have_no_relative_error() -> None:
    truth = np.repeat(pictures()[..., :1], 3, axis=-1)
    found = values(truth, truth)
    assert np.isnan(found["mse_vs_gray"])
    assert np.isnan(found["colourfulness"])


def test_colourfulness_of_two_halves_is_that_of_the_paper() -> None:
    """Half red, half blue: rg is 255 and 0, yb is 127.5 and -255."""
    rgb = -np.ones((1, 4, 4, 3))
    rgb[0, :2, :, 0] = rgb[0, 2:, :, 2] = 1
    spread, centre = np.hypot(127.5, 191.25), np.hypot(127.5, -63.75)
    assert measure.colourfulness(rgb)[0] == pytest.approx(spread + 0.3 * centre)


def test_colourfulness_and_chroma_are_those_that_ingestion_tells() -> None:
    (truth,) = pictures(1)
    told = decode(pngs(truth[np.newaxis])[0], SIDE)
    assert isinstance(told, Picture)
    assert measure.colourfulness(truth[np.newaxis])[0] == pytest.approx(told.colourfulness, rel=1e-5)
    cb, cr = colours.chroma(tf.constant(truth)).numpy().mean(axis=(0, 1))
    assert (cb, cr) == pytest.approx((told.cb, told.cr), abs=1e-6)
