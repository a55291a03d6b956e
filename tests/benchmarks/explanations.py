"""How long explanations take, and how far sampled ones are from exact ones, on a pushed model and rows of yours.

python -m tests.benchmarks.explanations MODEL --folder VERSION_FOLDER --input ROWS.parquet
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from pipeline.contract import Explanation, find_model
from runners.explained_files import read
from runners.serving import instances
from runners.serving.explaining import explain
from runners.serving.loaded import LoadedModel
from runners.serving.shapley import plan

PATHS = (4, 10, 20, 36, 50)
REPEATS = 3
"""The fastest counts: others use the machine as well."""


def main(
    model: str,
    folder: Annotated[Path, typer.Option()],
    source: Annotated[Path, typer.Option("--input")],
    exact_paths: Annotated[int, typer.Option(help="So many that all coalitions are asked.")] = 50,
) -> None:
    """Print a line for each number of paths: rows a CPU second, and the error relative to the exact explanation."""
    explanation = find_model(model).explanation
    assert isinstance(explanation, Explanation), explanation
    loaded = LoadedModel.load(folder)
    signature = loaded.signatures[explanation.signature]
    block = next(read(source, signature))
    columns = instances.columns(signature, [{name: row[name] for name in signature.inputs} for row in block])
    exact = _values(explain(loaded.ask, explanation, columns, paths=exact_paths))
    for paths in PATHS:
        seconds = []
        for _ in range(REPEATS):
            begun = time.process_time()
            explained = explain(loaded.ask, explanation, columns, paths=paths)
            seconds.append(time.process_time() - begun)
        off = np.linalg.norm(_values(explained) - exact, axis=1) / np.linalg.norm(exact, axis=1)
        told = [why.approximation_error for why in explained]
        print(
            f"{paths} paths, {len(plan(len(columns), paths).coalitions)} coalitions: "
            f"{len(block) / min(seconds):,.0f} rows a CPU second; "
            f"error median {np.median(off):.4f}, 95 % {np.quantile(off, 0.95):.4f}, largest {off.max():.3f}; "
            f"told median {np.median(told):.4f}, 95 % {np.quantile(told, 0.95):.4f}"
        )


def _values(explained: list[Any]) -> NDArray[Any]:
    return np.array([list(why.features.values()) for why in explained])


if __name__ == "__main__":
    typer.run(main)
