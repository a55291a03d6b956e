"""What the doctor says about this machine, and about machines that cannot run the pipelines."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runners.doctor import Finding, all_ok, diagnose, examine
from runners.machine import Facts, _available_memory, _flags, gather
from runners.tfx_lines import Host

GOOD = Facts(
    host=Host(python=(3, 10), system="Linux", machine="x86_64", glibc=(2, 36)),
    cpu_flags=frozenset({"sse4_2", "avx"}),
    required={"tfx": "==1.16.0", "numpy": "<2,>=1.16", "duckdb": "<2,>=1.3"},
    installed={"tfx": "1.16.0", "numpy": "1.26.4", "duckdb": "1.5.6"},
    memory=8_000_000_000,
    root=Path("runs"),
    disk=50_000_000_000,
    write_error=None,
)


def findings(**changes: object) -> dict[str, Finding]:
    host = {key: changes.pop(key) for key in ("python", "system", "machine", "glibc") if key in changes}
    facts = replace(GOOD, host=replace(GOOD.host, **host), **changes)  # type: ignore[arg-type]
    return {finding.name: finding for finding in examine(facts)}


def test_a_good_machine_has_nothing_to_do() -> None:
    found = findings()
    assert list(found) == ["Python", "system", "processor", "packages", "memory", "disk", "root"]
    assert {(finding.status, finding.todo) for finding in found.values()} == {("ok", "")}
    assert all_ok(list(found.values()))
    assert found["Python"].message == "3.10, which gets TFX 1.16.0 with TensorFlow 2.16"
    assert found["packages"].message == "3 as required: tfx 1.16.0, numpy 1.26.4, duckdb 1.5.6"


@pytest.mark.parametrize("python", [(3, 11), (3, 12), (3, 13)])
def test_later_pythons_get_the_later_line(python: tuple[int, int]) -> None:
    found = findings(python=python, glibc=(2, 39))
    assert found["Python"].message.endswith("which gets TFX 1.21.0 with TensorFlow 2.21")
    assert found["system"].status == "ok"


@pytest.mark.parametrize("python", [(3, 9), (3, 14)])
def test_a_python_without_tfx_is_a_problem(python: tuple[int, int]) -> None:
    finding = findings(python=python)["Python"]
    assert finding.status == "problem"
    assert finding.message == f"Python 3.{python[1]}: there is no TFX for it"
    assert "Python 3.10" in finding.todo


def test_an_old_glibc_under_a_late_python_says_which_python_to_use() -> None:
    found = findings(python=(3, 12), glibc=(2, 36))
    assert found["system"] == Finding(
        "system",
        "problem",
        "Linux on x86_64, glibc 2.36: TFX 1.21.0 needs glibc 2.39 or later",
        "`make setup PYTHON=3.10`, whose TFX 1.16.0 runs here; or use a newer system: Debian 13, Ubuntu 24.04 or later",
    )
    assert not all_ok(list(found.values()))


@pytest.mark.parametrize(("glibc", "status"), [((2, 12), "problem"), ((2, 16), "problem"), ((2, 17), "ok")])
def test_the_earlier_line_needs_glibc_2_17(glibc: tuple[int, int], status: str) -> None:
    finding = findings(glibc=glibc)["system"]
    assert finding.status == status
    assert "3.10" not in finding.todo


def test_musl_is_a_problem() -> None:
    finding = findings(glibc=None)["system"]
    assert finding.status == "problem"
    assert "Alpine" in finding.todo


@pytest.mark.parametrize(
    ("python", "machine", "todo"),
    [
        ((3, 10), "x86_64", ""),
        ((3, 12), "arm64", ""),
        ((3, 10), "arm64", "`make setup PYTHON=3.12`, whose TFX has"),
        ((3, 12), "x86_64", "`make setup PYTHON=3.10`, whose TFX has"),
    ],
)
def test_a_mac_needs_the_python_of_its_processor(python: tuple[int, int], machine: str, todo: str) -> None:
    finding = findings(python=python, system="Darwin", machine=machine, glibc=None, cpu_flags=None)["system"]
    assert finding.todo == todo
    assert finding.status == ("problem" if todo else "ok")


@pytest.mark.parametrize(("system", "machine"), [("Windows", "AMD64"), ("Linux", "aarch64")])
def test_systems_without_wheels_are_a_problem(system: str, machine: str) -> None:
    finding = findings(system=system, machine=machine)["system"]
    assert finding.status == "problem"
    assert finding.message == f"{system} on {machine}: TFX has no wheels for it"


def test_a_processor_without_avx_is_a_problem() -> None:
    assert findings(cpu_flags=frozenset({"sse4_2"}))["processor"].status == "problem"
    assert findings(cpu_flags=None)["processor"].status == "ok"


def test_missing_and_wrong_packages_are_listed() -> None:
    finding = findings(installed={"tfx": "1.16.0", "numpy": "2.1.0"})["packages"]
    assert finding.status == "problem"
    assert finding.message == "numpy is 2.1.0, not <2,>=1.16; duckdb is missing (<2,>=1.3)"
    assert finding.todo == "run `make setup`, which makes .venv from requirements.lock"


def test_a_project_that_is_not_installed_is_a_problem() -> None:
    finding = findings(required={}, installed={})["packages"]
    assert finding.status == "problem"
    assert "tfx-pipelines is not installed" in finding.message


def test_little_memory_is_a_warning() -> None:
    found = findings(memory=1_200_000_000)
    assert found["memory"].status == "warning"
    assert found["memory"].message == "1.2 GB available; a run needs 1.5 GB"
    assert all_ok(list(found.values()))
    assert findings(memory=None)["memory"].status == "ok"


def test_a_full_disk_is_a_problem() -> None:
    finding = findings(disk=200_000_000)["disk"]
    assert finding.status == "problem"
    assert finding.message == "0.2 GB free for runs; runs need 1.0 GB"


def test_a_root_that_cannot_be_written_is_a_problem() -> None:
    finding = findings(write_error="database is locked")["root"]
    assert finding.status == "problem"
    assert finding.message == "runs: database is locked"


def test_this_machine_is_found_out(tmp_path: Path) -> None:
    facts = gather(tmp_path / "not" / "there")
    assert facts.host.python == sys.version_info[:2]
    assert facts.disk > 0
    assert facts.write_error is None
    assert "tfx" in facts.required
    assert {"tensorflow", "protobuf", "numpy", "duckdb"} <= facts.installed.keys()
    assert list(tmp_path.iterdir()) == []


def test_the_environment_of_these_tests_has_what_is_required(tmp_path: Path) -> None:
    found = {finding.name: finding for finding in diagnose(tmp_path)}
    assert found["Python"].status == found["packages"].status == "ok"


def test_a_root_under_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = {finding.name: finding for finding in diagnose(tmp_path / "file" / "runs")}
    assert found["root"].status == "problem"
    assert "Not a directory" in found["root"].message


def test_memory_is_what_the_container_leaves(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9000000 kB\nMemAvailable:  8000000 kB\nHugePages_Free: 0\n")
    assert _available_memory(meminfo, tmp_path) == 8_192_000_000
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500000000\n")
    (tmp_path / "memory.current").write_text("1500000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert _available_memory(meminfo, tmp_path) == 8_192_000_000
    (tmp_path / "memory.max").write_text("2000000000\n")
    assert _available_memory(meminfo, tmp_path) == 1_000_000_000
    assert _available_memory(tmp_path / "absent", tmp_path) is None


def test_flags_of_the_processor_are_read(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2: GHz\nflags\t\t: fpu sse4_2 avx\n\nflags\t: none\n")
    assert _flags(cpuinfo) == frozenset({"fpu", "sse4_2", "avx"})
    assert _flags(tmp_path / "absent") is None
    cpuinfo.write_text("Features: neon\n")
    assert _flags(cpuinfo) is None


def test_neither_tensorflow_nor_tfx_is_imported() -> None:
    code = "import sys; from runners.doctor import diagnose; from pathlib import Path; diagnose(Path('.'));"
    code += "print(sorted({'tensorflow', 'tfx', 'apache_beam', 'numpy'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
