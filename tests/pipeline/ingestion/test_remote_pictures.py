"""Pictures at addresses that are no local paths: read by the node, and looked at before a run without downloading."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from google.cloud import storage
from photos import CONTAINERS, encoded, photo, to_zip, write
from remote_artifacts import at, read, upload
from tfx.types import standard_artifacts

from pipeline.contract import Pictures, UserError
from pipeline.ingestion.image_example_gen import Executor, ImageExampleGen
from pipeline.ingestion.pictures import load_pictures
from pipeline.ingestion.raw import RawReport

FILES = {f"set/Breed_{seed}.png": encoded(photo(seed)) for seed in range(12)} | {"set/notes.txt": b"no picture"}


def run(source: str, out: str) -> None:
    """Runs the executor with the properties that TFX would pass."""
    generator = ImageExampleGen(source, "the digest", 16, Pictures().splits)
    Executor().Do({}, {"examples": [at(standard_artifacts.Examples, out)]}, dict(generator.exec_properties))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the same pictures become where source and target are local."""
    folder = tmp_path_factory.mktemp("local")
    run(str(write(folder / "photos", FILES)), str(folder / "examples"))
    return folder / "examples"


@pytest.mark.parametrize("kind", CONTAINERS)
def test_remote_sources_give_the_same_records(local: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "up").mkdir()
    CONTAINERS[kind](FILES, tmp_path / "up" / f"photos.{kind}")
    root = upload(tmp_path / "up", f"ram://photos-{kind}")

    run(f"{root}/photos.{kind}", f"{root}/examples")

    for split in Pictures().splits:
        name = f"Split-{split}/data_tfrecord-00000-of-00001.gz"
        assert read(f"{root}/examples/{name}") == (local / name).read_bytes()
    report = RawReport.model_validate_json(read(f"{root}/examples/ingestion.json"))
    assert (report.source, report.rows_usable, report.quarantined) == (f"photos.{kind}", 12, 1)
    assert read(f"{root}/examples/quarantine.csv") == (local / "quarantine.csv").read_bytes()


def test_a_remote_archive_that_ends_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "up").mkdir()
    path = to_zip(FILES, tmp_path / "up" / "photos.zip")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"a complete \.tar, \.tar\.gz or \.zip, of pictures; received photos\.zip: "):
        run(f"{upload(tmp_path / 'up', 'ram://half')}/photos.zip", "ram://half/examples")


def test_a_remote_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"received ram://nowhere/photos\.zip, which is not there"):
        run("ram://nowhere/photos.zip", "ram://nowhere/examples")


# --- before a run ----------------------------------------------------------------------------------


def put(bucket: storage.Bucket, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        bucket.blob(name).upload_from_string(content)


def test_a_folder_in_a_bucket_is_known_by_names_sizes_and_checksums(bucket: storage.Bucket) -> None:
    put(
        bucket, {f"photos/{name}": content for name, content in FILES.items()} | {"photos/.DS_Store": b"", "other": b""}
    )
    found = load_pictures("gs://models/photos/")
    assert (found.path, found.source, found.files) == ("gs://models/photos", "photos", len(FILES))

    put(bucket, {f"again/{name}": content for name, content in FILES.items()})
    assert load_pictures("gs://models/again").digest == found.digest
    put(bucket, {"photos/set/Breed_3.png": encoded(photo(99))})
    assert load_pictures("gs://models/photos").digest != found.digest


def test_an_archive_in_a_bucket_is_known_by_its_checksum(bucket: storage.Bucket) -> None:
    put(bucket, {"a.zip": b"12345", "b.zip": b"12345", "c.zip": b"54321"})
    first, same, other = (load_pictures(f"gs://models/{name}.zip") for name in "abc")
    assert (first.path, first.source, first.files) == ("gs://models/a.zip", "a.zip", 1)
    assert first.digest == same.digest != other.digest


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("gs://models/absent", "a folder or an archive of pictures; received gs://models/absent, which is not there"),
        ("gs://absent/photos", "a bucket absent; received none of that name; correct the address gs://absent/photos"),
        ("photos", "the address of a folder or an archive of pictures, gs://bucket/…; received photos"),
        ("gs://", "received gs://; correct the address"),
    ],
)
def test_what_is_not_there_is_said_before_a_run(bucket: storage.Bucket, address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_pictures(address)


class Forbids(BaseHTTPRequestHandler):
    """Cloud Storage to somebody without permission."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()
        self.wfile.write(b'{"error": {"code": 403, "message": "no storage.objects.list access"}}')

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), Forbids) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.mark.usefixtures("forbidden")
def test_who_may_not_look_is_told_which_role_it_takes() -> None:
    with pytest.raises(UserError, match=r"permission to list and read gs://models/p.*storage\.objectViewer granted"):
        load_pictures("gs://models/p")
