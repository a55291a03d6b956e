"""Luminance and chroma against Pillow's and against what joining promises."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.colorizer import colours


@pytest.fixture(scope="module")
def rgb() -> Any:
    """A picture of random colours, and of the corners of the range."""
    random = np.random.default_rng(3).uniform(-1, 1, (1, 40, 40, 3)).astype("float32")
    random[0, 0, :8] = [[r, g, b] for r in (-1, 1) for g in (-1, 1) for b in (-1, 1)]
    return random


def test_luminance_and_chroma_are_those_of_jpeg(rgb: Any) -> None:
    pixels = np.round((rgb[0] + 1) * 127.5).astype("uint8")
    expected = np.asarray(Image.fromarray(pixels).convert("YCbCr"), "float32")
    picture = tf.constant(pixels, tf.float32)[tf.newaxis] / 127.5 - 1
    np.testing.assert_allclose((colours.luminance(picture)[0, ..., 0] + 1) * 127.5, expected[..., 0], atol=1)
    np.testing.assert_allclose(colours.chroma(picture)[0] * 255 + 128, expected[..., 1:], atol=1.5)


def test_a_picture_taken_apart_is_joined_to_what_it_was(rgb: Any) -> None:
    joined = colours.join(colours.luminance(rgb), colours.chroma(rgb))
    np.testing.assert_allclose(joined, rgb, atol=2e-6)


def test_no_chroma_is_gray() -> None:
    gray = np.linspace(-1, 1, 9, dtype="float32").reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(colours.join(gray, np.zeros((1, 3, 3, 2), "float32")), np.repeat(gray, 3, axis=-1))


def test_any_chroma_leaves_the_luminance_exact_and_the_colours_in_range() -> None:
    random = np.random.default_rng(5)
    gray = random.uniform(-1, 1, (2, 30, 30, 1)).astype("float32")
    gray[0, 0, :2] = [[-1], [1]]
    joined = colours.join(gray, random.uniform(-1, 1, (2, 30, 30, 2)).astype("float32"))
    np.testing.assert_allclose(colours.luminance(joined), gray, atol=2e-6)
    assert np.abs(joined).max() <= 1 + 1e-6


def test_too_much_chroma_keeps_its_hue() -> None:
    gray, chroma = np.full((1, 1, 1, 1), 0.2, "float32"), np.array([[[[-0.1, 0.05]]]], "float32")
    pale, vivid = (colours.join(gray, factor * chroma).numpy().ravel() / 2 + 0.5 for factor in (1.0, 30.0))
    assert vivid.max() == pytest.approx(1) or vivid.min() == pytest.approx(0)
    assert colorsys.rgb_to_hsv(*vivid)[0] == pytest.approx(colorsys.rgb_to_hsv(*pale)[0], abs=1e-4)
    assert colorsys.rgb_to_hsv(*vivid)[1] > colorsys.rgb_to_hsv(*pale)[1]
