"""Settings of the colorizer, with the defaults that live with it."""

from __future__ import annotations

from pydantic import Field

from models.colorizer.training_settings import Training
from pipeline.contract import Bound, Distances, FeatureSettings, GateSettings, Limit, Range, Settings

_BRIGHT = Limit(upper=0.2, reason="random halves of 491 photos reach .05, and photos half as bright .6")
_COLOURFUL = Limit(upper=0.2, reason="random halves of 491 photos reach .06, and photos half as colourful .33")
_CLASS = Limit(upper=0.15, reason="random halves of 491 photos reach .09, and .2 where every second class is gone")
_SPLIT_CLASS = Limit(upper=0.2, reason="of five classes alike, splits of 300 and 100 pictures reach .13 by chance")
# Neither width nor height: they are the camera's, and scatter up to .3 by themselves.


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
    drift: Distances = Distances(features={"mean_luminance": _BRIGHT, "colourfulness": _COLOURFUL, "class": _CLASS})
    skew: Distances = Distances(
        features={"mean_luminance": _BRIGHT, "colourfulness": _COLOURFUL, "class": _SPLIT_CLASS}
    )
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
