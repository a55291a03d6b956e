"""How far chance moves what the model gate bounds: metrics of the eval split's customers, drawn with replacement.

Prints a table in Markdown: the middle 99 % of the draws and the share of them that miss the bound, on all customers and
on each band of frequency. The bounds of models/clv/bounds.py were set by it (docs/gates.md, "Why these bounds").

Usage: python tests/benchmarks/clv_chance.py EVAL_PARQUET [--draws 300]
       EVAL_PARQUET: a run's predictions of the eval split, whose path `pipelines run` prints at its end.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from models.clv import MODEL, features
from pipeline.contract import Metric, Range, Rows, load
from pipeline.slice_metrics import shortfall

ALL = "all"
LEAST_ROWS = MODEL.settings().gates.min_slice_rows
MIDDLE = (0.5, 99.5)


def rows_of(path: Path) -> tuple[Rows, Any]:
    """Returns the rows as the metrics of the future part see them, and the band of each."""
    found = pq.read_table(path)
    read = {name: found.column(name).to_numpy() for name in found.column_names}
    past = read[features.PAST]
    label, predicted, naive = (read[name] - past for name in ("actual", "predicted", "naive"))
    outputs = {name: read[name] for name in MODEL.outputs}
    return Rows(label, predicted, naive, read[features.WEIGHT], outputs=outputs), read[features.FREQUENCY_BAND]


def drawn(rows: Rows, index: Any) -> Rows:
    """Returns the rows at an index."""
    outputs = {name: values[index] for name, values in rows.outputs.items()}
    return Rows(rows.label[index], rows.prediction[index], rows.naive[index], rows.weight[index], outputs=outputs)


def bounded() -> list[Metric]:
    """The bounded metrics that need no champion."""
    bounds = MODEL.settings().gates.bounds
    return [metric for metric in MODEL.metrics if metric.name in bounds and not metric.against_champion]


def spread(rows: Rows, metric: Metric, bound: Range | None, draws: int) -> str:
    """Returns the middle 99 % of a metric over draws of the rows, and the share of them that miss its bound."""
    draw, count = np.random.default_rng(1), len(rows.label)
    values = [load(metric.function)(drawn(rows, draw.integers(0, count, count))) for _ in range(draws)]
    low, high = np.nanpercentile(values, MIDDLE)
    missed = np.mean([shortfall(bound, value) > 0 for value in values]) if bound else 0
    return f"{low:.2f} .. {high:.2f}, {missed:.0%}"


def table(rows: Rows, bands: Any, draws: int) -> Iterator[str]:
    """Yields the lines of the table."""
    chosen = {ALL: np.arange(len(bands)), **{band: np.flatnonzero(bands == band) for band in features.FREQUENCY_BANDS}}
    shown = {band: drawn(rows, index) for band, index in chosen.items() if index.size >= LEAST_ROWS}
    yield f"| metric | {' | '.join(f'{band} ({len(part.label)})' for band, part in shown.items())} |"
    yield f"|---|{'---|' * len(shown)}"
    for metric in bounded():
        bound = MODEL.settings().gates.bounds[metric.name]
        on = {band: bound if band == ALL else bound.on(f"{features.FREQUENCY_BAND}={band}") for band in shown}
        cells = [spread(part, metric, on[band], draws) for band, part in shown.items()]
        yield f"| `{metric.name}` | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--draws", type=int, default=300)
    asked = parser.parse_args(arguments)
    for line in table(*rows_of(asked.predictions), asked.draws):
        print(line, flush=True)


if __name__ == "__main__":
    main()
