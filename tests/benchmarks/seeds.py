"""What a model comes to over seeds, through the whole pipeline, as a table in Markdown: to compare lines of TFX.

The test split is reported and tunes nothing.

Usage: python tests/benchmarks/seeds.py MODEL DATA [--seeds 3] [--set KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.contract import find_model
from pipeline.settings import read_assignments
from runners.local import execute
from runners.run import RunResult, prepare


def results(name: str, data: Path, seeds: int, assignments: list[str]) -> Iterator[RunResult]:
    """Runs once for each seed, each in a root of its own: no champion, no cache."""
    model = find_model(name)
    for seed in range(seeds):
        layer = read_assignments(model, [*assignments, f"seed={seed}"])
        with tempfile.TemporaryDirectory() as root:
            yield execute(prepare(model, Path(root), data=data, layers=(layer,)))


def row(seed: int, result: RunResult) -> str:
    """One line of the table: a split's metrics in the order of the model's."""
    tfx = importlib.metadata.version("tfx")
    metrics = (result.metrics[split] for split in ("eval", "test"))
    splits = [", ".join(f"{name} {value:.4g}" for name, value in values.items()) for values in metrics]
    return f"| {tfx} | {seed} | {result.outcome} | {' | '.join(splits)} |"


def main() -> None:
    """Prints the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    print("| TFX | seed | outcome | eval | test |\n|---|---|---|---|---|")
    for seed, result in enumerate(results(arguments.model, arguments.data, arguments.seeds, arguments.assignments)):
        print(row(seed, result), flush=True)


if __name__ == "__main__":
    main()
