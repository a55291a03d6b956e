"""The networks: shapes, what they answer untrained, and that an answer depends on its own picture only."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.colorizer import colours, network
from models.colorizer.training_settings import Training, of_network

TINT = (-0.04, 0.03)


def _build(**settings: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    chosen = {"members": 2, "filters": (4, 6, 8), "saturation": 1.0, **settings}
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
    painted = _build()(_gray(2, height, width), training=False)
    np.testing.assert_allclose(painted, np.broadcast_to(TINT, (2, height // 4, width // 4, 2)), rtol=1e-5)


def test_in_training_each_member_paints_its_own_chroma() -> None:
    painted = _disturbed(members=3)(_gray(2), training=True)
    assert painted.shape == (2, 8, 12, 6)
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
    gray = _gray(2)
    plain, vivid = (_disturbed(saturation=factor)(gray, training=False).numpy() for factor in (1.0, 2.0))
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
    painted = tf.constant(np.random.default_rng(1).uniform(-0.3, 0.3, (2, 8, 12, 2)), tf.float32)
    gray = _gray(2, 37, 51)
    rgb = network.finish(painted, gray)
    np.testing.assert_allclose(colours.luminance(rgb), gray, atol=2e-6)
    assert np.abs(rgb).max() <= 1 + 1e-6


def test_the_loss_is_the_error_in_rgb() -> None:
    random = np.random.default_rng(4)
    rgb = np.repeat(np.repeat(random.uniform(-0.2, 0.2, (2, 4, 4, 3)), 4, axis=1), 4, axis=2).astype("float32")
    painted = random.uniform(-0.05, 0.05, (2, 4, 4, 2)).astype("float32")
    coarse = colours.luminance(rgb)[:, ::4, ::4] + colours.offsets(painted)
    expected = np.square(coarse - rgb[:, ::4, ::4]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(network.loss(tf.constant(painted), tf.constant(rgb)), expected, rtol=1e-4)
    np.testing.assert_allclose(network.loss(tf.constant(rgb + 0.1), tf.constant(rgb)), [0.01, 0.01], rtol=1e-4)


def test_the_loss_of_several_members_is_their_mean_not_that_of_their_mean() -> None:
    rgb = tf.zeros((1, 16, 16, 3))
    apart = tf.constant([[0.1, 0.0, -0.1, 0.0]]) * tf.ones((1, 4, 4, 4))
    alone = tf.constant([[0.1, 0.0]]) * tf.ones((1, 4, 4, 2))
    np.testing.assert_allclose(network.loss(apart, rgb), network.loss(alone, rgb), rtol=1e-5)


def test_a_few_steps_learn_that_dark_is_blue_and_bright_is_yellow() -> None:
    model, optimizer = _build(dropout=0.0), keras.optimizers.Adam(0.02)
    gray = tf.constant(np.random.default_rng(3).choice([-0.6, 0.6], (8, 2, 2, 1)), tf.float32)
    gray = tf.image.resize(gray, (32, 32), "nearest")
    rgb = colours.join(gray, tf.concat([-0.15 * tf.sign(gray), 0 * gray], axis=-1))

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network.loss(model(gray, training=True), rgb))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    for _ in range(40):
        step()
    error = tf.reduce_mean(tf.square(network.finish(model(gray, training=False), gray) - rgb))
    tinted = tf.reduce_mean(tf.square(colours.join(gray, TINT + tf.zeros((8, 32, 32, 2))) - rgb))
    assert float(error) < 0.3 * float(tinted)


def test_the_reference_brings_its_own_optimizer_settings() -> None:
    mine = Training(network="reference", batch_size=4, epochs=3).model_dump()
    assert of_network(mine)["batch_size"] == 128
    assert of_network(mine)["epochs"] == 3
    chroma = Training(batch_size=4).model_dump()
    assert of_network(chroma) == chroma
