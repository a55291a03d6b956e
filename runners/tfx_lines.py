"""The two lines of TFX that requirements.lock holds, and which of them a machine can install.

The one place that knows them apart. `make setup` runs it as a script, with the Python that the environment is to have
and before anything is downloaded, so it needs the standard library only.

  $ python3.12 -I runners/tfx_lines.py
  Linux on x86_64, glibc 2.36: TFX 1.21.0 needs glibc 2.39 or later.
  To do: `make setup PYTHON=3.10`, whose TFX 1.16.0 runs here; or use a newer system: Debian 13, Ubuntu 24.04 or later.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass


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


@dataclass(frozen=True)
class Host:
    """What decides which line there are wheels of.

    Attributes:
      python: version, such as (3, 10).
      system: `Linux`, `Darwin`, … as `platform.system()` names it.
      machine: processor, such as `x86_64`.
      glibc: version of the C library; None where it is another one.
    """

    python: tuple[int, int]
    system: str
    machine: str
    glibc: tuple[int, int] | None

    def __str__(self) -> str:
        """The system in words, without Python."""
        return f"{self.system} on {self.machine}" + (f", glibc {dotted(self.glibc)}" if self.glibc else "")


@dataclass(frozen=True)
class Refusal:
    """Why no line can be installed, and what to do."""

    message: str
    todo: str


def this_host() -> Host:
    """Returns the facts of this machine, as the Python that runs this sees them."""
    return Host(sys.version_info[:2], platform.system(), platform.machine(), _glibc())


def refuse_python(host: Host) -> Refusal | None:
    """Says that there is no TFX for this Python."""
    if host.python in LINES:
        return None
    todo = "use Python 3.10 (any Linux on x86-64), or 3.11 to 3.13 (a system with glibc 2.39): `make setup PYTHON=3.10`"
    return Refusal(f"Python {dotted(host.python)}: there is no TFX for it", todo)


def refuse_system(host: Host) -> Refusal | None:
    """Says that the line of this Python has no wheels for this system."""
    line = LINES.get(host.python, OLD_LINE)
    if host.system == "Darwin":
        return _refuse_mac(host, line)
    if host.system != "Linux" or host.machine not in ("x86_64", "AMD64"):
        todo = "use Linux on x86-64 (on Windows: WSL 2; elsewhere: a container or a virtual machine)"
        return Refusal(f"{host.system} on {host.machine}: TFX has no wheels for it", todo)
    return _refuse_glibc(host, line)


def _refuse_mac(host: Host, line: Line) -> Refusal | None:
    if host.machine == line.mac:
        return None
    other = "3.10" if host.machine == OLD_LINE.mac else "3.12"
    return Refusal(f"{host}: TFX {line.tfx} has no wheels for it", f"`make setup PYTHON={other}`, whose TFX has")


def _refuse_glibc(host: Host, line: Line) -> Refusal | None:
    needed = f"TFX {line.tfx} needs glibc {dotted(line.glibc)} or later"
    if host.glibc is None:
        todo = "use a system with glibc, such as Debian or Ubuntu (Alpine's musl does not do)"
        return Refusal(f"{host} without glibc: {needed}", todo)
    if host.glibc >= line.glibc:
        return None
    todo = "use a newer system: Debian 13, Ubuntu 24.04 or later"
    if host.glibc >= OLD_LINE.glibc:
        todo = f"`make setup PYTHON=3.10`, whose TFX {OLD_LINE.tfx} runs here; or {todo}"
    return Refusal(f"{host}: {needed}", todo)


def dotted(version: tuple[int, int]) -> str:
    """Returns (3, 10) as 3.10."""
    return f"{version[0]}.{version[1]}"


def _glibc() -> tuple[int, int] | None:
    """From the running C library: `platform.libc_ver` reads the executable instead, and may name another."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, ValueError, OSError):
        return None
    major, _, minor = version.partition(".")
    return (int(major), int(minor.split(".")[0])) if name == "glibc" else None


def main() -> int:
    """Says what is wrong with this machine, if anything is, and returns the exit status."""
    host = this_host()
    refusal = refuse_python(host) or refuse_system(host)
    if refusal:
        sys.stderr.write(f"{refusal.message}.\nTo do: {refusal.todo}.\n")
    return 1 if refusal else 0


if __name__ == "__main__":
    sys.exit(main())
