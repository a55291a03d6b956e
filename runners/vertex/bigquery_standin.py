"""A stand-in for BigQuery on this machine, for rehearsals: the REST calls that Google's client makes, played by DuckDB.

It knows what this project asks for, and no more: data sets and tables (get, insert), query jobs, load jobs of
parquet files, and results page by page. Its content is gone with it.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runners.vertex.bigquery_warehouse import Problem, Warehouse

PAGE_ROWS = 10_000

Parts = tuple[str, ...]


@contextmanager
def serve() -> Iterator[str]:
    """Serves an empty stand-in on loopback while the context is open, and yields its address.

    Point Google's client at it with `BIGQUERY_EMULATOR_HOST=<address>`, in this process or another.
    """
    with Warehouse.open() as warehouse, tempfile.TemporaryDirectory(prefix="bigquery-") as folder:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.daemon_threads = True
        server.app = _App(warehouse, Path(folder))  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _App:
    """What each call comes to. One call at a time."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self.warehouse, self.folder, self.lock = warehouse, folder, threading.Lock()
        self.uploads: dict[str, dict[str, Any]] = {}

    def answer(self, method: str, path: str, body: Any, params: dict[str, str]) -> Any:
        routes: tuple[tuple[str, str, Any], ...] = (
            ("GET", r"projects/([^/]+)/datasets/([^/]+)", self._get_dataset),
            ("POST", r"projects/([^/]+)/datasets", self._insert_dataset),
            ("GET", r"projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)", self._get_table),
            ("POST", r"projects/([^/]+)/jobs", self._insert_job),
            ("GET", r"projects/([^/]+)/jobs/([^/]+)", self._get_job),
            ("POST", r"projects/([^/]+)/queries", self._query),
            ("GET", r"projects/([^/]+)/queries/([^/]+)", self._get_results),
        )
        for verb, pattern, function in routes:
            found = re.fullmatch(f"/bigquery/v2/{pattern}", path)
            if verb == method and found:
                with self.lock:
                    return function(found.groups(), body, params)
        raise Problem("notImplemented", f"the stand-in does not know {method} {path}")

    def _get_dataset(self, parts: Parts, body: Any, params: dict[str, str]) -> Any:
        return self.warehouse.dataset(*parts)

    def _insert_dataset(self, parts: Parts, body: Any, params: dict[str, str]) -> Any:
        return self.warehouse.insert_dataset(parts[0], body)

    def _get_table(self, parts: Parts, body: Any, params: dict[str, str]) -> Any:
        return self.warehouse.table(*parts)

    def _insert_job(self, parts: Parts, body: Any, params: dict[str, str]) -> Any:
        return self.warehouse.run(parts[0], body)

    def _get_job(self, parts: Parts, body: Any, params: dict[str, str]) -> Any:
        return self.warehouse.job(parts[1])

    def _query(self, parts: Parts, body: Any, params: dict[str, str]) -> Any:
        query = {"query": body["query"]}
        configuration = {"configuration": {"query": query, "dryRun": body.get("dryRun", False)}}
        reference = {"location": body.get("location")}
        job = self.warehouse.run(parts[0], {**configuration, "jobReference": reference})
        return self._page(job["jobReference"]["jobId"], 0, int(body.get("maxResults", PAGE_ROWS)))

    def _get_results(self, parts: Parts, body: Any, params: dict[str, str]) -> Any:
        start = int(params.get("pageToken") or params.get("startIndex") or 0)
        return self._page(parts[1], start, int(params.get("maxResults", PAGE_ROWS)))

    def _page(self, job_id: str, start: int, rows: int) -> Any:
        schema, total, page = self.warehouse.page(job_id, start, rows)
        after = start + len(page)
        more = {"pageToken": str(after)} if page and after < total else {}
        reference = self.warehouse.job(job_id)["jobReference"]
        listed = {"schema": schema, "totalRows": str(total), "rows": page, "jobComplete": True}
        return {**listed, **more, "jobReference": reference, "totalBytesProcessed": "0", "cacheHit": False}

    def upload(self, project: str, job: Any, file: Path) -> Any:
        with self.lock:
            return self.warehouse.run(project, job, file)


class _Handler(BaseHTTPRequestHandler):
    """HTTP, and the two ways of uploading."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_PUT(self) -> None:
        self._respond()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a rehearsal's log is its own."""

    @property
    def app(self) -> _App:
        app: _App = self.server.app  # type: ignore[attr-defined]
        return app

    def _respond(self) -> None:
        url = urlsplit(self.path)
        params = {key: values[-1] for key, values in parse_qs(url.query).items()}
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if url.path.startswith("/upload/"):
                self._upload(url.path.split("/")[5], params, content)
            else:
                self._send(200, self.app.answer(self.command, url.path, json.loads(content or "{}"), params))
        except Problem as problem:
            self._send(problem.code, {"error": problem.as_json()})

    def _upload(self, project: str, params: dict[str, str], content: bytes) -> None:
        """A whole file with its job in one body, or first the job and then the file in pieces."""
        if params.get("uploadType") == "multipart":
            job, data = _two_parts(content, self.headers["Content-Type"])
            file = self.app.folder / f"{time.monotonic_ns()}.parquet"
            file.write_bytes(data)
            self._send(200, self.app.upload(project, job, file))
        elif "upload_id" not in params:
            name = str(time.monotonic_ns())
            self.app.uploads[name] = json.loads(content)
            here = f"http://{self.headers['Host']}{self.path}&upload_id={name}"
            self._send(200, {}, Location=here)
        else:
            self._piece(project, params["upload_id"], content)

    def _piece(self, project: str, name: str, content: bytes) -> None:
        file = self.app.folder / f"{name}.parquet"
        with file.open("ab") as out:
            out.write(content)
        if self.headers["Content-Range"].endswith("/*"):
            self._send(308, {}, Range=f"bytes=0-{file.stat().st_size - 1}")
        else:
            self._send(200, self.app.upload(project, self.app.uploads.pop(name), file))

    def _send(self, code: int, answer: Any, **headers: str) -> None:
        content = json.dumps(answer).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _two_parts(content: bytes, kind: str) -> tuple[Any, bytes]:
    """A job and a file, between boundaries that the file does not contain."""
    boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    _, job, data, _ = content.split(boundary)
    return json.loads(_body(job)), _body(data)


def _body(part: bytes) -> bytes:
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
