"""The networks: shapes, what they answer untrained, and that an answer depends on its own picture only."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.colorizer import colours, network
from models.colorizer.training_settings import Training

TINT = (-0.04, 0.03)


SMALL = {"members": 2, "filters": (4, 6, 8), "saturation": 1.0}


def _build(**settings: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    chosen = settings if settings.get("network") == "reference" else {**SMALL, **settings}
    return network.build(Training(**chosen).model_dump(mode="json"), TINT)


def _disturbed(**settings: Any) -> keras.Model:
    """A network that paints something, as if trained: with random numbers where untrained weights are 0."""
    model = _build(**settings)
    random = np.random.default_rng(2)
    for variable in model.weights:
        value = variable.numpy()
        variable.assign(np.where(value == 0, random.uniform(-0.1, 0.1, value.shape).astype(value.dtype), value))
    return model


def _gray(pictures: int, height: int = 32, width: int = 48) -> Any:
    return tf.constant(np.random.default_rng(8).uniform(-1, 1, (pictures, height, width, 1)), tf.float32)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (80, 80), (256, 16)])
def test_untrained_it_tints_pictures_of_any_size(height: int, width: int) -> None:
    gray = _gray(2, height, width)
    expected = colours.join(gray, np.broadcast_to(np.array(TINT, np.float32), (2, height, width, 2)))
    np.testing.assert_allclose(network.finish(_build()(gray, training=False), gray), expected, atol=1e-5)


def test_a_curve_tells_the_chroma_for_each_luminance_and_between_two() -> None:
    curves = np.zeros((1, 2, 2, network.LEVELS, 2), "float32")
    curves[..., 0] = np.linspace(-0.1, 0.1, network.LEVELS)
    gray = np.linspace(-0.4, 0.4, 256, dtype="float32").reshape(1, 16, 16, 1)
    rgb = network.finish(tf.constant(curves.reshape((1, 2, 2, -1))), tf.constant(gray))
    expected = np.concatenate([0.1 * gray, np.zeros_like(gray)], axis=-1)
    np.testing.assert_allclose(colours.chroma(rgb), expected, atol=1e-5)


def test_curves_may_differ_from_place_to_place() -> None:
    curves = np.zeros((1, 1, 4, network.LEVELS, 2), "float32")
    curves[:, :, 2:] = 0.1
    gray = tf.zeros((1, 8, 32, 1))
    chroma = colours.chroma(network.finish(tf.constant(curves.reshape((1, 1, 4, -1))), gray)).numpy()
    np.testing.assert_allclose(chroma[:, :, :12], 0, atol=1e-5)
    np.testing.assert_allclose(chroma[:, :, 20:], 0.1, atol=1e-5)
    assert (np.diff(chroma[0, 0, 12:20, 0]) > 0).all()


def test_in_training_each_member_paints_its_own_curves() -> None:
    painted = _disturbed(members=3)(_gray(2), training=True)
    assert painted.shape == (2, 4, 6, network.LEVELS * 3 * 2)
    assert np.abs(painted[..., :2] - painted[..., 2:4]).max() > 1e-3


@pytest.mark.parametrize("name", ["chroma", "reference"])
def test_a_picture_is_painted_the_same_alone_as_among_others(name: str) -> None:
    model, gray = _disturbed(network=name), _gray(3)
    together = model(gray, training=False)
    np.testing.assert_allclose(model(gray[1:2], training=False), together[1:2], atol=1e-5)
    np.testing.assert_array_equal(model(gray, training=False), together)
    assert np.std(together) > 1e-3


def test_the_mirror_image_is_painted_the_mirrored_colours() -> None:
    model, gray = _disturbed(), _gray(2)
    mirrored = model(tf.reverse(gray, [2]), training=False)
    np.testing.assert_allclose(tf.reverse(mirrored, [2]), model(gray, training=False), atol=1e-5)


def test_saturation_moves_colours_away_from_the_mean_of_their_picture() -> None:
    gray = 0.5 * _gray(2)
    painted = [_disturbed(saturation=factor)(gray, training=False) for factor in (1.0, 2.0)]
    plain, vivid = (colours.chroma(network.finish(curves, gray)).numpy() for curves in painted)
    mean = plain.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(vivid, mean + 2 * (plain - mean), atol=1e-5)


def test_the_reference_has_its_size_and_paints_rgb() -> None:
    model = _build(network="reference")
    assert model.count_params() == pytest.approx(1.1e6, rel=0.03)
    painted = model(_gray(2), training=False)
    assert painted.shape == (2, 32, 48, 3)
    assert np.abs(painted).max() <= 1
    np.testing.assert_array_equal(network.finish(painted, _gray(2)), painted)


def test_a_finished_picture_keeps_its_luminance_at_its_own_size() -> None:
    painted = tf.constant(np.random.default_rng(1).uniform(-0.3, 0.3, (2, 8, 12, network.LEVELS * 2)), tf.float32)
    gray = _gray(2, 37, 51)
    rgb = network.finish(painted, gray)
    np.testing.assert_allclose(colours.luminance(rgb), gray, atol=2e-6)
    assert np.abs(rgb).max() <= 1 + 1e-6


def test_the_loss_is_the_error_in_rgb() -> None:
    random = np.random.default_rng(4)
    rgb = random.uniform(-0.2, 0.2, (2, 16, 16, 3)).astype("float32")
    painted = random.uniform(-0.05, 0.05, (2, 2, 2, network.LEVELS * 2)).astype("float32")
    gray = colours.luminance(rgb)
    expected = np.square(network.finish(painted, gray) - rgb).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(network.loss(tf.constant(painted), gray, rgb), expected, rtol=1e-4)
    np.testing.assert_allclose(network.loss(tf.constant(rgb + 0.1), gray, tf.constant(rgb)), [0.01, 0.01], rtol=1e-4)


def test_the_loss_reads_the_curves_at_the_luminance_that_the_network_saw() -> None:
    rgb = colours.join(tf.zeros((1, 16, 16, 1)), tf.constant([0.1, 0.0]) * tf.ones((1, 16, 16, 2)))
    curves = tf.constant([0.1, 0.0] * (network.LEVELS - 1) + [0.0, 0.0]) * tf.ones((1, 2, 2, network.LEVELS * 2))
    darker, brighter = (float(network.loss(curves, tf.fill((1, 16, 16, 1), light), rgb)[0]) for light in (-0.5, 0.9))
    assert darker < 1e-9
    assert brighter > 1e-3


def test_the_loss_of_several_members_is_their_mean_not_that_of_their_mean() -> None:
    rgb, gray, cells = tf.zeros((1, 16, 16, 3)), tf.zeros((1, 16, 16, 1)), tf.ones((1, 2, 2, 1))
    apart = cells * tf.constant([0.1, 0.0, -0.1, 0.0] * network.LEVELS)
    alone = cells * tf.constant([0.1, 0.0] * network.LEVELS)
    np.testing.assert_allclose(network.loss(apart, gray, rgb), network.loss(alone, gray, rgb), rtol=1e-5)
    assert float(network.loss(alone, gray, rgb)[0]) > 1e-3


def test_a_few_steps_learn_that_dark_is_blue_and_bright_is_yellow() -> None:
    model, optimizer = _build(dropout=0.0), keras.optimizers.Adam(0.02)
    gray = tf.constant(np.random.default_rng(3).choice([-0.6, 0.6], (8, 2, 2, 1)), tf.float32)
    gray = tf.image.resize(gray, (32, 32), "nearest")
    rgb = colours.join(gray, tf.concat([-0.15 * tf.sign(gray), 0 * gray], axis=-1))

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network.loss(model(gray, training=True), gray, rgb))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    for _ in range(40):
        step()
    error = tf.reduce_mean(tf.square(network.finish(model(gray, training=False), gray) - rgb))
    tinted = tf.reduce_mean(tf.square(colours.join(gray, TINT + tf.zeros((8, 32, 32, 2))) - rgb))
    assert float(error) < 0.3 * float(tinted)
