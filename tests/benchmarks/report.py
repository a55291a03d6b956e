"""What a run's report costs: seconds and bytes, beside the run's own seconds.

    python tests/benchmarks/report.py --data transactions.csv.gz --set cutoff=2011-09-01

Runs the model afresh, nothing from the cache, in a folder of its own, and reads what the run says of itself.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runners.records import find_record

MADE = re.compile(r"report\.html of (\d+) bytes made in ([\d.]+) s")


def main() -> None:
    """Prints a line a round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="clv")
    parser.add_argument("--rounds", type=int, default=3)
    known, passed = parser.parse_known_args()
    for _ in range(known.rounds):
        with tempfile.TemporaryDirectory() as folder:
            print(measured(known.model, passed, Path(folder)))


def measured(model: str, passed: list[str], root: Path) -> str:
    """Runs once, and returns what the report cost."""
    start = time.monotonic()
    command = [str(Path(sys.executable).parent / "pipelines"), "run", model, "--root", str(root), "--quiet", *passed]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - start
    result = find_record(root, None)
    found = MADE.search((Path(result.folder) / "tfx.log").read_text(encoding="utf-8", errors="replace"))
    if not found:
        return "no report was made"
    size, seconds = int(found[1]), float(found[2])
    return (
        f"report {seconds:.2f} s, {size / 1e6:.2f} MB; nodes {result.seconds:.1f} s, whole command {whole:.1f} s: "
        f"{seconds / (whole - seconds):.1%} of the command without it, {seconds / result.seconds:.1%} of the nodes"
    )


if __name__ == "__main__":
    main()
