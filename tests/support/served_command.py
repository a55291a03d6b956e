"""The command `pipelines serve` in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 60
MAIN = "import sys; from runners.cli import main; sys.argv[0] = 'pipelines'; main()"


class Serving:
    """A process that serves, and what it says."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        command = [sys.executable, "-c", MAIN, "serve", *arguments]
        self.process = subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.said = ""
        self.url = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.said += line
            found = re.search(r"(http://\S+) answers", line)
            self.url = found[1] if found else self.url

    def wait(self) -> str:
        """Returns the address, once it answers."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.url:
            assert time.monotonic() < deadline, self.said
            assert self.process.poll() is None, self.said
            time.sleep(0.05)
        return self.url

    def end(self) -> int:
        """Returns the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


@contextmanager
def serving(model: str, root: Path) -> Iterator[str]:
    """Serves what is pushed below a root; yields the address, and sees to it that SIGTERM ends the server well."""
    process = Serving([model, "--root", str(root), "--port", "0", "--set", "poll_s=.1"], {})
    try:
        yield process.wait()
    finally:
        process.process.terminate()
        code = process.end()
    assert code == 0, process.said
