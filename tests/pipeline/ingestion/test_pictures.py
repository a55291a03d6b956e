"""Finding picture files: the same set in every container, and refusals before a run begins."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from photos import CONTAINERS, Pack, encoded, photo, to_tar, to_tar_gz, to_zip, write

from pipeline.contract import UserError
from pipeline.ingestion import pictures
from pipeline.ingestion.pictures import PictureSet, class_of, is_system_file, load_pictures, read_files, split_of

FILES = {
    "cats/Siamese_2.jpg": encoded(photo(1), "JPEG"),
    "cats/Zürich ж 1.png": encoded(photo(2)),
    "dogs/.DS_Store": b"\0\0\0\1Bud1",
    "dogs/deep/er/pug_1.gif": encoded(photo(3), "GIF"),
    "notes.txt": b"none",
    "top.webp": encoded(photo(4), "WEBP"),
}


def contents(path: Path) -> dict[str, bytes | str]:
    return dict(read_files(str(path)))


# --- containers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("suffix", ["right", "misleading"])
def test_every_container_holds_the_same_files(tmp_path: Path, kind: str, suffix: str) -> None:
    path = CONTAINERS[kind](FILES, tmp_path / f"set.{kind if suffix == 'right' else 'jpg'}")

    assert contents(path) == FILES
    found = load_pictures(path)
    assert (found.path, found.source, found.files) == (path, path.name, 5)


def test_the_digest_follows_the_content_and_nothing_else(tmp_path: Path) -> None:
    first, same, other = (
        load_pictures(write(tmp_path / name, files)).digest
        for name, files in (("first", FILES), ("same", FILES), ("other", {**FILES, "new.txt": b"more"}))
    )
    assert first == same
    assert first != other


def test_opening_a_folder_in_a_file_manager_does_not_change_its_digest(tmp_path: Path) -> None:
    before = load_pictures(write(tmp_path, FILES))
    write(tmp_path, {".DS_Store": b"1", "cats/Thumbs.db": b"2", "dogs/.DS_Store": b"changed"})
    assert load_pictures(tmp_path) == before


@pytest.mark.parametrize("pack", [to_tar, to_tar_gz, to_zip])
def test_the_digest_of_an_archive_is_what_publishers_give(tmp_path: Path, pack: Pack) -> None:
    archive = pack(FILES, tmp_path / "set")
    assert load_pictures(archive).digest == hashlib.sha256(archive.read_bytes()).hexdigest()


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    write(tmp_path, {name: b"" for name in ("b/1", "a/2", "c", "a/1", "B")})
    assert [name for name, _ in read_files(str(tmp_path))] == ["B", "a/1", "a/2", "b/1", "c"]


def test_links_devices_and_folders_in_an_archive_are_skipped(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for kind, name in [
            (tarfile.SYMTYPE, "link.jpg"),
            (tarfile.LNKTYPE, "hard.jpg"),
            (tarfile.FIFOTYPE, "pipe.jpg"),
            (tarfile.CHRTYPE, "device.jpg"),
            (tarfile.DIRTYPE, "folder.jpg"),
        ]:
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, str(secret)
            archive.addfile(header)
        header = tarfile.TarInfo("last.jpg")
        header.size = 4
        archive.addfile(header, io.BytesIO(b"last"))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, str(secret))
        packed.writestr("folder.jpg/", b"")
        packed.writestr("last.jpg", b"last")

    assert contents(tmp_path / "set.tar") == {"last.jpg": b"last"}
    assert contents(tmp_path / "set.zip") == {"last.jpg": b"last"}


def test_names_that_point_elsewhere_are_only_names(tmp_path: Path) -> None:
    names = {"../../evil.jpg": b"1", "/etc/evil.jpg": b"2", "./plain.jpg": b"3", "a\\b\\..\\windows.jpg": b"4"}
    expected = {"evil.jpg": b"1", "etc/evil.jpg": b"2", "plain.jpg": b"3", "a/b/windows.jpg": b"4"}
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    for pack in (to_tar, to_zip):
        assert contents(pack(names, folder / "set")) == expected
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "er", "set"]


def test_links_in_a_folder_are_followed_and_pipes_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(FILES["top.webp"])
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "real.png")
    (folder / "nowhere.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.png")
    assert contents(folder) == {"link.png": FILES["top.webp"]}


def test_names_in_no_encoding_become_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"1")
    ((name, _),) = read_files(str(tmp_path))
    assert name == "caf?.png"


@pytest.mark.parametrize("kind", CONTAINERS)
def test_files_too_large_are_not_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 2 << 20)
    path = CONTAINERS[kind]({"a.png": b"0" * (2 << 20), "b.png": b"0" * ((2 << 20) + 1)}, tmp_path / "set")
    assert contents(path) == {"a.png": b"0" * (2 << 20), "b.png": "no picture: more than 2 MB"}


def test_encrypted_and_damaged_members_of_a_zip(tmp_path: Path) -> None:
    path = to_zip({"a.png": b"a" * 999, "b.png": b"bbbb", "c.png": b"cccc"}, tmp_path / "set.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"a.png") + 5] ^= 0xFF  # The first byte of the first member's content.
    data[data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + 8] |= 1  # The flag of the second one.
    path.write_bytes(data)

    found = contents(path)
    assert str(found["a.png"]).startswith("no picture: damaged in the archive, received ")
    assert (found["b.png"], found["c.png"]) == ("no picture: encrypted", b"cccc")


# --- refusals --------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_pictures(path)
    return str(caught.value)


def test_a_missing_path(tmp_path: Path) -> None:
    assert "expected a folder or an archive of pictures; received" in refusal(tmp_path / "no.tar")
    assert "no.tar, which is not there; correct the path" in refusal(tmp_path / "no.tar")


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_set_without_a_picture(tmp_path: Path, kind: str) -> None:
    path = CONTAINERS[kind]({"notes.txt": b"none", ".hidden.png": FILES["top.webp"]}, tmp_path / "set")
    assert "expected at least one picture (JPEG, PNG, " in refusal(path)
    assert "in set; received 1 files, none of which is one" in refusal(path)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "received 0 files" in refusal(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"Breed,File\nPug,1.jpg\n" * 99, FILES["top.webp"], gzip.compress(b"a,b\n", mtime=0)]
)
def test_files_that_are_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.tar").write_bytes(content)
    assert refusal(tmp_path / "set.tar") == (
        "expected a folder, or a complete .tar, .tar.gz or .zip, of pictures; received set.tar: by its content none of "
        "these; correct the path, or download or pack the archive again"
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("pack", [to_tar, to_tar_gz, to_zip])
def test_truncated_archives(tmp_path: Path, pack: Pack, share: float) -> None:
    path = pack({f"{seed}.jpg": encoded(photo(seed, 200, 100), "JPEG") for seed in range(20)}, tmp_path / "set")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "expected a folder, or a complete .tar, .tar.gz or .zip" in refusal(path)


def test_a_tar_cut_between_two_files(tmp_path: Path) -> None:
    """Python's tarfile takes it for a shorter archive."""
    path = to_tar({"1.png": FILES["top.webp"], "2.png": FILES["top.webp"]}, tmp_path / "set.tar")
    one = 512 + -(-len(FILES["top.webp"]) // 512) * 512
    path.write_bytes(path.read_bytes()[:one])
    assert "set.tar: empty header, instead of a file or the end of the archive" in refusal(path)


def test_a_tar_with_a_damaged_header_in_its_middle(tmp_path: Path) -> None:
    """Python's tarfile takes it for the end."""
    path = to_tar(FILES, tmp_path / "set.tar")
    path.write_bytes(path.read_bytes().replace(b"notes.txt", b"nutes.txt"))
    assert "set.tar: bad checksum, instead of a file or the end of the archive" in refusal(path)


def test_a_tar_gz_with_a_flipped_bit(tmp_path: Path) -> None:
    path = to_tar_gz({**FILES, "noise.bin": os.urandom(99_999)}, tmp_path / "set.tar.gz")
    data = bytearray(path.read_bytes())
    data[-50_000] ^= 1
    path.write_bytes(data)
    assert "set.tar.gz: " in refusal(path)


def in_directory(path: Path, field: int, value: bytes) -> None:
    """Overwrites a field of the first file's entry in a zip's directory."""
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\1\2") + field
    data[start : start + len(value)] = value
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [(46, b"\xff"), (46, b"\0"), (6, b"\xff"), (28, b"\xff\xff")],
    ids=["name not in UTF-8", "empty name", "unknown version", "length of the name"],
)
def test_a_zip_with_a_damaged_directory(tmp_path: Path, field: int, value: bytes) -> None:
    path = to_zip({"ü.webp": FILES["top.webp"], "2.webp": FILES["top.webp"]}, tmp_path / "set.zip")
    in_directory(path, field, value)
    assert "expected a folder, or a complete .tar, .tar.gz or .zip" in refusal(path)


