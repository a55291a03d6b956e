"""Facts of runs of the CLV model that got as far as predictions, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from models.clv import MODEL
from pipeline.contract import Exhibit, Exhibits, Model, Shown
from pipeline.verdict import Check
from runners.reports.facts import Facts
from runners.run import RunResult

BANDS = ("1", "2-3", "4-9", "10+")


def rows(count: int, seed: int, **columns: Any) -> pa.Table:
    """A file of predictions as the serving gate writes it: a model that is better than the naive rule."""
    draw = np.random.default_rng(seed)
    past, future = draw.lognormal(6, 1, count), draw.lognormal(5, 1, count) * draw.integers(0, 2, count)
    told = {
        "customer_id": [f"customer {row}" for row in range(count)],
        "customer_country": ["France"] * count,
        "frequency_band": [BANDS[row % 4] for row in range(count)],
        "customer_weight": np.ones(count),
        "past_monetary_value": past,
        "n_purchases": np.arange(count) % 12 + 1,
        "days_since_last_purchase": np.arange(count) % 270,
        "avg_purchase_revenue": past / 2,
        "actual": past + future,
        "predicted": past + 0.8 * future + 40,
        "naive": 1.5 * past,
        "future_median": 0.7 * future + 20,
        "repurchase_probability": np.full(count, 0.5),
        "future_low": 0.2 * future,
        "future_high": 2.0 * future + 100,
    }
    return pa.table(told | columns)


def nothing(_: Shown) -> tuple[Exhibit, ...]:
    """Exhibits of a model that has none to show: plots take time."""
    return ()


QUIET = MODEL.model_copy(update={"exhibits": Exhibits(evaluation=f"{__name__}.nothing")})
"""The CLV model, whose exhibits have tests of their own."""


def facts(folder: Path, tables: dict[str, pa.Table], *, model: Model = QUIET, **told: Any) -> Facts:
    """Facts of a run whose record is in `folder`, with these files of predictions."""
    for split, table in tables.items():
        path = folder / "predictions" / f"{split}.parquet"
        path.parent.mkdir(exist_ok=True)
        parquet.write_table(table, path)
    settings = model.settings().model_dump(mode="json")
    record: dict[str, Any] = {"outcome": "pushed", "settings": settings, **told}
    files = {split: str(folder / "predictions" / f"{split}.parquet") for split in tables}
    result = RunResult(
        run_id="r", pipeline="p", model=model.name, data={}, folder=str(folder), predictions=files, **record
    )
    return Facts(folder, result, model, store=None)


def check(metric: str, value: float | str, bound: str, **told: Any) -> Check:
    """A check of the model gate, which passed unless `shortfall` says otherwise."""
    return Check(gate="model", metric=metric, value=value, bound=bound, **{"passed": "shortfall" not in told, **told})
