"""Says whether this machine can run the pipelines, and if not, what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.specifiers import SpecifierSet

from runners.machine import PROJECT, Facts, gather

SHOWN = ("tfx", "tensorflow", "protobuf", "numpy", "duckdb")
"""The packages whose versions are named when all is well."""
MEMORY_NEEDED = 1_500_000_000
"""Bytes. A run peaks at 1.3 GB, most of which is TensorFlow and Beam, not data."""
DISK_NEEDED = 1_000_000_000
"""Bytes under the root: temporary folders of Beam, and what runs leave behind."""
SETUP = "run `make setup`, which makes .venv from requirements.lock"


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
      name: what was looked at.
      status: `warning` may go wrong, `problem` will.
      message: what was found.
      todo: what to do about it; empty if the status is `ok`.
    """

    name: str
    status: Literal["ok", "warning", "problem"]
    message: str
    todo: str = ""


@dataclass(frozen=True)
class Line:
    """A line of TFX and what its wheels ask for.

    Attributes:
      tfx: its version.
      tensorflow: the TensorFlow that comes with it.
      glibc: least version of the C library, on Linux.
      mac: the processor of the Macs that there are wheels for, as `platform.machine()` names it.
    """

    tfx: str
    tensorflow: str
    glibc: tuple[int, int]
    mac: str


OLD_LINE = Line(tfx="1.16.0", tensorflow="2.16", glibc=(2, 17), mac="x86_64")
NEW_LINE = Line(tfx="1.21.0", tensorflow="2.21", glibc=(2, 39), mac="arm64")
LINES = {(3, 10): OLD_LINE, (3, 11): NEW_LINE, (3, 12): NEW_LINE, (3, 13): NEW_LINE}
"""Python's version -> the line that requirements.lock resolves to."""


def diagnose(root: Path) -> list[Finding]:
    """Looks at this machine for runs under `root`. Nothing is left behind there."""
    return examine(gather(root))


def all_ok(findings: list[Finding]) -> bool:
    """Whether there is no problem; warnings do not count."""
    return all(finding.status != "problem" for finding in findings)


def examine(facts: Facts) -> list[Finding]:
    """Judges what was found on a machine, in the order in which problems are best mended."""
    checks: tuple[Callable[[Facts], Finding], ...] = (_python, _system, _cpu, _packages, _memory, _disk, _root)
    return [check(facts) for check in checks]


def _python(facts: Facts) -> Finding:
    version, line = _dotted(facts.python), LINES.get(facts.python)
    if line is None:
        todo = "use Python 3.10 (any Linux on x86-64), or 3.11 to 3.13 (a system with glibc 2.39), and `make setup`"
        return Finding("Python", "problem", f"{version}: there is no TFX for it", todo)
    return Finding("Python", "ok", f"{version}, which gets TFX {line.tfx} with TensorFlow {line.tensorflow}")


def _system(facts: Facts) -> Finding:
    line = LINES.get(facts.python, OLD_LINE)
    what = f"{facts.system} on {facts.machine}"
    if facts.system == "Darwin":
        if facts.machine == line.mac:
            return Finding("system", "ok", f"macOS on {facts.machine}")
        other = "Python 3.10" if facts.machine == OLD_LINE.mac else "Python 3.11 to 3.13"
        return Finding(
            "system", "problem", f"TFX {line.tfx} has no wheels for macOS on {facts.machine}", f"use {other}"
        )
    if facts.system != "Linux" or facts.machine not in ("x86_64", "AMD64"):
        todo = "use Linux on x86-64 (on Windows: WSL 2; elsewhere: a container or a virtual machine)"
        return Finding("system", "problem", f"{what}: TFX has no wheels for it", todo)
    return _glibc(facts, line, what)


def _glibc(facts: Facts, line: Line, what: str) -> Finding:
    needed = f"TFX {line.tfx} needs glibc {_dotted(line.glibc)} or later"
    if facts.glibc is None:
        todo = "use a system with glibc, such as Debian or Ubuntu (Alpine's musl does not do)"
        return Finding("system", "problem", f"{what} without glibc: {needed}", todo)
    found = f"{what}, glibc {_dotted(facts.glibc)}"
    if facts.glibc >= line.glibc:
        return Finding("system", "ok", found)
    todo = "use a newer system: Debian 13, Ubuntu 24.04 or later"
    if facts.glibc >= OLD_LINE.glibc:
        todo = f"`make setup` with Python 3.10, whose TFX {OLD_LINE.tfx} runs here; or {todo}"
    return Finding("system", "problem", f"{found}: {needed}", todo)


def _cpu(facts: Facts) -> Finding:
    if facts.cpu_flags is None or facts.machine not in ("x86_64", "AMD64"):
        return Finding("processor", "ok", facts.machine)
    if "avx" in facts.cpu_flags:
        return Finding("processor", "ok", f"{facts.machine} with AVX")
    todo = "use a processor with AVX (any since 2011); in a virtual machine pass the host's processor through"
    return Finding("processor", "problem", f"{facts.machine} without AVX, which TensorFlow's wheels need", todo)


def _packages(facts: Facts) -> Finding:
    if not facts.required:
        return Finding("packages", "problem", f"{PROJECT} is not installed in this environment", SETUP)
    wrong = [text for name, asked in facts.required.items() if (text := _unmet(name, asked, facts.installed.get(name)))]
    if wrong:
        return Finding("packages", "problem", "; ".join(wrong), SETUP)
    shown = ", ".join(f"{name} {facts.installed[name]}" for name in SHOWN if name in facts.installed)
    return Finding("packages", "ok", f"{len(facts.required)} as required: {shown}")


def _unmet(name: str, asked: str, installed: str | None) -> str:
    """What is wrong with a package; empty if nothing is."""
    if installed is None:
        return f"{name} is missing ({asked or 'any version'})"
    met = SpecifierSet(asked).contains(installed, prereleases=True)
    return "" if met else f"{name} is {installed}, not {asked}"


def _memory(facts: Facts) -> Finding:
    if facts.memory is None:
        return Finding("memory", "ok", f"not known here; a run needs {_gigabytes(MEMORY_NEEDED)}")
    found = f"{_gigabytes(facts.memory)} available; a run needs {_gigabytes(MEMORY_NEEDED)}"
    if facts.memory >= MEMORY_NEEDED:
        return Finding("memory", "ok", found)
    return Finding("memory", "warning", found, "end other programs, or the system may kill the run")


def _disk(facts: Facts) -> Finding:
    found = f"{_gigabytes(facts.disk)} free for {facts.root}; runs need {_gigabytes(DISK_NEEDED)}"
    if facts.disk >= DISK_NEEDED:
        return Finding("disk", "ok", found)
    return Finding("disk", "problem", found, "make room, or choose another folder with --root")


def _root(facts: Facts) -> Finding:
    if facts.write_error is None:
        return Finding("root", "ok", f"{facts.root} can be written, with a sqlite database")
    todo = "choose a folder on a local disk that you may write, with --root"
    return Finding("root", "problem", f"{facts.root}: {facts.write_error}", todo)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
