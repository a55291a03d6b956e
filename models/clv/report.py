"""What the CLV model adds to the reports of its runs."""

from __future__ import annotations

from collections.abc import Iterator

from models.clv import certainty, exploring, judging, ordering
from models.clv.future import JUDGED, futures
from pipeline.contract import Exhibit, Shown


def data(shown: Shown) -> Iterator[Exhibit]:
    """Yields recency, frequency and monetary value, explored as the reference lab does (see `models.clv.features`).

    Args:
      shown: examples by split, all or evenly chosen ones. The splits are of one population, and are looked at as one.
    """
    rows = exploring.rows_of(shown)
    if rows is not None:
        yield exploring.distributions(rows)
        yield exploring.quantiles(rows)
        yield exploring.outliers(rows)
        yield exploring.again(rows)
        yield exploring.activity(rows)


def evaluation(shown: Shown) -> Iterator[Exhibit]:
    """Yields how well the revenue after the cut-off was predicted, which is what the model gate judges.

    Args:
      shown: what was predicted, by split. The splits stand side by side; what follows is of the judged one.
    """
    splits = futures(shown)
    if splits:
        yield judging.scatter(splits)
    if JUDGED in splits:
        future = splits[JUDGED]
        yield ordering.calibration(future)
        if future.actual.any():
            yield ordering.gain(future)
        if set(certainty.SAID) <= set(future.columns):
            yield certainty.certainty(future)
        yield judging.residuals(future)
