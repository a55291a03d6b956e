"""The image example generator: what lands in the records, and what stops it."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from photos import CONTAINERS, encoded, photo, to_tar, write
from PIL import Image
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from pipeline.contract import Pictures, UserError
from pipeline.ingestion.decoding import Picture, decode
from pipeline.ingestion.image_example_gen import FEATURES, REMOTE, Executor, ImageExampleGen, to_example
from pipeline.ingestion.pictures import read_files
from pipeline.ingestion.raw import RawReport

SPLITS = Pictures().splits

EXIF = Image.Exif()
EXIF[0x010E] = "the same picture with other metadata"

FILES = {
    **{f"set/Breed_{seed}.png": encoded(photo(seed)) for seed in range(24)},
    "set/0001.webp": encoded(photo(100), "WEBP", lossless=True),
    "copies/Breed_3.bmp": encoded(photo(3), "BMP"),
    "copies/Breed_4.webp": encoded(photo(4), "WEBP", lossless=True),
    "copies/Breed_5.jpg": encoded(photo(5), exif=EXIF),
    "copies/Zürich 1.jpg": encoded(photo(101, 90, 90), "GIF"),
    "bad/empty.jpg": b"",
    "bad/notes.txt": b"no picture",
    "bad/Readme.jpg": b"no picture either",
    "bad/half, cut.png": encoded(photo(1, 600, 400))[:400],
    "__MACOSX/set/._Breed_1.png": b"\0\5\26\7",
    "Thumbs.db": b"\xd0\xcf",
}
PICTURES = 29
"""Files of the set that are pictures, copies included."""


def run(source: Path | str, out: Path, size: int = 16, splits: dict[str, int] = SPLITS) -> standard_artifacts.Examples:
    """Runs the component's executor in this process, with the properties that TFX would pass."""
    examples = standard_artifacts.Examples()
    examples.uri = str(out)
    generator = ImageExampleGen(str(source), "the digest", size, splits)
    Executor().Do({}, {"examples": [examples]}, dict(generator.exec_properties))
    return examples


def records(folder: Path, split: str) -> list[bytes]:
    """The serialized examples of a split."""
    files = [str(path) for path in (folder / f"Split-{split}").iterdir()]
    return list(tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator())


def features(record: bytes) -> dict[str, Any]:
    """Feature name -> its value, text decoded."""
    found = {
        name: getattr(feature, feature.WhichOneof("kind")).value
        for name, feature in tf.train.Example.FromString(record).features.feature.items()
    }
    assert all(len(values) == 1 for values in found.values())
    return {
        name: values[0].decode() if name in ("file", "class", "luminance_band", "chroma") else values[0]
        for name, values in found.items()
    }


def read(folder: Path, split: str) -> list[dict[str, Any]]:
    """The examples of a split."""
    return [features(record) for record in records(folder, split)]


def report_of(folder: Path) -> RawReport:
    return RawReport.model_validate_json((folder / "ingestion.json").read_bytes())


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> standard_artifacts.Examples:
    """Of a tar in a shuffled order."""
    folder = tmp_path_factory.mktemp("tar")
    names = np.random.default_rng(0).permutation(list(FILES))
    with warnings.catch_warnings():
        warnings.simplefilter("error", category=Image.DecompressionBombWarning)
        return run(to_tar({name: FILES[name] for name in names}, folder / "photos.tar"), folder / "examples")


@pytest.fixture(scope="module")
def folder(examples: standard_artifacts.Examples) -> Path:
    """Where the examples lie."""
    return Path(examples.uri)


# --- the examples ----------------------------------------------------------------------------------


def test_they_are_described_as_tfx_does(examples: standard_artifacts.Examples, folder: Path) -> None:
    assert artifact_utils.decode_split_names(examples.split_names) == ["train", "eval", "test"]
    assert examples_utils.get_payload_format(examples) == example_gen_pb2.FORMAT_TF_EXAMPLE
    assert examples_utils.get_file_format(examples) == "tfrecords_gzip"
    assert [path.name for path in folder.glob("Split-*/*")] == ["data_tfrecord-00000-of-00001.gz"] * 3


def test_an_example_has_the_features_of_the_contract(folder: Path) -> None:
    for split in SPLITS:
        for row in read(folder, split):
            assert sorted(row) == sorted(FEATURES)
            assert all(f"`{name}`" in str(Pictures.__doc__) for name in row)


