"""Settings of the colorizer, with the defaults that live with it."""

from __future__ import annotations

from pydantic import Field

from models.colorizer.training_settings import Training
from pipeline.contract import Bound, FeatureSettings, GateSettings, Range, Settings


class Features(FeatureSettings):
    """What the pictures are brought to.

    Attributes:
      size: pixels on each side of the square that a picture is squashed to.
    """

    size: int = Field(default=80, ge=64, le=256, multiple_of=16)


class Gates(GateSettings):
    """Bounds that a colorizer must meet on the eval split."""

    max_quarantined_share: float = Field(default=0.05, ge=0, le=1)
    serving_tolerance: float = Field(default=1e-4, gt=0, le=0.01)
    bounds: dict[str, Bound] = {
        "mse_vs_gray": Bound(upper=0.99, reason="colours that are further off than none at all help nobody"),
        "mse_vs_tint": Bound(
            upper=0.99,
            slices=Range(upper=1.1),
            worsening=0.02,
            reason="one colour poured over every picture needs no network, and it is right about warm or cold light",
        ),
        "colourfulness": Bound(
            lower=0.5,
            upper=1.5,
            reason="a picture half as colourful as the truth still looks gray, and a garish one false",
        ),
    }


class ColorizerSettings(Settings):
    """Settings of the colorizer, in the four parts of every model."""

    features: Features = Features()
    training: Training = Training()
    gates: Gates = Gates()
