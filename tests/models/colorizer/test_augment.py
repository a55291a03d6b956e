"""Random variants of pictures: what they keep, what they change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.colorizer import augment, colours


@pytest.fixture(scope="module")
def pictures() -> Any:
    """Copies of one picture, red growing to the right and green growing to the bottom."""
    across = np.broadcast_to(np.arange(32) * 7, (32, 32))
    picture = np.stack([across, across.T, np.full((32, 32), 40)], axis=-1)
    return tf.constant(np.broadcast_to(picture, (64, 32, 32, 3)), tf.uint8)


def test_plain_pictures_keep_every_level(pictures: Any) -> None:
    gray, rgb = augment.plain(pictures)
    np.testing.assert_array_equal(np.round((rgb.numpy() + 1) * 127.5), pictures)
    np.testing.assert_array_equal(gray, colours.luminance(rgb))


def test_the_same_seed_makes_the_same_variants_and_another_seed_others(pictures: Any) -> None:
    first, again, other = (augment.augmented(pictures, tf.constant([1, number])) for number in (2, 2, 3))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(first[1] - other[1]).max() > 0.1


def test_about_half_of_the_variants_are_mirrored_and_none_stands_on_its_head(pictures: Any) -> None:
    _, rgb = augment.augmented(pictures, tf.constant([7, 7]))
    mirrored = rgb[:, 16, 0, 0] > rgb[:, 16, -1, 0]
    assert 16 < np.count_nonzero(mirrored) < 48
    assert (rgb[:, 0, 16, 1] < rgb[:, -1, 16, 1]).numpy().all()


def test_crops_lie_inside_and_keep_most_of_the_picture(pictures: Any) -> None:
    _, rgb = augment.augmented(pictures, tf.constant([4, 9]))
    assert rgb.shape == pictures.shape
    assert np.abs(rgb).max() <= 1 + 1e-6
    kept = np.ptp(rgb.numpy()[..., 0], axis=(1, 2)) / (31 * 7 / 127.5)
    assert kept.min() > augment.SMALLEST - 1e-5
    assert kept.max() <= 1 + 1e-5
    assert np.std(kept) > 0.02


def test_the_network_sees_another_light_than_the_colours_have(pictures: Any) -> None:
    gray, rgb = augment.augmented(pictures, tf.constant([4, 9]))
    assert np.abs(gray).max() <= 1 + 1e-6
    change = np.abs(gray - colours.luminance(rgb)).max(axis=(1, 2, 3))
    assert np.median(change) > 0.005


def test_variants_can_be_made_inside_a_graph_of_any_batch(pictures: Any) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(pictures).batch(24)
    made = dataset.map(lambda colour: augment.augmented(colour, tf.constant([1, 2])))
    assert [rgb.shape[0] for _, rgb in made] == [24, 24, 16]
