"""How the CLV network is trained: settings with defaults, without TensorFlow."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.contract import TrainingSettings

Units = Annotated[int, Field(ge=1, le=4096)]


class Training(TrainingSettings):
    """Settings of the network and its optimizer.

    Attributes:
      epochs: passes over the training rows; with `early_stopping` at most so many.
      early_stopping: whether a part of the training rows, chosen by a hash of the customer, is held out to stop
        at the best epoch. The eval split is never used for it: the gates judge on that split.
      patience: epochs without improvement, in the last quarter, after which early stopping gives up.
      batch_size: rows a step.
      learning_rate: Adam's at the first step; it falls to 0 along a cosine.
      hidden_units: width of each hidden layer; none makes the model log-linear.
      members: networks that are fitted side by side and averaged; more of them depend less on the seed.
      tweedie_power: p of the Tweedie deviance, between 1 (Poisson) and 2 (gamma). Spending is zero often and
        skewed otherwise, which is what 1 < p < 2 describes.
      mae_weight: weight of the absolute error beside the deviance. The deviance alone estimates the mean, the
        absolute error alone the median, which is far below it: more weight is a smaller error and a lower total.
    """

    epochs: int = Field(default=60, ge=1)
    early_stopping: bool = True
    patience: int = Field(default=10, ge=1)
    batch_size: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    hidden_units: tuple[Units, ...] = (32, 16)
    members: int = Field(default=5, ge=1, le=100)
    tweedie_power: float = Field(default=1.5, gt=1, lt=2)
    mae_weight: float = Field(default=2.0, ge=0)
