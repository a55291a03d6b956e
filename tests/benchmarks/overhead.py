"""What the pipeline costs beyond a plain script of the same work, in CPU-seconds of whole processes, paired.

Each round runs, in turn: the script; a first run of the pipeline in an empty root; a second; a third, all cached.
CPU-seconds (user + system, children included) hardly depend on what else the machine does; times would.

Usage: python tests/benchmarks/overhead.py [--rounds 3] [--data FILE --cutoff DATE]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from models.clv.sample import write_sample

SCRIPT = Path(__file__).with_name("plain_script.py")
PIPELINES = Path(sys.executable).parent / "pipelines"


def cpu(command: list[str], expected: int = 0) -> float:
    """Runs a command and returns its CPU-seconds, children included.

    Raises:
      RuntimeError: it ended with another exit code than expected.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != expected:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def one_round(data: Path, cutoff: str) -> Iterator[tuple[str, float]]:
    """Yields what was run and its CPU-seconds."""
    with tempfile.TemporaryDirectory() as folder:
        yield "import of TFX alone", cpu([sys.executable, "-c", "import runners.execution"])
        yield "plain script", cpu([sys.executable, str(SCRIPT), str(data), cutoff, folder])
        run = [str(PIPELINES), "run", "clv", "--root", f"{folder}/root", "--data", str(data)]
        run += ["--set", f"cutoff={cutoff}", "--set", "early_stopping=false"]
        for name in ("first run", "second run", "third run, all cached"):
            yield name, cpu(run)


def main() -> None:
    """Prints the median of every command, and what it costs beyond the script or beyond the import."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cutoff", default="2011-09-01")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder) / "sample.csv"
        if arguments.data is None:
            write_sample(data)
        rounds = [dict(one_round(data, arguments.cutoff)) for _ in range(arguments.rounds)]
    for name in rounds[0]:
        values = [found[name] for found in rounds]
        spread = f"{min(values):.1f} .. {max(values):.1f}"
        print(f"{name:<24}{statistics.median(values):7.1f} CPU-s  ({spread})")
    for name, other in (("first run", "plain script"), ("third run, all cached", "import of TFX alone")):
        beyond = [found[name] - found[other] for found in rounds]
        print(f"{name} beyond {other}: {statistics.median(beyond):.1f} CPU-s")


if __name__ == "__main__":
    main()
