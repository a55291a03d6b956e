"""Which version serves: the newest, or the one that a person chose until a newer one comes; in folders and buckets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from google.cloud import storage

from pipeline.contract import UserError
from pipeline.push import Pushed, gcs
from pipeline.push.serving_version import CHOICE_FILE, chosen, promote, rollback, serving
from runners.pushed_models import base_of, find_line, lines, look

MakeModel = Callable[..., Path]
Push = Callable[..., Pushed]
BUCKET = "gs://models/clv"


@pytest.fixture
def three(tmp_path: Path, destination: Path, make_model: MakeModel, push: Push) -> list[int]:
    """Numbers of three versions at a destination."""
    return [push(destination, make_model(tmp_path / name, name)).version.number for name in "abc"]


def _serves(destination: Path | str) -> int:
    found = serving(str(destination))
    assert found
    return found.number


# --- a folder ------------------------------------------------------------------------------------


def test_the_newest_version_serves_and_none_where_nothing_was_pushed(destination: Path, three: list[int]) -> None:
    assert _serves(destination) == three[-1]
    assert serving(str(destination / "elsewhere")) is None


def test_a_rollback_lasts_until_the_next_push_which_leaves_the_file_alone(
    tmp_path: Path, destination: Path, three: list[int], make_model: MakeModel, push: Push
) -> None:
    done = rollback(str(destination))
    assert (done.version.number, done.before, done.changed) == (three[1], three[2], True)
    written = (destination / CHOICE_FILE).read_text()
    assert _serves(destination) == three[1]
    told = json.loads(written)
    assert (told["version"], told["instead_of"], told["why"]) == (three[1], three[2], "rollback")

    assert not push(destination, tmp_path / "c").new  # What was rolled back does not come back by itself.
    assert _serves(destination) == three[1]
    newest = push(destination, make_model(tmp_path / "d", "d")).version.number
    assert _serves(destination) == newest
    assert (destination / CHOICE_FILE).read_text() == written
    assert chosen(str(destination)) is None


def test_rollbacks_go_back_one_by_one_or_to_a_version_that_is_named(destination: Path, three: list[int]) -> None:
    assert rollback(str(destination)).version.number == three[1]
    assert rollback(str(destination)).version.number == three[0]
    with pytest.raises(UserError, match=f"a version before {three[0]}, which serves.*received none"):
        rollback(str(destination))
    with pytest.raises(UserError, match=f"received {three[2]}; .*pipelines promote"):
        rollback(str(destination), three[2])
    promote(str(destination), three[2])
    assert rollback(str(destination), three[0]).version.number == _serves(destination) == three[0]


def test_promoting_the_newest_ends_a_rollback_and_once_more_changes_nothing(
    destination: Path, three: list[int]
) -> None:
    before = sorted(path.name for path in destination.iterdir())
    assert not promote(str(destination), three[2]).changed
    assert sorted(path.name for path in destination.iterdir()) == before
    rollback(str(destination))
    assert promote(str(destination), three[2]).changed
    written = (destination / CHOICE_FILE).read_text()
    again = promote(str(destination), three[2])
    assert (again.changed, again.version.number) == (False, _serves(destination))
    assert (destination / CHOICE_FILE).read_text() == written


@pytest.mark.parametrize("change", ["edited", "added", "no manifest"])
def test_a_damaged_version_is_refused_and_the_one_that_served_goes_on(
    destination: Path, three: list[int], change: str
) -> None:
    folder = destination / str(three[0])
    if change == "edited":
        (folder / "variables" / "variables.index").write_text("other")
    elif change == "added":
        (folder / "assets").mkdir()
        (folder / "assets" / "words").write_text("more")
    else:
        (folder / "assets.extra" / "manifest.json").unlink()
    with pytest.raises(UserError, match="a pushed version whose files are as its manifest says"):
        promote(str(destination), three[0])
    assert _serves(destination) == three[2]
    assert not (destination / CHOICE_FILE).exists()


def test_a_version_that_is_not_there_is_refused_with_those_that_are(destination: Path, three: list[int]) -> None:
    with pytest.raises(UserError, match=f"version 5 at .*versions there: {three[0]}, {three[1]}, {three[2]}"):
        promote(str(destination), 5)
    with pytest.raises(UserError, match="a destination with pushed versions"):
        rollback(str(destination / "elsewhere"))
    assert not (destination / "elsewhere").exists()


def test_no_other_version_serves_in_the_place_of_a_chosen_one_that_is_gone(destination: Path, three: list[int]) -> None:
    rollback(str(destination))
    (destination / str(three[1]) / "saved_model.pb").unlink()
    with pytest.raises(UserError, match=f"version {three[1]} at .*versions there: {three[0]}, {three[2]}"):
        serving(str(destination))
    assert promote(str(destination), three[0]).changed
    assert _serves(destination) == three[0]


@pytest.mark.parametrize("content", ["", "17", '{"version": 1}', "\x00"])
def test_a_choice_that_cannot_be_read_is_told_and_is_replaced_by_the_next(
    destination: Path, three: list[int], content: str
) -> None:
    (destination / CHOICE_FILE).write_text(content)
    with pytest.raises(UserError, match=r"a choice that `pipelines promote` wrote.*remove that file"):
        serving(str(destination))
    assert promote(str(destination), three[2]).changed
    assert _serves(destination) == three[2]


def test_a_choice_waits_for_a_push_that_is_under_way(destination: Path, three: list[int]) -> None:
    with FileLock(destination / ".push.lock"), pytest.raises(UserError, match=r"one push at a time.*within 0\.1 s"):
        promote(str(destination), three[0], wait_s=0.1)
    assert _serves(destination) == three[2]


# --- a bucket ------------------------------------------------------------------------------------


def test_versions_of_a_bucket_are_rolled_back_and_promoted(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    a, b, c = (make_model(tmp_path / name, name) for name in "abc")
    assert serving(BUCKET) is None
    first, second = (push(BUCKET, model).version.number for model in (a, b))
    assert (_serves(BUCKET), rollback(BUCKET).version.number, _serves(BUCKET)) == (second, first, first)
    assert not push(BUCKET, b).new
    assert _serves(BUCKET) == first
    assert json.loads(bucket.blob(f"clv/{CHOICE_FILE}").download_as_bytes())["instead_of"] == second
    assert not promote(BUCKET, first).changed
    third = push(BUCKET, c).version.number
    assert _serves(BUCKET) == third
    assert "clv/.push.lock" not in [blob.name for blob in bucket.list_blobs()]


def test_a_damaged_version_of_a_bucket_is_refused(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    first, second = (push(BUCKET, make_model(tmp_path / name, name)).version.number for name in "ab")
    bucket.blob(f"clv/{first}/variables/variables.index").upload_from_string(b"other")
    with pytest.raises(UserError, match=r"other content in variables/variables\.index"):
        rollback(BUCKET)
    assert _serves(BUCKET) == second
    bucket.blob("clv/.push.lock").upload_from_string(b"")
    with pytest.raises(UserError, match="one push at a time"):
        promote(BUCKET, second, wait_s=0.1)


def test_a_bucket_tells_its_folders_and_names(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    version = push(BUCKET, make_model(tmp_path / "a")).version
    bucket.blob(f"clv/{version.number}/").upload_from_string(b"")
    assert gcs.folders("gs://models") == ["clv"]
    assert "saved_model.pb" in gcs.names(version.path)
    assert "" not in gcs.names(version.path)
    with gcs.downloaded(version) as folder:
        assert (folder / "saved_model.pb").read_bytes() == b"graph"


def test_versions_of_a_bucket_are_listed_as_the_command_does(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    base = base_of(tmp_path, "gs://models/")
    older, newer = (push(BUCKET, make_model(tmp_path / name, name)).version.number for name in "ab")
    rollback(find_line(base, "clv", version=older))
    bucket.blob(f"clv/{newer}/words").upload_from_string(b"more")
    assert lines(base, "clv") == ["clv"]
    assert lines("gs://models/clv/x") == []
    seen = [(each.version, each.serves, each.champion, each.problem) for each in look(tmp_path, base, "clv").versions]
    assert seen == [(older, True, None, ""), (newer, False, None, f"{BUCKET}/{newer} with other files: words")]


def test_a_chosen_version_that_is_gone_is_never_replaced_silently_in_a_bucket(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    older, newer = (push(BUCKET, make_model(tmp_path / name, name)).version.number for name in "ab")
    rollback(BUCKET)
    bucket.blob(f"clv/{older}/saved_model.pb").delete()
    with pytest.raises(UserError, match=f"version {older} at {BUCKET}; received versions there: {newer}"):
        serving(BUCKET)
