"""How long `pipelines history` takes over many recorded runs: whole processes, as people start them.

The records are copies of a real `run.json`, or of a made one of the same size, with other ids and values.

Usage: python tests/benchmarks/history.py [--runs 200] [--like runs/records/clv-main/ID/run.json] [--repeats 3]
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from recorded_runs import history_of, record, write

from runners.run import RunResult

PIPELINES = Path(sys.executable).parent / "pipelines"


def timed(*arguments: str) -> tuple[float, float]:
    """Runs a command; returns its wall-clock and CPU-seconds, children included."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([str(PIPELINES), *arguments], capture_output=True, check=True)
    wall, after = time.monotonic() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Prints the best and the median of each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--like", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    like = RunResult.model_validate_json(arguments.like.read_bytes()) if arguments.like else record()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        for result in history_of(arguments.runs, like, random.Random(7)):
            write(root, result)
        commands = {
            "pipelines --help": ["--help"],
            "pipelines runs": ["runs", "--root", str(root)],
            "pipelines history": ["history", like.model, "--root", str(root)],
            "pipelines history --out": ["history", like.model, "--root", str(root), "--out", f"{folder}/history.html"],
        }
        for name, command in commands.items():
            taken = sorted(timed(*command) for _ in range(arguments.repeats))
            best, median = taken[0], taken[len(taken) // 2]
            print(f"{name:<24} best {best[0]:.2f} s ({best[1]:.2f} CPU-s), median {median[0]:.2f} s")


if __name__ == "__main__":
    main()
