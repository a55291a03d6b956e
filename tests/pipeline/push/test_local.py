"""Versions in a local folder: increasing, complete, made one at a time, and only where there is room."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pipeline.contract import UserError
from pipeline.push import Pushed, verify, versions

MakeModel = Callable[..., Path]
Push = Callable[..., Pushed]
FORK = multiprocessing.get_context("fork")


def test_versions_increase_when_the_clock_is_behind(
    tmp_path: Path, destination: Path, make_model: MakeModel, push: Push
) -> None:
    ahead = 99_999_999_999  # As if the clock had gone back since.
    make_model(destination / str(ahead))
    pushes = [push(destination, make_model(tmp_path / content, content)) for content in "ab"]
    assert [pushed.version.number for pushed in pushes] == [ahead + 1, ahead + 2]


def test_versions_are_complete_and_in_numeric_order(destination: Path, make_model: MakeModel) -> None:
    for name in ("10", "9", ".incoming", "notes"):
        make_model(destination / name)
    (destination / "11").mkdir()
    assert [version.number for version in versions(str(destination))] == [9, 10]


def test_a_number_is_not_used_again_for_an_incomplete_folder(
    tmp_path: Path, destination: Path, make_model: MakeModel, push: Push
) -> None:
    (destination / "99999999999").mkdir(parents=True)
    assert push(destination, make_model(tmp_path / "model")).version.number == 100_000_000_000


def test_nothing_has_versions_where_nothing_was_pushed(destination: Path) -> None:
    assert versions(str(destination)) == []


def test_a_model_comes_again_after_another_one(
    tmp_path: Path, destination: Path, make_model: MakeModel, push: Push
) -> None:
    a, b = make_model(tmp_path / "a", "a"), make_model(tmp_path / "b", "b")
    pushes = [push(destination, model) for model in (a, b, a)]
    assert all(pushed.new for pushed in pushes)
    assert versions(str(destination)) == [pushed.version for pushed in pushes]


def test_a_damaged_newest_version_is_replaced(
    tmp_path: Path, destination: Path, make_model: MakeModel, push: Push
) -> None:
    model = make_model(tmp_path / "model")
    damaged = push(destination, model).version
    Path(damaged.path, "saved_model.pb").write_bytes(b"")
    pushed = push(destination, model)
    assert pushed.new
    assert verify(Path(pushed.version.path)).version > damaged.number


def test_a_folder_without_saved_model_is_refused(tmp_path: Path, destination: Path, push: Push) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError, match=r"expected a SavedModel.*let the trainer export"):
        push(destination, tmp_path / "model")
    assert not destination.exists()


@pytest.mark.parametrize("address", ["", "s3://bucket/folder", "https://host/x"])
def test_an_unknown_kind_of_destination_is_refused(
    tmp_path: Path, address: str, make_model: MakeModel, push: Push
) -> None:
    with pytest.raises(UserError, match=r"expected a local folder or gs://bucket/folder"):
        push(address, make_model(tmp_path / "model"))
    with pytest.raises(UserError, match=r"correct gates.destination"):
        versions(address)


def test_a_destination_that_takes_no_folder_is_refused(tmp_path: Path, make_model: MakeModel, push: Push) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "served", Path("/proc/served")):
        with pytest.raises(UserError, match=r"can be read and written.*permissions and free space"):
            push(place, make_model(tmp_path / place.parts[1] / "model"))


@contextmanager
def _no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_destination_keeps_no_remains(
    tmp_path: Path, destination: Path, make_model: MakeModel, push: Push
) -> None:
    model = make_model(tmp_path / "model", size=3_000_000)
    with _no_file_above(1_000_000), pytest.raises(UserError, match=r"File too large.*free space"):
        push(destination, model)
    assert [path.name for path in destination.iterdir() if path.name != ".push.lock"] == []
    assert push(destination, model).new


def _push_together(start: Any, push: Push, destination: Path, model: Path) -> None:
    start.wait()
    push(destination, model)


@pytest.mark.parametrize(("contents", "expected"), [(("a", "b"), 2), (("same", "same"), 1)])
def test_of_two_pushes_at_once_one_waits(
    tmp_path: Path, destination: Path, contents: tuple[str, str], expected: int, make_model: MakeModel, push: Push
) -> None:
    start = FORK.Barrier(2)
    models = [make_model(tmp_path / str(i), content, size=5_000_000) for i, content in enumerate(contents)]
    children = [FORK.Process(target=_push_together, args=(start, push, destination, model)) for model in models]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    digests = {verify(Path(version.path)).model_digest for version in versions(str(destination))}
    assert len(digests) == len(versions(str(destination))) == expected


def test_a_push_that_waits_too_long_says_so(
    tmp_path: Path, destination: Path, make_model: MakeModel, push: Push
) -> None:
    destination.mkdir()
    with (
        FileLock(destination / ".push.lock"),
        pytest.raises(UserError, match=r"one push at a time.*within 0\.2 s.*another push"),
    ):
        push(destination, make_model(tmp_path / "model"), wait_s=0.2)
    assert versions(str(destination)) == []
