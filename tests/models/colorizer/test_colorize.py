"""The command `pipelines colorize`, with a stand-in that paints everything in one tint."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import typer
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from models.colorizer import features
from models.colorizer.colorize import colorize
from pipeline.contract import Lent, UserError
from pipeline.ingestion.decoding import upright_rgb

RED_SHARE = np.array([1.402, -0.714, 0.0], np.float32)
"""What a Cr of 1 adds to red, green and blue."""
CR = 0.15


class Tint(tf.Module):
    """Answers as a colorizer does: gray pictures of any size in, pictures of the same luminance out."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=features.ENCODED)])
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {features.PNG: tf.map_fn(self._paint, image_bytes)}

    def _paint(self, encoded: tf.Tensor) -> tf.Tensor:
        gray = tf.cast(tf.io.decode_image(encoded, channels=1, expand_animations=False), tf.float32) / 255
        room = tf.minimum((1 - gray) / (1.402 * CR), gray / (0.714 * CR))
        rgb = gray + CR * tf.minimum(room, 1.0) * RED_SHARE
        return tf.io.encode_png(tf.cast(tf.round(255 * rgb), tf.uint8))


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pushed") / "colorizer-main" / "1700000000"
    tint = Tint()
    tf.saved_model.save(tint, str(folder), signatures={"serving_bytes": tint.serve.get_concrete_function()})
    return folder


@pytest.fixture
def run(pushed: Path) -> Callable[..., Any]:
    """Runs the command as people type it, on a root that holds version 1700000000."""

    def find_pushed(root: Path, version: str | None = None) -> Path:
        if version not in (None, "1700000000", str(pushed)):
            raise UserError(expected="a pushed version", received=str(version), todo="choose 1700000000")
        return pushed

    app = typer.Typer()
    app.command()(colorize)
    lent = Lent(find_pushed, upright_rgb)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)), obj=lent, env={"COLUMNS": "200"})


def photo(width: int, height: int, seed: int = 1) -> Image.Image:
    """A colourful picture of soft spots."""
    spots = np.random.default_rng(seed).integers(0, 256, (5, 5, 3)).astype(np.uint8)
    return Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)


def luminance(image: Image.Image) -> NDArray[np.float64]:
    weighed: NDArray[np.float64] = np.asarray(image.convert("RGB"), np.float64) @ np.array([0.299, 0.587, 0.114])
    return weighed


def test_the_answer_has_the_size_and_the_luminance_of_the_input(run: Callable[..., Any], tmp_path: Path) -> None:
    given = photo(301, 157)
    given.save(tmp_path / "cat.png")
    done = run(tmp_path / "cat.png", "--out", tmp_path / "new" / "out")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "new" / "out" / "cat-colour.png") as painted:
        assert (painted.size, painted.mode) == ((301, 157), "RGB")
        assert np.abs(luminance(painted) - luminance(given)).max() <= 1.5
        reds = np.asarray(painted, float)[..., 0] - luminance(painted)
    assert reds.mean() > 20


def test_it_says_who_painted_and_what_was_written(run: Callable[..., Any], tmp_path: Path) -> None:
    photo(40, 30).save(tmp_path / "cat.png")
    done = run(tmp_path / "cat.png", "--out", tmp_path / "out", "--model", 1_700_000_000)
    assert "Painting with colorizer-main, version 1700000000." in done.output
    assert f"wrote {tmp_path / 'out' / 'cat-colour.png'}\n" in done.output
    assert f"wrote {tmp_path / 'out' / 'contact-sheet.png'}\n" in done.output


def test_a_version_may_be_named_by_its_folder(run: Callable[..., Any], pushed: Path, tmp_path: Path) -> None:
    photo(40, 30).save(tmp_path / "cat.png")
    done = run(tmp_path / "cat.png", "--out", tmp_path / "out", "--model", pushed)
    assert done.exit_code == 0, done.output
    assert "Painting with colorizer-main, version 1700000000." in done.output


@pytest.mark.parametrize("size", [(2000, 3), (3, 2000)])
def test_very_wide_and_very_narrow_pictures_are_painted(
    run: Callable[..., Any], tmp_path: Path, size: tuple[int, int]
) -> None:
    photo(*size).save(tmp_path / "line.png")
    done = run(tmp_path / "line.png", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "out" / "line-colour.png").size == size
    assert (tmp_path / "out" / "contact-sheet.png").exists()


