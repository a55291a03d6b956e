"""Versions in a bucket, on a storage server on loopback that the real client talks to."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gcp_storage_emulator.handlers import objects
from google.cloud import storage

from pipeline.contract import UserError
from pipeline.fingerprint import digest_folder
from pipeline.push import Pushed, versions

MakeModel = Callable[..., Path]
Push = Callable[..., Pushed]
BUCKET = "gs://models/clv"


def _names(bucket: storage.Bucket) -> list[str]:
    """Names of the objects in the order in which the server received them."""
    return [blob.name for blob in sorted(bucket.list_blobs(), key=lambda blob: blob.generation)]


def test_a_bucket_receives_the_saved_model_last(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    model = make_model(tmp_path / "model")
    version = push(BUCKET, model).version
    assert versions(BUCKET) == [version]
    assert version.path == f"{BUCKET}/{version.number}"
    assert _names(bucket) == [
        f"clv/{version.number}/{name}"
        for name in (
            "variables/variables.data-00000-of-00001",
            "variables/variables.index",
            "assets.extra/model_card.md",
            "assets.extra/manifest.json",
            "saved_model.pb",
        )
    ]
    manifest = json.loads(bucket.blob(f"clv/{version.number}/assets.extra/manifest.json").download_as_bytes())
    assert manifest["version"] == version.number
    assert manifest["model_digest"] == digest_folder(model)


def test_a_bucket_takes_a_model_once_and_versions_increase(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    bucket.blob("clv/99999999999/saved_model.pb").upload_from_string(b"pushed by something else")
    a, b = make_model(tmp_path / "a", "a"), make_model(tmp_path / "b", "b")
    pushes = [push(BUCKET, model) for model in (a, a, b)]
    assert [pushed.new for pushed in pushes] == [True, False, True]
    assert [version.number for version in versions(BUCKET)] == [99_999_999_999, 100_000_000_000, 100_000_000_001]


def test_leftovers_in_a_bucket_are_cleaned_and_foreign_objects_kept(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    ours = bucket.blob("clv/5/variables/variables.index")
    ours.metadata = {"pushed-by": "pipeline.push"}
    ours.upload_from_string(b"")
    bucket.blob("clv/6/model.tflite").upload_from_string(b"")
    assert versions(BUCKET) == []
    push(BUCKET, make_model(tmp_path / "model"))
    assert "clv/5/variables/variables.index" not in _names(bucket)
    assert "clv/6/model.tflite" in _names(bucket)


def test_a_held_lock_of_a_bucket_is_waited_for_then_named(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    bucket.blob("clv/.push.lock").upload_from_string(b"")
    with pytest.raises(UserError, match=r"gs://models/clv/\.push\.lock free within 0\.2 s"):
        push(BUCKET, make_model(tmp_path / "model"), wait_s=0.2)
    assert _names(bucket) == ["clv/.push.lock"]


def test_of_two_pushes_to_a_bucket_one_waits(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    models = [make_model(tmp_path / content, content) for content in "ab"]
    with ThreadPoolExecutor() as pool:
        pushes = list(pool.map(lambda model: push(BUCKET, model), models))
    assert sorted(pushed.version for pushed in pushes) == versions(BUCKET)
    assert len(versions(BUCKET)) == 2


def test_a_stale_lock_of_a_bucket_is_taken_over(
    tmp_path: Path, bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch, make_model: MakeModel, push: Push
) -> None:
    bucket.blob("clv/.push.lock").upload_from_string(b"")
    monkeypatch.setattr("pipeline.push.gcs.LEASE", timedelta(0))
    assert push(BUCKET, make_model(tmp_path / "model")).new
    assert "clv/.push.lock" not in _names(bucket)


def test_a_push_whose_lock_was_taken_over_shows_no_version(
    tmp_path: Path, bucket: storage.Bucket, monkeypatch: pytest.MonkeyPatch, make_model: MakeModel, push: Push
) -> None:
    upload = objects._multipart_upload

    def take_over(request: Any, response: Any, store: Any) -> None:
        upload(request, response, store)
        if request.data["meta"]["name"].endswith("manifest.json"):
            store.delete_file("models", "clv/.push.lock")

    monkeypatch.setattr(objects, "_multipart_upload", take_over)
    with pytest.raises(UserError, match="received NotFound"):
        push(BUCKET, make_model(tmp_path / "model"))
    assert versions(BUCKET) == []


def test_a_missing_bucket_is_refused(tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push) -> None:
    with pytest.raises(UserError, match=r"expected a push destination.*gs://absent/clv"):
        push("gs://absent/clv", make_model(tmp_path / "model"))
