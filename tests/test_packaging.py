"""What is shipped and what is installed: the wheel, the lock, and the machines that make refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.contract import resource
from pipeline.fingerprint import digest_file

PROJECT = Path(__file__).parents[1]
LOCK = PROJECT / "requirements.lock"
BENCHMARK_LOCK = PROJECT / "requirements-benchmark.lock"
SCHEMA_TYPE = "title: tfx.Schema\ntype: object\n"


def make(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *map(str, arguments)]
    # Not with what the make that runs these tests was told.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)


UV = Path(sys.executable).parent / "uv"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what the image is built from, and from nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in re.findall(r"^COPY (?!-)(.+) \S+$", (PROJECT / "deploy" / "Dockerfile").read_text(), re.MULTILINE):
        for source in name.split():
            if (PROJECT / source).is_dir():
                shutil.copytree(PROJECT / source, folder / "src" / source, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (folder / "src").mkdir(exist_ok=True)
                shutil.copy(PROJECT / source, folder / "src")
    command = [UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder]
    subprocess.run([*map(str, command), str(folder / "src")], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with this one's libraries, but without this checkout."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True, capture_output=True)
    into = ["--quiet", "--offline", "--python", str(folder / "bin" / "python"), "--no-deps", str(wheel)]
    subprocess.run([UV, "pip", "install", *into], check=True, capture_output=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with packages of the project's names in it."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("models", "pipeline", "runners", "schema", "tests"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit(f'{__name__} of the working directory')")
    return folder


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command without what this process adds to Python's path."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_the_wheel_ships_sql_schemas_and_pages_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("models/clv/features.sql", "schema/clv/schema.pbtxt", "pipeline/dag.py", "runners/cli.py"):
        assert name in names
    for name in ("models/clv/page.html", "models/colorizer/page.html"):
        assert name in names
    for name in ("page.html", "page_frame.html", "page.css", "page.js"):
        assert f"runners/serving/{name}" in names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"models", "pipeline", "runners", "schema"}


def test_the_installed_command_is_the_wheels_wherever_it_is_typed(installed: Path, hostile: Path) -> None:
    done = run(installed / "bin" / "pipelines", "settings", "clv", cwd=hostile)
    assert done.returncode == 0, done.stderr
    assert "horizon_days: 91" in done.stdout


def test_an_installed_project_says_where_it_looked_for_an_environment(installed: Path, hostile: Path) -> None:
    done = run(installed / "bin" / "pipelines", "settings", "clv", "--env", "nightly", cwd=hostile)
    assert done.returncode == 2
    assert f"{hostile}/deploy/environments/nightly.yaml" in done.stderr.replace("\n", "")
    file = PROJECT / "deploy" / "environments" / "nightly.yaml"
    assert "line: shop" in run(installed / "bin" / "pipelines", "settings", "clv", "--env", file, cwd=hostile).stdout


def test_a_node_runs_from_the_wheel_as_a_container_starts_it(installed: Path, hostile: Path, tmp_path: Path) -> None:
    """TFX's own entry point, with the ExecutorInput that Vertex writes; `-I` keeps the working directory out of it."""
    reference = "schema.clv:schema.pbtxt"
    told = {
        "inputs": {"parameters": {"schema_file": {"stringValue": f"{reference}@{digest_file(resource(reference))}"}}},
        "outputs": {
            "artifacts": {
                "schema": {
                    "artifacts": [{"name": "1", "type": {"instanceSchema": SCHEMA_TYPE}, "uri": f"{tmp_path}/schema"}]
                }
            },
            "outputFile": f"{tmp_path}/executor_output.json",
        },
    }
    module = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"
    flags = ["--executor_class_path", "pipeline.packaged_schema.Executor"]
    flags += ["--json_serialized_invocation_args", json.dumps(told)]
    done = run(installed / "bin" / "python", "-I", "-m", module, *flags, cwd=hostile)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "schema" / "schema.pbtxt").read_text() == resource(reference).read_text()
    assert (tmp_path / "executor_output.json").is_file()


# --- the lock ------------------------------------------------------------------------------------------


def test_the_lock_holds_both_lines_hashed_and_names_no_address() -> None:
    text = LOCK.read_text()
    assert "tfx==1.16.0 ; python_full_version < '3.11'" in text
    assert "tfx==1.21.0 ; python_full_version >= '3.11'" in text
    requirements = re.findall(r"^\S+==.*(?:\n    --hash.*)*", text, re.MULTILINE)
    assert len(requirements) > 300
    assert all("--hash=sha256:" in requirement for requirement in requirements)
    assert "://" not in text


def test_make_lock_has_nothing_to_add_to_the_locks(tmp_path: Path) -> None:
    for lock in (LOCK, BENCHMARK_LOCK):
        shutil.copy(lock, tmp_path)
    done = make("lock", f"LOCK={tmp_path / LOCK.name}", "UPGRADE=")
    assert done.returncode == 0, done.stderr
    for lock in (LOCK, BENCHMARK_LOCK):
        same = (tmp_path / lock.name).read_text() == lock.read_text()
        assert same, "pyproject.toml changed: run `make lock`, and commit all"


@pytest.mark.parametrize("python", ["3.10", "3.12"])
def test_libraries_of_benchmarks_move_none_that_the_product_has(python: str) -> None:
    locked, added = (locked_versions(lock, python) for lock in (LOCK, BENCHMARK_LOCK))
    assert added["lightgbm"]
    assert {name: version for name, version in added.items() if locked.get(name, version) != version} == {}
    assert "://" not in BENCHMARK_LOCK.read_text()


def locked_versions(lock: Path, python: str) -> dict[str, str]:
    """What a lock installs with a Python on Linux, by name."""
    lines = re.findall(r"^\S+==[^\\\n]*", lock.read_text(), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    there = {"python_version": python, "python_full_version": f"{python}.9"}
    return {one.name: str(one.specifier) for one in found if not one.marker or one.marker.evaluate(there)}


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
