"""What there is on this machine that decides whether a run can succeed. Imports neither tensorflow nor tfx."""

from __future__ import annotations

import importlib.metadata
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runners.tfx_lines import Host, this_host

PROJECT = "tfx-pipelines"


@dataclass(frozen=True)
class Facts:
    """What there is on a machine.

    Attributes:
      host: what decides which line of TFX can be installed.
      cpu_flags: instruction sets; None where the system does not list them.
      required: name of a package -> version that is asked for, such as `<2,>=1.16`; empty if the project is
        not installed.
      installed: name of a package -> version, of those that are required.
      memory: bytes available; None where the system does not say.
      root: folder of the runs, which need not exist yet.
      disk: bytes free there.
      write_error: why a file or a sqlite database cannot be written there; None if both can.
    """

    host: Host
    cpu_flags: frozenset[str] | None
    required: dict[str, str]
    installed: dict[str, str]
    memory: int | None
    root: Path
    disk: int
    write_error: str | None


def gather(root: Path) -> Facts:
    """Returns the facts of this machine, for runs under `root`."""
    nearest = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    required = _required()
    return Facts(
        host=this_host(),
        cpu_flags=_flags(Path("/proc/cpuinfo")),
        required=required,
        installed=_installed(required),
        memory=_available_memory(Path("/proc/meminfo"), Path("/sys/fs/cgroup")),
        root=root,
        disk=shutil.disk_usage(nearest).free,
        write_error=_write_error(nearest),
    )


def _required() -> dict[str, str]:
    """What the project asks for on this Python, and what TFX does; empty if the project is not installed."""
    project, tfx = _asked_by(PROJECT), _asked_by("tfx")
    if not project:
        return {}
    return {name: ",".join(filter(None, (project.get(name), tfx.get(name)))) for name in {**project, **tfx}}


def _asked_by(package: str) -> dict[str, str]:
    """What an installed package asks for on this Python, without its extras; empty if it is not installed."""
    try:
        wanted = [Requirement(text) for text in importlib.metadata.requires(package) or []]
    except importlib.metadata.PackageNotFoundError:
        return {}
    here = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return {canonicalize_name(one.name): str(one.specifier) for one in here}


def _installed(names: dict[str, str]) -> dict[str, str]:
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _flags(cpuinfo: Path) -> frozenset[str] | None:
    """Instruction sets of the first processor that Linux lists."""
    if not cpuinfo.is_file():
        return None
    lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
    return next((frozenset(value.split()) for key, _, value in lines if key.strip() == "flags"), None)


def _available_memory(meminfo: Path, cgroup: Path) -> int | None:
    """Bytes that a new process may take: the system's, or less where a container has a limit (cgroup 2)."""
    if not meminfo.is_file():
        return None
    available = 1024 * int(_numbers(meminfo)["MemAvailable:"])
    limit = cgroup / "memory.max"
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        # Files that the kernel only caches count as used, but give way.
        cached = int(_numbers(cgroup / "memory.stat")["inactive_file"])
        used = int((cgroup / "memory.current").read_text()) - cached
        available = min(available, int(text) - used)
    return available


def _numbers(table: Path) -> dict[str, str]:
    """First and second word of each line."""
    words = (line.split() for line in table.read_text().splitlines())
    return {line[0]: line[1] for line in words if len(line) > 1}


def _write_error(folder: Path) -> str | None:
    """Tries what TFX's metadata store does: a sqlite database in a file, which some network disks cannot lock."""
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            connection = sqlite3.connect(Path(scratch) / "probe.sqlite")
            connection.execute("CREATE TABLE probe (x)")
            connection.close()
    except (OSError, sqlite3.Error) as error:
        return str(error)
    return None
