"""The command `pipelines serve` in a process of its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands import THIS


@contextmanager
def serving(model: str, root: Path) -> Iterator[str]:
    """Serves what is pushed below a root; yields the address, and sees to it that SIGTERM ends the server well."""
    program = str(THIS / "bin" / "pipelines")
    command = [program, "serve", model, "--root", str(root), "--port", "0", "--set", "poll_s=.1"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()
            told = process.communicate(timeout=60)[1]
        assert process.returncode == 0, told


def _address(process: subprocess.Popen[str]) -> str:
    told = []
    for line in process.stderr or ():
        told.append(line)
        if found := re.search(r"http://[0-9.:]+", line):
            return found.group()
    raise AssertionError("".join(told))