def test_an_example_says_what_the_picture_is(folder: Path) -> None:
    rows = {row["file"]: row for split in SPLITS for row in read(folder, split)}
    expected = decode(FILES["set/Breed_7.png"], 16)
    assert isinstance(expected, Picture)
    row = rows["set/Breed_7.png"]

    assert (row["gray"], row["colour"]) == (expected.gray, expected.colour)
    assert (row["class"], row["width"], row["height"]) == ("set", 60, 40)
    assert row["mean_luminance"] == pytest.approx(expected.mean_luminance)
    assert row["colourfulness"] == pytest.approx(expected.colourfulness)
    assert rows["set/0001.webp"]["class"] == "set"
    assert rows["copies/Zürich 1.jpg"]["class"] == "copies"
    gray, colour = (tf.io.decode_png(row[name]).numpy() for name in ("gray", "colour"))
    assert (gray.shape, colour.shape) == ((16, 16, 1), (16, 16, 3))
    np.testing.assert_allclose(gray[..., 0], colour @ [0.299, 0.587, 0.114], atol=0.5 + 1e-9)


def test_the_tint_is_the_mean_chroma_of_the_training_split_in_all_examples(folder: Path) -> None:
    colour = np.stack([tf.io.decode_png(row["colour"]).numpy() / 255 for row in read(folder, "train")])
    luminance = colour @ [0.299, 0.587, 0.114]
    expected = ((colour[..., 2] - luminance).mean() / 1.772, (colour[..., 0] - luminance).mean() / 1.402)

    tints = {(row["train_cb"], row["train_cr"]) for split in SPLITS for row in read(folder, split)}
    (tint,) = tints
    assert tint == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("colour", "band", "chroma"),
    [
        ((80, 80, 80), "dark", "gray"),
        ((90, 90, 90), "middle", "gray"),
        ((169, 169, 169), "middle", "gray"),
        ((172, 172, 172), "bright", "gray"),
        ((255, 255, 255), "bright", "gray"),
        ((172, 172, 178), "bright", "gray"),  # Colourfulness 1.8.
        ((172, 172, 180), "bright", "colour"),  # Colourfulness 2.4.
    ],
)
def test_bands_of_luminance_and_chroma(colour: tuple[int, int, int], band: str, chroma: str) -> None:
    picture = decode(encoded(Image.new("RGB", (4, 4), colour)), 4)
    assert isinstance(picture, Picture)
    row = features(to_example("name", "label", picture, (0.0, 0.0)))
    assert (row["luminance_band"], row["chroma"]) == (band, chroma)


def test_examples_are_ordered_by_name(folder: Path) -> None:
    for split in SPLITS:
        names = [row["file"] for row in read(folder, split)]
        assert names == sorted(names)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_gives_the_same_records(folder: Path, tmp_path: Path, kind: str) -> None:
    run(CONTAINERS[kind](FILES, tmp_path / f"photos.{kind}"), tmp_path / "examples")
    for split in SPLITS:
        assert records(tmp_path / "examples", split) == records(folder, split)
    assert report_of(tmp_path / "examples").rows_usable == PICTURES


def test_a_server_can_shrink_pictures_in_the_same_way() -> None:
    """TensorFlow's bicubic kernel, antialiased, is Pillow's."""
    image = photo(3, 100, 80)
    picture = decode(encoded(image), 32)
    assert isinstance(picture, Picture)
    resized = tf.image.resize(np.asarray(image, np.float32), (32, 32), method="bicubic", antialias=True)
    np.testing.assert_allclose(tf.io.decode_png(picture.colour).numpy(), resized.numpy(), atol=1.01)


# --- splits ----------------------------------------------------------------------------------------


def test_a_copy_with_the_very_same_pixels_is_left_out(folder: Path) -> None:
    names = [row["file"] for split in SPLITS for row in read(folder, split)]
    assert len(names) == PICTURES - 3
    # The first by name stays: "copies/…" before "set/…".
    assert {"copies/Breed_3.bmp", "copies/Breed_4.webp", "copies/Breed_5.jpg"} <= set(names)
    assert not {"set/Breed_3.png", "set/Breed_4.png", "set/Breed_5.png"} & set(names)


def test_a_picture_keeps_its_split_whatever_comes_besides(folder: Path, tmp_path: Path) -> None:
    more = {f"more/{seed}.png": encoded(photo(1000 + seed)) for seed in range(10)}
    run(write(tmp_path / "photos", {**FILES, **more}), tmp_path / "examples")
    for split in SPLITS:
        before, after = ({row["file"] for row in read(where, split)} for where in (folder, tmp_path / "examples"))
        assert before == {name for name in after if not name.startswith("more/")}


# --- what became of the files ----------------------------------------------------------------------


