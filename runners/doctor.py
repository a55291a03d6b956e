"""Says whether this machine can run the pipelines, and if not, what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.specifiers import SpecifierSet

from runners.machine import PROJECT, Facts, gather
from runners.tfx_lines import LINES, dotted, refuse_python, refuse_system

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
    if refusal := refuse_python(facts.host):
        return Finding("Python", "problem", refusal.message, refusal.todo)
    line = LINES[facts.host.python]
    return Finding(
        "Python", "ok", f"{dotted(facts.host.python)}, which gets TFX {line.tfx} with TensorFlow {line.tensorflow}"
    )


def _system(facts: Facts) -> Finding:
    if refusal := refuse_system(facts.host):
        return Finding("system", "problem", refusal.message, refusal.todo)
    return Finding("system", "ok", str(facts.host))


def _cpu(facts: Facts) -> Finding:
    if facts.cpu_flags is None or facts.host.machine not in ("x86_64", "AMD64"):
        return Finding("processor", "ok", facts.host.machine)
    if "avx" in facts.cpu_flags:
        return Finding("processor", "ok", f"{facts.host.machine} with AVX")
    todo = "use a processor with AVX (any since 2011); in a virtual machine pass the host's processor through"
    return Finding("processor", "problem", f"{facts.host.machine} without AVX, which TensorFlow's wheels need", todo)


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


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
