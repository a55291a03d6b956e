"""How the colorizer is trained: settings with defaults, without TensorFlow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.presets import ReferenceTraining

REFERENCE = {
    "batch_size": 128,
    "learning_rate": 2e-4,
    "decay": False,
    "beta_1": 0.5,
    "weight_decay": 0.0,
    "augmentation": False,
}
"""How the literature trains the reference network: Adam at a constant rate, no variants of the pictures. These are the
defaults with it."""

Filters = Annotated[int, Field(ge=1, le=1024)]


class Training(ReferenceTraining):
    """Settings of the network, its optimizer and the machines.

    Attributes:
      network: `chroma` paints chroma that is joined to the luminance; `reference` paints RGB, as the literature does;
        with it, defaults are those in `REFERENCE`, and what makes a chroma network cannot be set.
      epochs: passes over the training pictures; with `early_stopping` at most so many.
      early_stopping: whether a tenth of the training pictures, chosen by a hash, is held out to keep the best epoch.
        The eval split is never used for it: the gates judge on that split.
      patience: epochs without improvement after which early stopping gives up.
      batch_size: pictures a step on each replica.
      learning_rate: Adam's at the first step.
      decay: whether the learning rate falls to 0 along a cosine.
      beta_1: Adam's memory of the gradients.
      weight_decay: share of the weights, times the learning rate, that each step takes away (AdamW).
      members: networks that the chroma network averages; more of them depend less on chance, and each takes its time.
      filters: channels of each level of a member, from a quarter of the sides on, each level half of the one before.
      dropout: share of a member's channels that training drops.
      augmentation: whether the network sees random variants of the pictures; see `augment`.
      saturation: factor on the chroma's distance from the mean chroma of its picture. The error's minimum is a mean
        of all colours that a thing might have, and so paler than any of them.
      distribution: `single`: one device, the GPU where there is one; `mirrored`: all GPUs of the machine;
        `multi_worker`: the machines that TF_CONFIG names.
    """

    reference = REFERENCE
    without_reference = ("members", "filters", "dropout", "saturation")

    network: Literal["chroma", "reference"] = "chroma"
    epochs: int = Field(default=12, ge=1)
    early_stopping: bool = True
    patience: int = Field(default=12, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=0.004, gt=0)
    decay: bool = True
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.05, ge=0)
    members: int = Field(default=8, ge=1, le=100)
    filters: tuple[Filters, ...] = Field(default=(16, 24, 32), min_length=2, max_length=3)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    augmentation: bool = True
    saturation: float = Field(default=1.7, gt=0, le=5)
    distribution: Literal["single", "mirrored", "multi_worker"] = "single"
