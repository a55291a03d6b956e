"""What is shipped and what is installed: the wheel, the lock, and the machines that make refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
LOCK = PROJECT / "requirements.lock"


def make(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *map(str, arguments)]
    # Not with what the make that runs these tests was told.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)


def test_the_wheel_ships_sql_and_schemas_and_no_tests(tmp_path: Path) -> None:
    uv = Path(sys.executable).parent / "uv"
    command = [uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", tmp_path]
    subprocess.run([*map(str, command), str(PROJECT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("models/clv/features.sql", "schema/clv/schema.pbtxt", "pipeline/dag.py", "runners/cli.py"):
        assert name in names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"models", "pipeline", "runners", "schema"}


# --- the lock ------------------------------------------------------------------------------------------


def test_the_lock_holds_both_lines_hashed_and_names_no_address() -> None:
    text = LOCK.read_text()
    assert "tfx==1.16.0 ; python_full_version < '3.11'" in text
    assert "tfx==1.21.0 ; python_full_version >= '3.11'" in text
    requirements = re.findall(r"^\S+==.*(?:\n    --hash.*)*", text, re.MULTILINE)
    assert len(requirements) > 300
    assert all("--hash=sha256:" in requirement for requirement in requirements)
    assert "://" not in text


def test_make_lock_has_nothing_to_add_to_the_lock(tmp_path: Path) -> None:
    copy = shutil.copy(LOCK, tmp_path / "requirements.lock")
    done = make("lock", f"LOCK={copy}", "UPGRADE=")
    assert done.returncode == 0, done.stderr
    assert Path(copy).read_text() == LOCK.read_text(), "pyproject.toml changed: run `make lock`, and commit both"


# --- machines that a line cannot be installed on -------------------------------------------------------


def test_make_says_that_a_python_is_not_there(tmp_path: Path) -> None:
    done = make("setup", "PYTHON=3.99", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "No Python 3.99 found. To do: install it (`pyenv install 3.99`" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_make_says_before_it_downloads_that_the_c_library_is_too_old(tmp_path: Path) -> None:
    host = subprocess.run(["getconf", "GNU_LIBC_VERSION"], capture_output=True, text=True, check=False).stdout.split()
    if not host or tuple(map(int, host[1].split("."))) >= (2, 39):
        pytest.skip("this system has a C library that TFX 1.21 can use")
    done = make("setup", "PYTHON=3.12", f"VENV={tmp_path / 'venv'}")
    if "No Python 3.12 found" in done.stderr:
        pytest.skip("there is no Python 3.12 here")
    assert done.returncode != 0
    assert f"glibc {host[1]}: TFX 1.21.0 needs glibc 2.39 or later.\nTo do: `make setup PYTHON=3.10`" in done.stderr
    assert list(tmp_path.iterdir()) == []
