"""The same request under each server library: what a request costs before any model is asked. As a table in Markdown.

The handler reads the JSON of one customer, has pydantic check it against the types of the CLV model's inputs, and
answers with a number; libraries that read JSON themselves (LitServe, MLServer) get it read. Each round starts every
server in turn, and asks over one connection that is kept alive, then over 64. The machine's noise is in all of it:
compare rows, and rounds. A library that is not installed is left out, and named.

Usage, with an environment of its own, since not all of these go with TFX, and MLServer with none of the others:

    uv venv servers && uv pip install --python servers/bin/python orjson 'uvicorn[standard]' fastapi aiohttp litserve \
        granian 'google-cloud-aiplatform[prediction]'
    servers/bin/python tests/benchmarks/server_libraries.py [--rounds 3] [--requests 1000] [--only NAME ...]
    uv venv mlserver && uv pip install --python mlserver/bin/python orjson 'mlserver>=1.6'
    mlserver/bin/python tests/benchmarks/server_libraries.py --only mlserver
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from load_client import END_OF_HEAD, request_bytes, whole_response  # type: ignore[import-not-found] # Beside this file.

CLIENT = Path(__file__).with_name("load_client.py")
PATH = "/predict"
START_S = 90
CUSTOMER = {
    "n_purchases": 3,
    "avg_purchase_size": 100.5,
    "avg_purchase_revenue": 220.25,
    "customer_age": 200,
    "days_since_last_purchase": 12,
    "past_monetary_value": 660.75,
    "tenure_days": 212,
    "customer_country": "United Kingdom",
}

HANDLER = """
from typing import List
import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter

class Customer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    n_purchases: int
    avg_purchase_size: float
    avg_purchase_revenue: float
    customer_age: int
    days_since_last_purchase: int
    past_monetary_value: float
    tenure_days: int
    customer_country: str

class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    instances: List[Customer]

ADAPTER = TypeAdapter(Body)

def predictions(body):
    return {"predictions": [1.1 * customer.past_monetary_value for customer in body.instances]}

def handle(raw):
    return orjson.dumps(predictions(ADAPTER.validate_json(raw)))
"""
FASTAPI = """
from fastapi import FastAPI, Request, Response
from handler import handle
app = FastAPI()
@app.post("/predict")
async def predict(request: Request):
    return Response(handle(await request.body()), media_type="application/json")
"""
STARLETTE = """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from handler import handle
async def predict(request):
    return Response(handle(await request.body()), media_type="application/json")
app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
"""
AIOHTTP = """
import sys
from aiohttp import web
from handler import handle
async def predict(request):
    return web.Response(body=handle(await request.read()), content_type="application/json")
app = web.Application()
app.router.add_post("/predict", predict)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""
LITSERVE = """
import sys
import litserve
from handler import ADAPTER, predictions
class Api(litserve.LitAPI):
    def setup(self, device):
        pass
    def decode_request(self, request):
        return ADAPTER.validate_python(request)
    def predict(self, body):
        return predictions(body)
    def encode_response(self, output):
        return output
if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
"""
CPR = """
import os, sys
os.environ.update(
    HANDLER_MODULE="google.cloud.aiplatform.prediction.handler", HANDLER_CLASS="PredictionHandler",
    PREDICTOR_MODULE="cpr", PREDICTOR_CLASS="Customers", AIP_HTTP_PORT=sys.argv[1],
    AIP_HEALTH_ROUTE="/health", AIP_PREDICT_ROUTE="/predict", AIP_STORAGE_URI="",
)
from google.cloud.aiplatform.prediction.predictor import Predictor
from handler import ADAPTER, predictions
class Customers(Predictor):
    def load(self, artifacts_uri):
        pass
    def preprocess(self, prediction_input):
        return ADAPTER.validate_python(prediction_input)
    def predict(self, instances):
        return predictions(instances)
if __name__ == "__main__":
    import logging
    import uvicorn
    from google.cloud.aiplatform.prediction.model_server import CprModelServer
    server = CprModelServer()
    logging.getLogger().setLevel(logging.WARNING)
    uvicorn.run(server, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
"""
MLSERVER = """
from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceResponse
from handler import handle
class Customers(MLModel):
    async def load(self):
        return True
    async def predict(self, payload):
        (raw,) = StringCodec.decode_input(payload.inputs[0])
        answer = StringCodec.encode_output("predictions", [handle(raw).decode()])
        return InferenceResponse(model_name=self.name, outputs=[answer])
"""
FILES = {
    "handler.py": HANDLER,
    "fast.py": FASTAPI,
    "star.py": STARLETTE,
    "aio.py": AIOHTTP,
    "lit.py": LITSERVE,
    "cpr.py": CPR,
    "ml.py": MLSERVER,
}
UVICORN = ["-m", "uvicorn", "--port", "{port}", "--log-level", "error", "--no-access-log"]
COMMANDS = {
    "starlette": [*UVICORN, "star:app"],
    "fastapi": [*UVICORN, "fast:app"],
    "fastapi, h11": [*UVICORN, "--http", "h11", "--loop", "asyncio", "fast:app"],
    "aiohttp": ["aio.py", "{port}"],
    "granian": ["-m", "granian", "--interface", "asgi", "--port", "{port}", "--log-level", "error", "star:app"],
    "google.cloud.aiplatform": ["cpr.py", "{port}"],
    "litserve": ["lit.py", "{port}"],
    "mlserver": ["-c", "from mlserver.cli import main; main()", "start", "."],
}


