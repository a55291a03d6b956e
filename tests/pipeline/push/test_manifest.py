"""The manifest: one cache key for one run's settings, and no edit of a pushed file goes unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.contract import Settings, TrainingSettings, UserError
from pipeline.push import Pushed, custom_config, verify

MakeModel = Callable[..., Path]
Push = Callable[..., Pushed]


def test_what_the_executor_is_told_is_json_and_depends_on_settings_and_data_only() -> None:
    def told(seed: int, data: str) -> str:
        settings = Settings(training=TrainingSettings(seed=seed))
        return json.dumps(custom_config("tiny", settings, pipeline="tiny-main", data_digest=data))

    assert told(1, "a") == told(1, "a")
    assert len({told(1, "a"), told(2, "a"), told(1, "b")}) == 3


def _edit(version: Path) -> None:
    (version / "saved_model.pb").write_bytes(b"other")


def _add(version: Path) -> None:
    (version / "variables" / "more").write_bytes(b"")


def _delete(version: Path) -> None:
    (version / "variables" / "variables.index").unlink()


@pytest.mark.parametrize(
    ("tamper", "file"),
    [(_edit, "saved_model.pb"), (_add, "variables/more"), (_delete, "variables/variables.index")],
)
def test_a_tampered_version_is_found(
    tmp_path: Path, destination: Path, tamper: Callable[[Path], None], file: str, make_model: MakeModel, push: Push
) -> None:
    version = Path(push(destination, make_model(tmp_path / "model")).version.path)
    verify(version)
    tamper(version)
    with pytest.raises(UserError, match=f"other content in {file}; do not serve it"):
        verify(version)


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_a_version_without_readable_manifest_is_not_trusted(
    tmp_path: Path, destination: Path, content: str | None, make_model: MakeModel, push: Push
) -> None:
    version = Path(push(destination, make_model(tmp_path / "model")).version.path)
    manifest = version / "assets.extra" / "manifest.json"
    manifest.unlink() if content is None else manifest.write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        verify(version)


def test_looking_at_versions_imports_neither_tfx_nor_a_cloud_client() -> None:
    code = "import sys, pipeline.push; print({'tensorflow', 'tfx', 'google.cloud.storage'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
