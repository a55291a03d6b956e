"""The one place that tells the lines of TFX apart, and what it says where neither can be installed."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from runners import tfx_lines
from runners.tfx_lines import LINES, Host, this_host

PROJECT = Path(__file__).parents[2]


def test_this_environment_has_the_line_of_its_python() -> None:
    line = LINES[this_host().python]
    assert importlib.metadata.version("tfx") == line.tfx
    assert importlib.metadata.version("tensorflow").startswith(f"{line.tensorflow}.")


def test_as_a_script_it_has_nothing_to_say_where_a_line_is_installed() -> None:
    # Isolated, and without site-packages: nothing is installed yet when make asks.
    command = [sys.executable, "-I", "-S", str(PROJECT / "runners" / "tfx_lines.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (
            Host((3, 12), "Linux", "x86_64", (2, 36)),
            "Linux on x86_64, glibc 2.36: TFX 1.21.0 needs glibc 2.39 or later.\n"
            "To do: `make setup PYTHON=3.10`, whose TFX 1.16.0 runs here; or use a newer system: Debian 13, "
            "Ubuntu 24.04 or later.\n",
        ),
        (
            Host((3, 10), "Darwin", "arm64", None),
            "Darwin on arm64: TFX 1.16.0 has no wheels for it.\nTo do: `make setup PYTHON=3.12`, whose TFX has.\n",
        ),
        (
            Host((3, 14), "Linux", "x86_64", (2, 41)),
            "Python 3.14: there is no TFX for it.\n"
            "To do: use Python 3.10 (any Linux on x86-64), or 3.11 to 3.13 (a system with glibc 2.39): "
            "`make setup PYTHON=3.10`.\n",
        ),
    ],
)
def test_it_says_what_is_missing_and_what_to_do(
    host: Host, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tfx_lines, "this_host", lambda: host)
    assert tfx_lines.main() == 1
    assert capsys.readouterr().err == said


def test_no_other_code_asks_for_a_version() -> None:
    """But the probe, which tells what another interpreter has, and does the same whatever that is."""
    asks = ("sys.version_info", "__version__")
    files = (path for folder in ("pipeline", "models", "runners") for path in (PROJECT / folder).rglob("*.py"))
    found = {path.name for path in files if any(ask in path.read_text() for ask in asks)}
    assert found == {"tfx_lines.py", "prebuilt_probe.py"}
