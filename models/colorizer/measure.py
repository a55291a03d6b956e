"""What is kept of a picture for the metrics: a handful of numbers instead of all its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.colorizer import features, metrics, requests
from pipeline.contract import Answers


def measure(answers: Answers) -> dict[str, NDArray[np.float64]]:
    """Returns of each picture, [n]: mean squared errors in RGB from -1 to 1, SSIM, colourfulness.

    Args:
      answers: label PNG files, prediction and tint RGB [n, h, w, 3] from -1 to 1, feature `gray` PNG files.

    Returns:
      `error` of the prediction, `gray_error` of the gray copy and `tint_error` of the constant tint; `ssim` of the
      prediction; `colourfulness` of the prediction and `true_colourfulness`.
    """
    truth = requests.decoded(answers.label, channels=3)
    gray = requests.decoded(answers.features[features.GRAY], channels=1)
    return {
        metrics.ERROR: squared_error(answers.prediction, truth),
        metrics.GRAY_ERROR: squared_error(gray, truth),
        metrics.TINT_ERROR: squared_error(answers.naive, truth),
        metrics.SSIM: similarity(answers.prediction, truth),
        metrics.COLOURFULNESS: colourfulness(answers.prediction),
        metrics.TRUE_COLOURFULNESS: colourfulness(truth),
    }


def squared_error(picture: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the mean squared error of each picture, [n]."""
    difference = np.asarray(picture, np.float64) - np.asarray(truth, np.float64)
    return np.asarray(np.mean(np.square(difference), axis=(1, 2, 3)))


def similarity(picture: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the structural similarity of each picture, [n], at most 1: the mean over red, green and blue.

    Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Transactions on Image Processing 13(4), pp. 600-612.
    """
    pair = (tf.constant(values, tf.float32) for values in (picture, truth))
    return np.asarray(_similarity(*pair), np.float64)


# Compiled, since the Evaluator asks picture by picture, and the call would cost eight times the computation.
@tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)] * 2, autograph=False)
def _similarity(picture: Any, truth: Any) -> Any:
    return tf.image.ssim(picture, truth, max_val=2.0)


def colourfulness(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the colourfulness of each picture, [n]: 0 gray, 33 moderate, 109 extreme.

    M3 of Hasler and Suesstrunk 2003, Proceedings of SPIE 5007, pp. 87-95.

    Args:
      rgb: [n, h, w, 3], -1 to 1.
    """
    red, green, blue = np.moveaxis(127.5 * (np.asarray(rgb, np.float64) + 1), -1, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread, centre = opponents.std(axis=(2, 3)), opponents.mean(axis=(2, 3))
    return np.asarray(np.hypot(*spread) + 0.3 * np.hypot(*centre))
