"""What serving costs beyond a bare call of the SavedModel: online, under load, and in batches. As a table in Markdown.

Each round measures, in turn: bare calls about one row, and the same row through the server, one client, one connection;
64 connections at once; bare calls about batches of rows, and the same rows from a file to a file as `pipelines predict`
does. So what else the machine does hits both sides of a ratio. The bare call is what nobody can do without: rows to
tensors, the signature, tensors to numbers. CPU-milliseconds, of all threads of the process that answers, hardly depend
on what else the machine does.

Usage: python tests/benchmarks/serving.py [--root runs] [--rounds 5] [--requests 400] [--clients 64] [--rows 50000]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from load_client import request_bytes, whole_response  # type: ignore[import-not-found] # Beside this file.

from pipeline.contract import find_model
from runners.batch.predicting import predict_to_file
from runners.batch.sources import open_file
from runners.model_commands import find_pushed
from runners.serving.drawn import drawn_rows
from runners.serving.loaded import Columns, LoadedModel, quiet_tensorflow

PIPELINES = Path(sys.executable).parent / "pipelines"
CLIENT = Path(__file__).with_name("load_client.py")
PREDICT = "/predict"
DEFAULT = "serving_default"
BARE_BATCH = 8192
"""As many rows as `pipelines predict` asks about at once."""
START_S = 120
WARM = 50

Numbers = dict[str, float]


@contextmanager
def serving(model: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Runs `pipelines serve` and lends its port and its process id once it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [str(PIPELINES), "serve", model, "--version", str(folder), "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            wait_for(port, server)
            yield port, server.pid
        finally:
            server.terminate()
            server.wait(60)


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Waits until the server answers that it is ready.

    Raises:
      RuntimeError: it does not, or has ended.
    """
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                if b" 200 " in connection.recv(100):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError("the server did not become ready")


def cpu_seconds(process: int | str = "self") -> float:
    """Returns what a process has used until now, on Linux."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def milliseconds(call: Callable[[], Any], count: int) -> float:
    """Returns the median of so many calls, one after the other."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds)


def asker(port: int, request: bytes) -> Callable[[], None]:
    """Returns a function that sends a request over one connection and reads the whole answer."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask() -> None:
        connection.sendall(request)
        received = connection.recv(65536)
        while (status := whole_response(received)) is None:
            received += connection.recv(65536)
        if status != 200:
            raise RuntimeError(received.decode())

    return ask


def under_load(port: int, body: Path, clients: int, seconds: float) -> Numbers:
    """Asks from a process of its own."""
    command = [sys.executable, str(CLIENT), str(port), PREDICT, str(body), str(clients), str(seconds)]
    told: Numbers = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return told


def rows_per_second(call: Callable[[], Any], rows: int) -> float:
    """Calls once."""
    began = time.perf_counter()
    call()
    return rows / (time.perf_counter() - began)


def bare_call(folder: Path) -> Callable[[Columns], Any]:
    """Returns what asks a SavedModel about a batch, without any of the product."""
    tf = quiet_tensorflow()
    model = tf.saved_model.load(str(folder))
    signature = model.signatures[DEFAULT]
    types = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}

    def call(columns: Columns) -> Any:
        answer = signature(**{name: tf.constant(columns[name], kind) for name, kind in types.items()})
        return {name: tensor.numpy() for name, tensor in answer.items()}, model

    return call


def write_rows(columns: Columns, folder: Path) -> dict[str, Path]:
    """Writes rows as files that `pipelines predict` reads, and returns them by their kind."""
    texts = {name: [v.decode() for v in values] for name, values in columns.items() if values.dtype == object}
    table = pa.table({name: texts.get(name, values) for name, values in columns.items()})
    files = {kind: folder / f"rows.{kind}" for kind in ("jsonl", "parquet")}
    pq.write_table(table, files["parquet"])
    files["jsonl"].write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return files


def rounds(arguments: argparse.Namespace, port: int, server: int, folder: Path, work: Path) -> Iterator[Numbers]:
    """Yields what each round measures."""
    loaded, bare = LoadedModel.load(folder), bare_call(folder)
    signature = loaded.signatures[DEFAULT]
    columns = drawn_rows(signature, np.random.default_rng(1), arguments.rows)
    files = write_rows(columns, work)
    one = {name: values[:1] for name, values in columns.items()}
    body = work / "request.json"
    body.write_text('{"instances": [' + files["jsonl"].read_text().partition("\n")[0] + "]}")
    ask = asker(port, request_bytes(PREDICT, body.read_bytes()))

    def in_batches() -> None:
        for start in range(0, arguments.rows, BARE_BATCH):
            bare({name: values[start : start + BARE_BATCH] for name, values in columns.items()})

    def from_file(kind: str) -> Callable[[], Any]:
        source, output = files[kind], work / f"predictions.{kind}"
        return lambda: predict_to_file(
            open_file(source, signature), signature, lambda batch: loaded.ask(DEFAULT, batch), output
        )

    for function in (lambda: bare(one), ask):
        milliseconds(function, WARM)
    in_batches()
    for _ in range(arguments.rounds):
        before = cpu_seconds()
        found = {"bare ms": milliseconds(lambda: bare(one), arguments.requests)}
        found["bare CPU-ms"] = 1000 * (cpu_seconds() - before) / arguments.requests
        before = cpu_seconds(server)
        found["served ms"] = milliseconds(ask, arguments.requests)
        found["served CPU-ms"] = 1000 * (cpu_seconds(server) - before) / arguments.requests
        found |= under_load(port, body, arguments.clients, arguments.seconds)
        found["bare rows/s"] = rows_per_second(in_batches, arguments.rows)
        for kind in files:
            found[f"{kind} rows/s"] = rows_per_second(from_file(kind), arguments.rows)
        for kind in ("ms", "CPU-ms"):
            found[f"online: served / bare {kind}"] = found[f"served {kind}"] / found[f"bare {kind}"]
        for kind in files:
            found[f"batch: {kind} / bare rows/s"] = found[f"{kind} rows/s"] / found["bare rows/s"]
        yield found


def main() -> None:
    """Prints the median of each number over the rounds, and its least and greatest value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="clv", help="one that is asked about numbers and text")
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400, help="of one client, in each round")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5, help="that they ask, in each round")
    parser.add_argument("--rows", type=int, default=50_000, help="of the batch")
    arguments = parser.parse_args()
    folder = find_pushed(find_model(arguments.model), arguments.root)
    with serving(arguments.model, folder) as server, tempfile.TemporaryDirectory() as work:
        measured = list(rounds(arguments, *server, folder, Path(work)))
    print(f"| median of {arguments.rounds} rounds | | least .. greatest |\n|---|---|---|")
    for name in measured[0]:
        values = [found[name] for found in measured]
        print(f"| {name} | {statistics.median(values):.4g} | {min(values):.4g} .. {max(values):.4g} |")


if __name__ == "__main__":
    main()
