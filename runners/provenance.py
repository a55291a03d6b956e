"""What ran, and on what: the code and the machine of a run, for its record. Imports nothing heavy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("tfx-pipelines", "tfx", "tensorflow", "keras", "apache-beam", "numpy", "duckdb")
PROJECT = Path(__file__).parents[1]
GIT_SECONDS = 10.0


def code_here() -> dict[str, str]:
    """Returns `commit` and `changed` (files that differ from it), in a git checkout, and versions by package."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    told = {"commit": commit or "", "changed": "" if changed is None else str(len(changed.splitlines()))}
    return {**told, "python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def machine_here() -> dict[str, str]:
    """Returns system, processor, processors that this process may use, and memory of the machine."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "system": platform.platform(),
        "processor": _processor(Path("/proc/cpuinfo")),
        "processors": str(usable),
        "memory": f"{pages * page / 2**30:.1f} GiB",
    }


def _git(*words: str) -> str | None:
    """Asks git of the project's folder; None where there is none, or it is no checkout of its own."""
    if not (PROJECT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), *words], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor(cpuinfo: Path) -> str:
    """The processor's name as Linux lists it; elsewhere what the platform calls it."""
    if cpuinfo.is_file():
        for key, _, value in (line.partition(":") for line in cpuinfo.read_text().splitlines()):
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
