"""The generated pictures: their files, and that there is something to learn from them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter
from scipy.spatial import KDTree

from models.colorizer.sample import spoil, write_sample
from pipeline.contract import UserError

WEIGHTS = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "deep" / "sample.zip"
    write_sample(path)
    return path


def pictures(path: Path) -> Mapping[str, Image.Image]:
    """The pictures of a .zip by name, decoded."""
    with zipfile.ZipFile(path) as archive:
        images = {name: Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    for image in images.values():
        image.load()
    return images


def pixels(image: Image.Image) -> NDArray[np.float64]:
    """Red, green and blue, 0 to 1."""
    return np.asarray(image.convert("RGB"), np.float64) / 255


def class_of(name: str) -> str:
    return name.split("_")[0]


def is_gray(image: Image.Image) -> bool:
    return bool(np.ptp(pixels(image), axis=-1).max() < 0.02)


def test_names_tell_the_class_and_every_class_is_as_frequent(sample: Path) -> None:
    names = list(pictures(sample))
    assert names[:3] == ["Circle_000.png", "Square_001.jpg", "Star_002.png"]
    assert Counter(map(class_of, names)) == dict.fromkeys(("Circle", "Square", "Star", "Leaf", "Heart"), 100)


def test_there_are_several_formats_sizes_and_a_few_gray_pictures_in_every_class(sample: Path) -> None:
    images = pictures(sample)
    forms = Counter(image.format for image in images.values())
    assert forms == {"PNG": 333, "JPEG": 84, "WEBP": 83}
    assert {image.size for image in images.values()} == {(96, 96), (128, 96), (96, 128), (112, 112)}
    gray = [name for name, image in images.items() if is_gray(image)]
    assert len(gray) == 5
    assert len({class_of(name) for name in gray}) == 5
    assert len({(class_of(name), image.format) for name, image in images.items()}) == 15


def test_no_picture_comes_twice(sample: Path) -> None:
    assert len({image.tobytes() for image in pictures(sample).values()}) == 500


def test_the_same_seed_gives_the_same_bytes_and_another_other_pictures(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_sample(tmp_path / f"{name}.zip", seed, pictures=12)
        write_sample(tmp_path / f"{name}.tar", seed, pictures=12)
    for ending in ("zip", "tar"):
        first, again, other = ((tmp_path / f"{name}.{ending}").read_bytes() for name in "abc")
        assert first == again
        assert first != other
    assert list(pictures(tmp_path / "a.zip")) == list(pictures(tmp_path / "c.zip"))


def test_zip_tar_and_folder_hold_the_same_files(tmp_path: Path) -> None:
    for name in ("s.zip", "s.tar", "s"):
        write_sample(tmp_path / name, pictures=12)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        zipped = {name: archive.read(name) for name in archive.namelist()}
    assert zipped == {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    with tarfile.open(tmp_path / "s.tar") as tape:
        tape.extractall(tmp_path / "from-tar", filter="data")
    assert zipped == {file.name: file.read_bytes() for file in (tmp_path / "from-tar").iterdir()}


@pytest.mark.parametrize("form", ["s.zip", "s.tar", "s"])
def test_a_spoilt_copy_has_the_same_names_and_sizes_and_no_colour(tmp_path: Path, form: str) -> None:
    write_sample(tmp_path / form, pictures=12)
    spoil(tmp_path / form, tmp_path / "spoilt.zip")
    write_sample(tmp_path / "clean.zip", pictures=12)
    clean, spoilt = pictures(tmp_path / "clean.zip"), pictures(tmp_path / "spoilt.zip")
    assert sorted(clean) == sorted(spoilt)
    assert not any(is_gray(image) for image in clean.values())
    for name, image in spoilt.items():
        assert is_gray(image)
        assert (image.size, image.format) == (clean[name].size, clean[name].format)
        assert np.abs(pixels(image)[..., 0] - pixels(clean[name]) @ WEIGHTS).mean() < 0.02


@pytest.mark.parametrize("name", ["sample.csv", "sample.tar.gz", "sample.png"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"\.zip, \.tar or a folder without an ending"):
        write_sample(tmp_path / name)
    with pytest.raises(UserError, match=r"\.zip, \.tar or a folder without an ending"):
        spoil(tmp_path / "s.zip", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# --- something to learn ------------------------------------------------------------------------------


def seen(image: Image.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the luminance around each of 40 x 40 places says, [1600, 9], and the colour there less the luminance."""
    small = image.convert("RGB").resize((40, 40), Image.Resampling.BOX)
    gray = pixels(small) @ WEIGHTS
    columns = [gray, np.linspace(0, 1, 40)[:, None] * np.ones(40), np.full((40, 40), gray.mean())]
    for width in (5, 9, 17):
        mean = uniform_filter(gray, width)
        columns += [mean, 2 * np.sqrt(np.maximum(uniform_filter(gray**2, width) - mean**2, 0))]
    return np.stack(columns, axis=-1).reshape(1600, 9), (pixels(small) - gray[..., None]).reshape(1600, 3)


def test_the_luminance_around_a_place_says_its_colour_and_one_tint_does_not(sample: Path) -> None:
    """The 15 most alike places of other pictures halve the squared error of the best tint, without seeing shapes."""
    pairs = [seen(image) for image in pictures(sample).values()]
    around, colour = (np.stack(parts)[:, ::23] for parts in zip(*pairs, strict=True))
    known = np.arange(len(around)) % 10 < 8
    alike = KDTree(around[known].reshape(-1, 9)).query(around[~known].reshape(-1, 9), k=15)[1]
    truth, tint = colour[~known].reshape(-1, 3), colour[known].reshape(-1, 3).mean(axis=0)
    predicted = colour[known].reshape(-1, 3)[alike].mean(axis=1)
    error, tint_error, gray_error = (np.square(truth - guess).mean() for guess in (predicted, tint, 0))
    assert tint_error / gray_error >= 0.95
    assert error / tint_error <= 0.55
