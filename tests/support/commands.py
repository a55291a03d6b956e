"""The command `pipelines`, as people type it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

THIS = Path(sys.executable).parents[1]
"""The environment that runs the tests."""


def pipelines(*arguments: object, cwd: Path, environment: Path = THIS) -> subprocess.CompletedProcess[str]:
    """Runs the command of an environment from the folder `cwd`, on a screen as wide as a page."""
    command = [str(environment / "bin" / "pipelines"), *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "COLUMNS": "160"}, capture_output=True, text=True, check=False
    )