def installed(name: str) -> bool:
    """Whether a library is there."""
    try:
        return find_spec(name.partition(",")[0]) is not None
    except ModuleNotFoundError:
        return False


def request_of(name: str) -> tuple[str, bytes]:
    """Returns the path and the body that a library is asked with: its own for MLServer, whose protocol is fixed."""
    body = json.dumps({"instances": [CUSTOMER]})
    if name != "mlserver":
        return PATH, body.encode()
    tensor = {"name": "body", "shape": [1, 1], "datatype": "BYTES", "data": [body]}
    return "/v2/models/customers/infer", json.dumps({"inputs": [tensor]}).encode()


@contextmanager
def serving(name: str, folder: Path) -> Iterator[int]:
    """Runs a server in a process group of its own, and lends its port once it answers."""
    port = free_port()
    if name == "mlserver":
        ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "host": "127.0.0.1"}
        (folder / "settings.json").write_text(json.dumps({**ports, "parallel_workers": 0, "debug": False}))
        (folder / "model-settings.json").write_text('{"name": "customers", "implementation": "ml.Customers"}')
    command = [sys.executable, *(word.format(port=port) for word in COMMANDS[name])]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(port, name, folder / "server.log")
            yield port
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(port: int, name: str, log: Path) -> None:
    """Waits until a request is answered.

    Raises:
      RuntimeError: none is.
    """
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            one_client(port, name, 1)
        except (OSError, ValueError):
            time.sleep(0.3)
        else:
            return
    raise RuntimeError(f"{name} did not start: {log.read_text()[-1000:]}")


def one_client(port: int, name: str, requests: int) -> float:
    """Returns the median time of a request over one connection, in milliseconds.

    Raises:
      ValueError: another answer than 200.
    """
    request, seconds = request_bytes(*request_of(name)), []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(requests):
            began = time.perf_counter()
            connection.sendall(request)
            received = connection.recv(65536)
            while (status := whole_response(received)) is None:
                more = connection.recv(65536)
                if not more:
                    raise ValueError("the connection was closed")
                received += more
            seconds.append(time.perf_counter() - began)
            if status != 200:
                raise ValueError(received.partition(END_OF_HEAD)[2].decode()[:300])
    return 1000 * statistics.median(seconds)


def measure(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Starts a server and asks it."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for file, text in FILES.items():
            (folder / file).write_text(text)
        path, body = request_of(name)
        (folder / "body.json").write_bytes(body)
        with serving(name, folder) as port:
            one_client(port, name, 100)
            alone = one_client(port, name, arguments.requests)
            command = [sys.executable, str(CLIENT), str(port), path, str(folder / "body.json"), "64", "3"]
            many = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return {"p50 ms": alone, "requests/s": many["requests/s"], "p99 ms": many["p99 ms"], "errors": many["errors"]}


def main() -> None:
    """Prints a row a library: each round's number, in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--only", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    arguments = parser.parse_args()
    there = [name for name in arguments.only if installed(name)]
    missing = ", ".join(name for name in arguments.only if name not in there)
    rounds = [{name: measure(name, arguments) for name in there} for _ in range(arguments.rounds)]
    print(
        "| library | one client, p50 ms | 64 clients, requests/s | 64 clients, p99 ms | errors |\n|---|---|---|---|---|"
    )
    for name in there:
        cells = [
            " / ".join(f"{found[name][key]:.{digits}f}" for found in rounds)
            for key, digits in (("p50 ms", 2), ("requests/s", 0), ("p99 ms", 0), ("errors", 0))
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    if missing:
        print(f"\nNot installed here: {missing}")


if __name__ == "__main__":
    main()
