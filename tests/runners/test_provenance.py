"""What a record says of the code and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from pathlib import Path

import pytest

from runners import provenance


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=some@body.example"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkout_has_a_commit_and_says_what_differs_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "trainer.py").write_text("seed = 7\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "Begin")
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    assert provenance.code_here()["commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert provenance.code_here()["changed"] == "0"
    (tmp_path / "trainer.py").write_text("seed = 8\n")
    assert provenance.code_here()["changed"] == "1"


def test_an_installed_package_has_versions_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    told = provenance.code_here()
    assert (told["commit"], told["changed"]) == ("", "")
    assert told["tfx"] == importlib.metadata.version("tfx")


def test_the_machine_is_this_one() -> None:
    told = provenance.machine_here()
    assert told["processors"] == str(len(os.sched_getaffinity(0)))
    assert told["memory"].endswith(" GiB")
    assert told["processor"]
