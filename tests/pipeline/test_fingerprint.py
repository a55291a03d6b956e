"""Digests change with what they stand for, and with nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.fingerprint import digest_code, digest_file, digest_folder, digest_json


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `shop`: a imports b relatively and c inside a function; d is on its own."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "a.py").write_text("import json\nfrom . import b\ndef f():\n    from shop.c import x\n    return x\n")
    for name in "bcd":
        (folder / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.parametrize("edited", ["a.py", "b.py", "c.py"])
def test_code_is_a_module_and_what_it_imports(package: Path, edited: str) -> None:
    before = digest_code("shop.a")
    (package / edited).write_text((package / edited).read_text() + "# edited\n")
    assert digest_code("shop.a") != before


def test_code_is_not_its_neighbours_or_libraries(package: Path) -> None:
    before = digest_code("shop.a")
    (package / "d.py").write_text("x = 2\n")
    assert digest_code("shop.a") == before
    assert "shop.a" not in sys.modules, "a digest must not import what it reads"


def test_a_module_that_is_not_there(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"shop\.z"):
        digest_code("shop.z")


def test_json_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_json({"a": 1, "b": [2, 3]}) == digest_json({"b": [2, 3], "a": 1})
    assert digest_json({"a": 1}) != digest_json({"a": 2})


def test_a_folder_is_the_names_and_contents_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "one").write_text("1")
    before = digest_folder(tmp_path)
    assert digest_file(tmp_path / "x" / "one") == "6b86b273ff34fce1"  # sha256 of "1"
    (tmp_path / "x" / "one").rename(tmp_path / "x" / "two")
    assert digest_folder(tmp_path) != before
