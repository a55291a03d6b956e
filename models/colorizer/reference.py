"""The reference network: four convolutions down, four up, from gray to RGB, as the literature has it."""

from __future__ import annotations

from typing import Any

import keras

FILTERS = (32, 64, 128, 256)
"""Channels after each halving."""
DROPOUT = 0.5


def build() -> keras.Model:
    """Returns the untrained network, gray [n, h, w, 1] to RGB [n, h, w, 3], both from -1 to 1; 1.1 M parameters.

    Height and width are multiples of 16.
    """
    gray = keras.Input((None, None, 1), name="gray")
    features = gray
    for filters in FILTERS:
        features = _half(features, filters)
    for filters in FILTERS[-2::-1]:
        features = _double(features, filters)
    rgb = keras.layers.Conv2DTranspose(3, 3, 2, padding="same", activation="tanh")(features)
    return keras.Model(gray, rgb, name="reference")


def _half(features: Any, filters: int) -> Any:
    features = keras.layers.Conv2D(filters, 4, 2, padding="same", use_bias=False)(features)
    return keras.layers.LeakyReLU(0.2)(keras.layers.BatchNormalization()(features))


def _double(features: Any, filters: int) -> Any:
    features = keras.layers.Conv2DTranspose(filters, 3, 2, padding="same", use_bias=False)(features)
    features = keras.layers.Dropout(DROPOUT)(keras.layers.BatchNormalization()(features))
    return keras.layers.Activation("relu")(features)