def test_a_zip_whose_directory_seems_to_end_early(tmp_path: Path) -> None:
    """Python's zipfile takes it for a smaller archive."""
    path = to_zip({"1.webp": FILES["top.webp"], "2.webp": FILES["top.webp"]}, tmp_path / "set.zip")
    in_directory(path, 32, struct.pack("<H", 46 + len("2.webp")))  # A comment as long as the second entry.
    assert "set.zip: damaged directory, with 1 of 2 names" in refusal(path)


def test_a_zip_with_a_comment_and_without_a_count(tmp_path: Path) -> None:
    path = to_zip(FILES, tmp_path / "set.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"of our cats " * 999
    assert load_pictures(path).files == 5

    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\5\6")
    data[end + 8 : end + 12] = b"\xff" * 4  # Of a zip64.
    path.write_bytes(data)
    assert load_pictures(path).files == 5


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that not even root can read")
def test_an_unreadable_file_does_not_cost_the_folder(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    before = load_pictures(tmp_path)
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "notes.txt").symlink_to("/proc/self/mem")

    assert str(contents(tmp_path)["notes.txt"]).startswith("no picture: unreadable, received ")
    found = load_pictures(tmp_path)
    assert found.files == before.files
    assert found.digest != before.digest


# --- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "folders", "expected"),
    [
        ("images/great_pyrenees_101.jpg", 1, "great_pyrenees"),
        ("Abyssinian_1.jpg", 0, "Abyssinian"),
        ("cats/Siamese_2.jpg", 2, "cats"),
        ("images/Siamese_2.jpg", 1, "Siamese"),
        ("cat.17.jpg", 0, "cat"),
        ("IMG_20240101_123456.jpg", 0, "IMG"),
        ("cats/0001.png", 2, "cats"),
        ("set/cats/portrait.png", 2, "cats"),
        ("images/0001.png", 1, "unknown"),
        ("2024-01-31.jpg", 0, "unknown"),
        ("portrait.jpg", 5, "unknown"),
        ("кошка 12", 0, "кошка"),
    ],
)
def test_the_class_that_a_name_tells(name: str, folders: int, expected: str) -> None:
    assert class_of(name, folders) == expected


