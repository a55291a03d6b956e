"""How the CLV network is trained: settings with defaults, without TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.presets import ReferenceTraining

REFERENCE = {
    "epochs": 20,
    "virtual_epochs": 10,
    "early_stopping": False,
    "batch_size": 32,
    "learning_rate": 0.001,
    "decay": False,
    "hidden_units": (256,),
    "dropout": 0.2,
}
"""How the reference lab trains its network; see `reference`. These are the defaults with it."""

Units = Annotated[int, Field(ge=1, le=4096)]


class Training(ReferenceTraining):
    """Settings of the network and its optimizer.

    Attributes:
      network: `ensemble` is the product's own; `reference` that of the reference lab for this data. With the latter,
        defaults are those in `REFERENCE`, and what makes an ensemble cannot be set.
      epochs: passes over the training rows; with `early_stopping` at most so many.
      virtual_epochs: parts of equal length that the training goes in, however many rows there are; after each of them
        comes a checkpoint, a point on TensorBoard's curves and a look at the held-out rows. None: one for each pass.
      early_stopping: whether a part of the training rows, chosen by a hash of the customer, is held out to stop
        at the best epoch. The eval split is never used for it: the gates judge on that split.
      patience: virtual epochs without improvement, in the last quarter, after which early stopping gives up.
      batch_size: rows a step.
      learning_rate: Adam's at the first step.
      decay: whether the learning rate falls to 0 along a cosine.
      hidden_units: width of each hidden layer; none makes the logarithms linear, or the reference linear.
      activation: of the hidden layers, as Keras names it; the reference's is relu.
      weight_decay: share of each weight that a step takes away, times the learning rate (AdamW: Loshchilov & Hutter
        2019, "Decoupled weight decay regularization", ICLR).
      dropout: share of each hidden layer that training drops.
      members: networks that are fitted side by side and averaged; more of them depend less on the seed.
      tweedie_power: p of the Tweedie deviance, between 1 (Poisson) and 2 (gamma). Spending is zero often and
        skewed otherwise, which is what 1 < p < 2 describes.
      mae_weight: weight of the absolute error beside the deviance. The deviance alone estimates the mean, the
        absolute error alone the median, which is far below it: more weight is a smaller error and a lower total.
      nll_weight: weight of the negative log-likelihood beside the deviance: it is what makes the median, the
        probability to buy again and the interval right.
    """

    reference = REFERENCE
    without_reference = ("members", "activation", "weight_decay", "tweedie_power", "mae_weight", "nll_weight")

    network: Literal["ensemble", "reference"] = "ensemble"
    epochs: int = Field(default=30, ge=1)
    virtual_epochs: int | None = Field(default=None, ge=1)
    early_stopping: bool = False
    patience: int = Field(default=10, ge=1)
    batch_size: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    decay: bool = True
    hidden_units: tuple[Units, ...] = (64,)
    activation: Literal["gelu", "relu", "selu", "tanh"] = "gelu"
    weight_decay: float = Field(default=0, ge=0, lt=1)
    dropout: float = Field(default=0, ge=0, lt=1)
    members: int = Field(default=8, ge=1, le=100)
    tweedie_power: float = Field(default=1.3, gt=1, lt=2)
    mae_weight: float = Field(default=0.6, ge=0)
    nll_weight: float = Field(default=0.6, gt=0)
