"""Settings of the CLV model, with the defaults that live with it."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from models.clv.bounds import BOUNDS
from models.clv.training_settings import Training
from pipeline.contract import (
    Bound,
    Distances,
    FeatureSettings,
    GateSettings,
    Limit,
    Settings,
    TableSettings,
)

COLUMNS = {
    "invoice": "InvoiceNo",
    "date": "InvoiceDate",
    "quantity": "Quantity",
    "unit_price": "UnitPrice",
    "customer_id": "CustomerID",
    "country": "Country",
}
"""Column of the model's SQL -> what UCI Online Retail and the generated sample call it."""


class Data(TableSettings):
    """Which transactions a run reads, and how their file is written."""

    columns: dict[str, str | None] = {**COLUMNS}


class Features(FeatureSettings):
    """What the feature table depends on.

    Attributes:
      cutoff: last day that features may see; `auto` is the latest that leaves a full horizon of data, that is
        last day + 1 - horizon, so that a scheduled run moves on.
      horizon_days: the label is the revenue on days d with cutoff < d < cutoff + horizon_days.
      earlier_cutoffs: on how many earlier days the training customers are looked at as well, to learn from. Only days
        that have a horizon of data before and after them, up to the cut-off, are.
      earlier_step_days: from one such day to the one before; the first is a horizon before the cut-off.
    """

    cutoff: date | Literal["auto"] = "auto"
    horizon_days: int = Field(default=91, ge=2, le=3660)
    earlier_cutoffs: int = Field(default=4, ge=0, le=40)
    earlier_step_days: int = Field(default=30, ge=1, le=3660)


class Gates(GateSettings):
    """Bounds that a CLV model must meet on the eval split; `future` is the revenue after the cut-off."""

    bounds: dict[str, Bound] = BOUNDS
    drift: Distances = Distances(
        categorical=Limit(
            upper=0.08, reason="half a year moved no country's share by more than .01 in UCI Online Retail"
        ),
        features={
            # They count days up to the cut-off, and grow with the archive until it is as long as customers stay.
            "tenure_days": Limit(
                upper=0.6, reason="five months more of the same archive come to .56, half a year of it lost to .64"
            ),
            "customer_age": Limit(upper=0.3, reason="five months more of the same archive come to .2"),
            "days_since_last_purchase": Limit(upper=0.3, reason="five months more of the same archive come to .2"),
            "purchases_182d": Limit(
                upper=0.35, reason="four months of archive before it in the place of nine come to .26"
            ),
        },
    )


class ClvSettings(Settings):
    """Settings of the CLV model, in the four parts of every model."""

    data: Data = Data()
    features: Features = Features()
    training: Training = Training()
    gates: Gates = Gates()