def test_files_of_operating_systems() -> None:
    theirs = ["a/.DS_Store", "Thumbs.db", "a/desktop.ini", "__MACOSX/a/._1.jpg", "._1.jpg", ".cache/1.jpg"]
    assert all(is_system_file(name) for name in theirs)
    assert not any(is_system_file(name) for name in ("a/1.jpg", "thumbs.jpg", "a.b/c.jpg"))


def test_a_share_of_the_digests_is_in_each_split() -> None:
    splits = {"train": 60, "eval": 20, "test": 20}
    found = [split_of(f"{first:08x}ffff", splits) for first in (0, 59, 60, 79, 80, 99, 100)]
    assert found == ["train", "train", "eval", "eval", "test", "test", "train"]
    digests = [hashlib.sha256(f"{number}".encode()).hexdigest() for number in range(20_000)]
    shares = Counter(split_of(digest, splits) for digest in digests)
    assert [shares[split] / 20_000 for split in splits] == pytest.approx([0.6, 0.2, 0.2], abs=0.01)
    with pytest.raises(ValueError, match="splits of 100 percent in all"):
        split_of("00000063", {"train": 60})


def test_nothing_heavy_is_imported() -> None:
    code = "import pipeline.ingestion.pictures, sys; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    loaded = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).split()
    assert not {"tensorflow", "tfx", "apache_beam", "keras", "duckdb", "pyarrow"} & set(loaded)


def test_the_real_photos(real_data: Path) -> None:
    found = load_pictures(real_data / "pets" / "oxford_pets.tar")
    assert isinstance(found, PictureSet)
    assert found.files == 842