def test_the_report_counts_every_file(folder: Path) -> None:
    assert report_of(folder) == RawReport(
        unit="files",
        source="photos.tar",
        source_sha256="the digest",
        rows_read=PICTURES + 4,
        rows_usable=PICTURES,
        quarantined=4,
        quarantined_by_reason={
            "no picture: none of JPEG, PNG, GIF, WEBP, BMP, TIFF, PPM": 2,
            "no picture: an empty file": 1,
            "no picture: truncated": 1,
        },
        left_out={"system file": 2, "copy of another picture": 3},
        forbidden={},
    )
    assert list(report_of(folder).quarantined_by_reason.values()) == [2, 1, 1]


def test_the_quarantine_lists_the_files_that_are_no_pictures(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "quarantine.csv").read_text(encoding="utf-8"))))
    assert [row["file"] for row in rows] == ["bad/Readme.jpg", "bad/empty.jpg", "bad/half, cut.png", "bad/notes.txt"]
    assert rows[1]["reason"] == "no picture: an empty file"
    assert rows[2]["reason"].startswith("no picture: truncated, received ")


# --- what stops it ---------------------------------------------------------------------------------


def test_a_split_without_a_picture(tmp_path: Path) -> None:
    write(tmp_path / "photos", {"1.png": encoded(photo())})
    with pytest.raises(UserError, match=r"at least one picture in the split '\w+'; received none, of 1 different"):
        run(tmp_path / "photos", tmp_path / "examples")


def test_a_set_without_a_usable_picture(tmp_path: Path) -> None:
    write(tmp_path / "photos", {"1.png": encoded(photo())[:99], "2.png": b""})
    with pytest.raises(UserError, match=r"received 2 files, none of which is one; 1\.png: no picture: truncated"):
        run(tmp_path / "photos", tmp_path / "examples")


def test_an_archive_that_ends_in_the_middle(tmp_path: Path) -> None:
    path = to_tar(FILES, tmp_path / "photos.tar")
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(UserError, match=r"a complete \.tar, \.tar\.gz or \.zip, of pictures; received photos\.tar: "):
        run(path, tmp_path / "examples")


# --- in TFX ----------------------------------------------------------------------------------------


def test_the_cache_key_follows_content_size_and_splits() -> None:
    def key(source: str = "photos", digest: str = "a", size: int = 80, splits: dict[str, int] = SPLITS) -> str:
        return str(sorted(ImageExampleGen(source, digest, size, splits).exec_properties.items()))

    assert key() == key()
    others = [key(digest="b"), key(size=96), key(splits={"train": 50, "eval": 30, "test": 20})]
    assert len({key(), *others}) == 4


@pytest.mark.parametrize("kind", CONTAINERS)
def test_files_are_read_the_same_through_tfx(tmp_path: Path, kind: str) -> None:
    """Buckets are read through TFX's functions, which take local paths too."""
    path = CONTAINERS[kind](FILES, tmp_path / "photos")
    assert dict(read_files(str(path), REMOTE)) == FILES
    assert fileio.isdir(str(path)) == (kind == "folder")


def test_it_compiles_for_kubeflow(tmp_path: Path) -> None:
    generator = ImageExampleGen("gs://bucket/photos.tar", "the digest", 80, SPLITS).with_id("ExampleGen")
    pipeline = Pipeline(pipeline_name="photos", pipeline_root="gs://bucket/root", components=[generator])
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image="image")
    file = tmp_path / "photos.json"
    kubeflow_v2_dag_runner.KubeflowV2DagRunner(config, output_filename=str(file)).run(pipeline, write_out=True)

    compiled = json.loads(file.read_text())["pipelineSpec"]
    (executor,) = compiled["deploymentSpec"]["executors"].values()
    assert "pipeline.ingestion.image_example_gen.Executor" in executor["container"]["args"]
    parameters = compiled["root"]["dag"]["tasks"]["ExampleGen"]["inputs"]["parameters"]
    assert parameters["source"]["runtimeValue"]["constantValue"] == {"stringValue": "gs://bucket/photos.tar"}
    assert parameters["size"]["runtimeValue"]["constantValue"] == {"intValue": "80"}


# --- real photos -----------------------------------------------------------------------------------


def test_the_real_photos(real_data: Path, tmp_path: Path) -> None:
    run(real_data / "pets" / "oxford_pets.tar", tmp_path, size=80)
    report = report_of(tmp_path)
    rows = {split: read(tmp_path, split) for split in SPLITS}

    assert (report.rows_read, report.quarantined) == (842, 0)
    assert sum(map(len, rows.values())) == 842 - report.left_out["copy of another picture"]
    classes = Counter(row["class"] for listed in rows.values() for row in listed)
    assert "great_pyrenees" in classes
    assert "unknown" not in classes
