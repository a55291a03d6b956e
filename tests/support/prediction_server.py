"""A server of predictions on loopback: TensorFlow Serving's routes and a Vertex AI endpoint's, for one model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from runners.serving import instances
from runners.serving.loaded import LoadedModel, Signature, Tensor

KINDS = {"float32": "DT_FLOAT", "int64": "DT_INT64", "int32": "DT_INT32", "string": "DT_STRING"}


class PredictionServer:
    """What is asked of it, and how it refuses.

    Attributes:
      sizes: rows of each request that was read.
      waited: seconds from a first refusal to the request that was let in.
      busy: statuses, with seconds of `Retry-After`, that the next requests get.
      forbidden: a row with this country is refused, with all others of its request.
      most: rows that it takes at once; 413 beyond.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.sizes: list[int] = []
        self.waited: list[float] = []
        self.busy: list[tuple[int, float]] = []
        self.forbidden = "nowhere"
        self.most = 10_000
        self._refused_at = 0.0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        """Returns status, JSON and headers."""
        if method == "GET" and path == "/v1/models/clv/metadata":
            defs = {name: _told(one) for name, one in self.model.signatures.items()}
            return 200, {"metadata": {"signature_def": {"signature_def": defs}}}, {}
        if not path.endswith(("/v1/models/clv:predict", "/endpoints/77:predict")):
            return 404, {"error": f"Servable not found: {path}"}, {}
        if self.busy:
            status, seconds = self.busy.pop(0)
            self._refused_at = self._refused_at or time.monotonic()
            return status, {"error": "busy"}, {"Retry-After": f"{seconds:g}"}
        if self._refused_at:
            self.waited.append(time.monotonic() - self._refused_at)
            self._refused_at = 0.0
        asked = orjson.loads(body)
        self.sizes.append(len(asked["instances"]))
        if len(asked["instances"]) > self.most:
            return 413, {"error": "too many rows"}, {}
        if any(isinstance(row, dict) and row.get("country") == self.forbidden for row in asked["instances"]):
            return 400, {"error": {"message": f"nobody lives {self.forbidden}"}}, {}
        name = asked.get("signature_name", "serving_default")
        columns = instances.columns(self.model.signatures[name], asked["instances"])
        return 200, {"predictions": instances.rows(self.model.ask(name, columns))}, {}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Answers on a port of its own; yields the address."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _told(signature: Signature) -> Any:
    def tensors(some: dict[str, Tensor]) -> Any:
        return {name: {"dtype": KINDS[t.dtype], "tensor_shape": _shape(t)} for name, t in some.items()}

    return {"inputs": tensors(signature.inputs), "outputs": tensors(signature.outputs)}


def _shape(tensor: Tensor) -> Any:
    return {"dim": [{"size": str(-1 if side is None else side)} for side in tensor.shape], "unknown_rank": False}


def _handler(server: PredictionServer) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, told, headers = server.answer(self.command, self.path, body)
            content = orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Answering
