"""Downloads from a real server on this machine's loopback: whole, cut off, resumed, refused."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.clv.dataset import DATASET
from pipeline.contract import PublicDataset, UserError
from runners.fetch import fetch

CONTENT = bytes(range(256)) * 4_000  # about 1 MB
MEMBER = "Online Retail.xlsx"


class Server(ThreadingHTTPServer):
    """Serves `content` at any path; the switches make it misbehave."""

    daemon_threads = True
    content: bytes = CONTENT
    ranges: bool = True
    cut_after: int | None = None
    """Bytes after which a connection is closed, on every answer."""
    statuses: list[int]
    """Answered first, one a request."""
    asked: list[str | None]
    """The Range header of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses, self.asked = [], []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/static/online+retail"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        content, total = self.server.content, len(self.server.content)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if wanted and start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted and self.server.ranges else 200)
        if wanted and self.server.ranges:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        end = total if self.server.cut_after is None else start + self.server.cut_after
        self.wfile.write(content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


def dataset(url: str, content: bytes = CONTENT, file: str = "shop.bin", sha256: str | None = "") -> PublicDataset:
    """A data set of which `content` is the published file; its size alone is known if `sha256` is None."""
    return PublicDataset(
        title="Sales of a shop",
        url=url,
        file=file,
        sha256=hashlib.sha256(content).hexdigest() if sha256 == "" else sha256,
        bytes=len(content),
        licence="CC BY 4.0",
        homepage="https://example.org/shop",
    )


def bring(what: PublicDataset, folder: Path) -> tuple[Path, list[str]]:
    said: list[str] = []
    return fetch(what, folder, echo=said.append, pause=0.01), said


def zip_of(**members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return data.getvalue()


def test_a_file_is_downloaded_and_the_licence_shown_before(server: Server, tmp_path: Path) -> None:
    path, said = bring(dataset(server.url), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "shop.bin"
    assert path.read_bytes() == CONTENT
    assert said[0].splitlines() == [
        "Sales of a shop",
        "  licence   CC BY 4.0",
        "  homepage  https://example.org/shop",
    ]
    assert said[1:] == ["  downloading 1.0 MB", f"wrote {path} (1.0 MB)"]
    assert [file.name for file in path.parent.iterdir()] == ["shop.bin"]


def test_a_whole_file_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    bring(dataset(server.url), tmp_path)
    path, said = bring(dataset(server.url), tmp_path)
    assert said == [f"{path} is there already"]
    assert len(server.asked) == 1


@pytest.mark.parametrize("sha256", ["", None])
def test_a_damaged_file_is_replaced(server: Server, tmp_path: Path, sha256: str | None) -> None:
    (tmp_path / "shop.bin").write_bytes(CONTENT[:-1])
    path, _ = bring(dataset(server.url, sha256=sha256), tmp_path)
    assert path.read_bytes() == CONTENT


def test_an_interrupted_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "shop.bin.part").write_bytes(CONTENT[:300_000])
    path, said = bring(dataset(server.url), tmp_path)
    assert server.asked == ["bytes=300000-"]
    assert "  going on after 0.3 MB of 1.0 MB" in said
    assert path.read_bytes() == CONTENT


def test_a_connection_that_breaks_off_is_taken_up_again(server: Server, tmp_path: Path) -> None:
    server.cut_after = 400_000
    path, said = bring(dataset(server.url), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=400000-", "bytes=800000-"]
    assert sum("broke off" in line for line in said) == 2


def test_what_came_before_the_last_attempt_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cut_after = 100_000
    with pytest.raises(UserError, match=r"an answer from 127\.0\.0\.1:.*none in 4 attempts"):
        bring(dataset(server.url), tmp_path)
    assert (tmp_path / "shop.bin.part").read_bytes() == CONTENT[:400_000]
    assert not (tmp_path / "shop.bin").exists()
    server.cut_after = None
    path, _ = bring(dataset(server.url), tmp_path)
    assert server.asked[-1] == "bytes=400000-"
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "shop.bin.part").write_bytes(b"x" * 300_000)
    path, said = bring(dataset(server.url), tmp_path)
    assert "  downloading 1.0 MB" in said
    assert path.read_bytes() == CONTENT


def test_a_whole_part_needs_no_more_bytes(server: Server, tmp_path: Path) -> None:
    (tmp_path / "shop.bin.part").write_bytes(CONTENT)
    path, _ = bring(dataset(server.url), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "shop.bin.part").write_bytes(CONTENT + b"more")
    path, _ = bring(dataset(server.url), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    path, said = bring(dataset(server.url), tmp_path)
    assert path.read_bytes() == CONTENT
    assert any("HTTP 503 Service Unavailable" in line for line in said)


def test_an_unknown_address_is_refused_at_once(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(UserError) as refusal:
        bring(dataset(server.url), tmp_path)
    assert refusal.value.received == "HTTP 404 Not Found"
    assert refusal.value.todo == (
        "try again later, or download 'shop.bin' by hand from https://example.org/shop and pass --data FILE"
    )
    assert len(server.asked) == 1


@pytest.mark.parametrize("sha256", ["", None])
def test_another_content_than_was_published_is_refused_and_deleted(
    server: Server, tmp_path: Path, sha256: str | None
) -> None:
    server.content = CONTENT + b"!"
    kind = "1024001 bytes" if sha256 is None else f"sha256 {hashlib.sha256(server.content).hexdigest()}"
    with pytest.raises(UserError, match=f"expected 'shop.bin' with .*; received {kind}; .*by hand"):
        bring(dataset(server.url, sha256=sha256), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_said_in_the_systems_words(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: a connection is refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/shop"
        with pytest.raises(UserError, match=r"Connection refused.*by hand from https://example.org/shop"):
            bring(dataset(url), tmp_path)


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected an address that can be downloaded"):
        bring(dataset("nowhere://shop"), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always full device")
def test_a_full_disk_says_so(server: Server, tmp_path: Path) -> None:
    (tmp_path / "shop.bin.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"room for 2\.0 MB; received .*No space left on device; make room"):
        bring(dataset(server.url), tmp_path)


def test_a_folder_that_cannot_be_made_says_so(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(UserError, match="choose another folder"):
        bring(dataset(server.url), tmp_path / "taken" / "deeper")


def test_the_wanted_file_is_taken_out_of_a_zip(server: Server, tmp_path: Path) -> None:
    server.content = zip_of(**{MEMBER: CONTENT, "../outside.txt": b"slip", "readme.txt": b"hello"})
    server.cut_after = len(server.content) * 2 // 3
    path, _ = bring(dataset(f"{server.url}.zip", file=MEMBER), tmp_path / "data")
    assert path.read_bytes() == CONTENT
    assert [file.name for file in tmp_path.rglob("*")] == ["data", MEMBER]


def test_a_member_with_a_path_is_written_into_the_folder(server: Server, tmp_path: Path) -> None:
    server.content = zip_of(**{"../../evil/shop.csv": CONTENT})
    path, _ = bring(dataset(f"{server.url}.zip", file="../../evil/shop.csv"), tmp_path / "a" / "b")
    assert path == tmp_path / "a" / "b" / "shop.csv"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zip_of(**{"other.xlsx": b"1"}), "expected 'Online Retail.xlsx' in the zip; received a zip of other.xlsx"),
        (
            b"<html>Please log in to this hotel's network</html>",
            "expected a zip that can be read; received File is not",
        ),
        (zip_of(**{MEMBER: b"another workbook"}), "expected 'Online Retail.xlsx' with sha256"),
    ],
)
def test_a_zip_without_the_published_file_is_refused_and_deleted(
    server: Server, tmp_path: Path, content: bytes, message: str
) -> None:
    server.content = content
    with pytest.raises(UserError, match=message):
        bring(dataset(f"{server.url}.zip", file=MEMBER), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_zip_is_refused_and_deleted(server: Server, tmp_path: Path) -> None:
    data = bytearray(zip_of(**{MEMBER: CONTENT}))
    data[100] ^= 0xFF
    server.content = bytes(data)
    with pytest.raises(UserError, match="a zip that can be read"):
        bring(dataset(f"{server.url}.zip", file=MEMBER), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_data_set_of_the_clv_model_is_a_workbook_in_a_zip() -> None:
    assert DATASET.url == "https://archive.ics.uci.edu/static/public/352/online+retail.zip"
    assert DATASET.file == "Online Retail.xlsx"
    assert "CC BY 4.0" in DATASET.licence
    assert DATASET.sha256 is not None
    assert len(bytes.fromhex(DATASET.sha256)) == 32