def test_a_version_that_is_not_there_is_refused_before_anything_is_written(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    photo(40, 30).save(tmp_path / "cat.png")
    done = run(tmp_path / "cat.png", "--out", tmp_path / "out", "--model", 3)
    assert isinstance(done.exception, UserError)
    assert not (tmp_path / "out").exists()


def test_a_folder_stands_for_its_pictures_and_none_of_one_name_is_lost(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "a.webp", "A.JPG", "a-2.gif", "contact-sheet.png", "below/b.png")):
        photo(40 + seed, 30, seed).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    done = run(folder, folder / "a.png", folder / "below" / "b.png", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    widths = {file.name: Image.open(file).width for file in (tmp_path / "out").iterdir()}
    del widths["contact-sheet.png"]
    # In the order of the folder's sorted names: A.JPG, a-2.gif, a.png, a.webp, contact-sheet.png.
    stems = {"A": 42, "a-2": 43, "a-3": 40, "a-4": 41, "contact-sheet": 44, "b": 45}
    assert widths == {f"{stem}-colour.png": width for stem, width in stems.items()}


def test_readable_pictures_are_painted_and_each_unreadable_one_is_named(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    whole = io.BytesIO()
    photo(200, 200).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    photo(40, 30).save(tmp_path / "cat.png")
    names = ("cut.jpg", "text.png", "empty.png", "missing.png", "cat.png")
    done = run(*(tmp_path / name for name in names), "--out", tmp_path / "out")
    assert isinstance(done.exception, UserError)
    assert done.exception.received.startswith("4 of 5 that cannot: ")
    reasons = {
        "cut.jpg": "truncated",
        "text.png": "no picture",
        "empty.png": "no picture",
        "missing.png": "No such",
    }
    for name, reason in reasons.items():
        (line,) = [line for line in done.output.splitlines() if line.startswith(f"  cannot read {tmp_path / name}: ")]
        assert reason in line
        assert f"{tmp_path / name} (" in done.exception.received
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["cat-colour.png", "contact-sheet.png"]


def test_the_sheet_of_many_pictures_shows_the_first_48(run: Callable[..., Any], tmp_path: Path) -> None:
    for number in range(50):
        Image.new("RGB", (8, 8), (200, 100, number)).save(tmp_path / f"{number:02d}.png")
    done = run(tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "contact-sheet.png of the first 48\n" in done.output
    assert len(list((tmp_path / "out").iterdir())) == 51
    pixels = np.asarray(Image.open(tmp_path / "out" / "contact-sheet.png"))
    true = (pixels[..., 0] == 200) & (pixels[..., 1] == 100)
    assert set(np.unique(pixels[true][:, 2]).tolist()) == set(range(48))


def test_where_nothing_is_readable_there_is_no_sheet(run: Callable[..., Any], tmp_path: Path) -> None:
    done = run(tmp_path / "missing.png", "--out", tmp_path / "out")
    assert isinstance(done.exception, UserError)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_input_is_never_overwritten(run: Callable[..., Any], tmp_path: Path) -> None:
    for seed, name in enumerate(("cat.png", "cat-colour.png")):
        photo(40, 30, seed).save(tmp_path / name)
    before = (tmp_path / "cat-colour.png").read_bytes()
    done = run(tmp_path, "--out", tmp_path)
    assert isinstance(done.exception, UserError)
    assert "cat-colour.png, which would be overwritten" in done.exception.received
    assert (tmp_path / "cat-colour.png").read_bytes() == before


def test_pictures_beside_the_answer_are_never_overwritten(run: Callable[..., Any], tmp_path: Path) -> None:
    for seed, name in enumerate(("cat.jpg", "cat.png")):
        photo(40, 30, seed).save(tmp_path / name)
    before = (tmp_path / "cat.png").read_bytes()
    done = run(tmp_path / "cat.jpg", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "cat.png").read_bytes() == before
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"cat.jpg", "cat.png", "cat-colour.png", "contact-sheet.png"}


def test_an_input_is_never_overwritten_by_the_sheet(run: Callable[..., Any], tmp_path: Path) -> None:
    photo(40, 30).save(tmp_path / "contact-sheet.png")
    done = run(tmp_path / "contact-sheet.png", "--out", tmp_path)
    assert isinstance(done.exception, UserError)
    assert "contact-sheet.png, which would be overwritten" in done.exception.received


def test_a_folder_without_pictures_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    done = run(tmp_path, "--out", tmp_path / "out")
    assert isinstance(done.exception, UserError)
    assert done.exception.received == f"none in {tmp_path}"


def test_a_place_that_cannot_be_written_to_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    photo(40, 30).save(tmp_path / "cat.png")
    (tmp_path / "file").touch()
    done = run(tmp_path / "cat.png", "--out", tmp_path / "file")
    assert isinstance(done.exception, UserError)
    assert done.exception.expected == "a place to write to"


def test_an_earlier_answer_is_replaced(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cat-colour.png").write_text("old")
    photo(40, 30).save(tmp_path / "cat.png")
    assert run(tmp_path / "cat.png", "--out", tmp_path / "out").exit_code == 0
    assert Image.open(tmp_path / "out" / "cat-colour.png").size == (40, 30)


def test_the_sheet_shows_gray_predicted_and_true_but_no_truth_of_gray_pictures(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    Image.new("RGB", (160, 160), (20, 60, 220)).save(tmp_path / "blue.png")
    Image.new("L", (160, 160), 100).save(tmp_path / "old.png")
    assert run(tmp_path / "blue.png", tmp_path / "old.png", "--out", tmp_path / "out").exit_code == 0
    sheet = Image.open(tmp_path / "out" / "contact-sheet.png").convert("RGB")
    cells = [[sheet.getpixel((104 + 168 * column, 130 + 194 * row)) for column in range(3)] for row in range(2)]
    (gray, predicted, true), (old_gray, old_predicted, nothing) = cells
    assert gray == (66, 66, 66)
    assert predicted[0] > 66 > predicted[1]  # type: ignore[index, operator]
    assert true == (20, 60, 220)
    assert old_gray == (100, 100, 100)
    assert old_predicted[0] > 100  # type: ignore[index, operator]
    assert nothing == (255, 255, 255)
