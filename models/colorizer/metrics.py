"""The colorizer's metrics, from what `measure` keeps of each picture. NaN means that there is no value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import Rows

ERROR, GRAY_ERROR, TINT_ERROR = "error", "gray_error", "tint_error"
SSIM, COLOURFULNESS, TRUE_COLOURFULNESS = "ssim", "colourfulness", "true_colourfulness"
"""What `measure` keeps of a picture: errors of the answer, the gray copy and the tint; columns of the predictions."""
HALF_A_LEVEL = 1 / 255
"""In units of -1 to 1: what rounding to 256 levels may hide."""


def mse(rows: Rows) -> float:
    """Returns the mean squared error in RGB from -1 to 1; NaN without rows."""
    return _mean(rows.measures[ERROR])


def mse_vs_gray(rows: Rows) -> float:
    """Returns the squared error relative to that of leaving the pictures gray; NaN where all of them are gray."""
    return _ratio(rows, ERROR, GRAY_ERROR)


def mse_vs_tint(rows: Rows) -> float:
    """Returns the squared error relative to that of the training split's mean chroma on every picture."""
    return _ratio(rows, ERROR, TINT_ERROR)


def psnr(rows: Rows) -> float:
    """Returns the mean over pictures of the peak signal-to-noise ratio in dB; at most 54, where rounding hides more."""
    error = np.maximum(rows.measures[ERROR], HALF_A_LEVEL**2)
    return _mean(10 * np.log10(4 / error))


def ssim(rows: Rows) -> float:
    """Returns the mean over pictures of the structural similarity, at most 1."""
    return _mean(rows.measures[SSIM])


def colourfulness(rows: Rows) -> float:
    """Returns the pictures' colourfulness relative to the truth's: 1 as colourful, 0 gray."""
    return _ratio(rows, COLOURFULNESS, TRUE_COLOURFULNESS)


def _ratio(rows: Rows, part: str, whole: str) -> float:
    total = float(np.sum(rows.measures[whole]))
    return float(np.sum(rows.measures[part])) / total if total else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values)) if values.size else float("nan")
