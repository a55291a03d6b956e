"""All ways of asking a pushed CLV model about the same rows: by HTTP, by Google's client, in batches, by Beam."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bulk_inferrer
import numpy as np
import pyarrow.parquet as pq
import requests
import tensorflow as tf
from google_endpoint import ENDPOINT, google_endpoint
from numpy.typing import NDArray
from serving_server import running
from small_servable import example

from models.clv import features
from pipeline.contract import Model
from runners.cli import app
from runners.serving.loaded import LoadedModel

Answer = dict[str, NDArray[np.float32]]


class Asked:
    """Rows, in each of the forms in which a model is asked about them."""

    def __init__(self, rows: list[dict[str, Any]], folder: Path) -> None:
        self.rows, self.folder = rows, folder
        self.records = [example(**row) for row in rows]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        with tf.io.TFRecordWriter(str(folder / "rows.tfrecord")) as writer:
            for record in self.records:
                writer.write(record)

    def columns(self) -> dict[str, NDArray[Any]]:
        """By name, as a signature takes them."""
        return {name: np.array([row[name] for row in self.rows]) for name in self.rows[0]}


def bare(asked: Asked, version: Path) -> Answer:
    """What the saved model itself answers."""
    return LoadedModel.load(version).ask("serving_default", asked.columns())


def all_ways(asked: Asked, model: Model, version: Path) -> Iterator[tuple[str, Answer]]:
    """Yields the name of a way of asking, and what it answers."""
    with running(version, model) as url:
        yield from _by_http(asked, f"{url}/v1/models/{model.name}:predict", lambda name: {"signature_name": name})
        vertex = f"{url}/v1/{ENDPOINT}:predict"
        yield from _by_http(asked, vertex, lambda name: {"parameters": {"signature_name": name}})
        by_column = {name: [row[name] for row in asked.rows] for name in asked.rows[0]}
        told = _post(f"{url}/v1/models/{model.name}:predict", {"inputs": by_column})["outputs"]
        yield "by column", {name: np.array(values, np.float32) for name, values in told.items()}
        with google_endpoint(url) as endpoint:
            yield "Google's client", _by_row(endpoint.predict(instances=asked.rows).predictions)
        yield "--endpoint", _in_batch(asked, model, "rows.jsonl", "--endpoint", url)
    yield "batch of rows", _in_batch(asked, model, "rows.jsonl", "--model", version)
    yield "batch of tf.Examples", _in_batch(asked, model, "rows.tfrecord", "--model", version)
    yield "--beam", _in_batch(asked, model, "rows.tfrecord", "--model", version, "--beam")
    yield "BulkInferrer", bulk_inferrer.answers(asked.records, version, "serving_examples", asked.folder / "bulk")


def _by_http(asked: Asked, url: str, choose: Callable[[str], Any]) -> Iterator[tuple[str, Answer]]:
    yield url, _by_row(_post(url, {"instances": asked.rows})["predictions"])
    examples = [{"b64": base64.b64encode(record).decode()} for record in asked.records]
    yield (
        f"{url} as tf.Examples",
        _by_row(_post(url, {"instances": examples, **choose("serving_examples")})["predictions"]),
    )


def _post(url: str, body: Any) -> Any:
    answer = requests.post(url, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _by_row(rows: list[dict[str, float]]) -> Answer:
    return {name: np.array([row[name] for row in rows], np.float32) for name in features.OUTPUTS}


def _in_batch(asked: Asked, model: Model, source: str, *more: object) -> Answer:
    output = asked.folder / "predicted.parquet"
    typed = ["predict", model.name, "--input", asked.folder / source, "--output", output, *more]
    assert not app(list(map(str, typed)), standalone_mode=False)
    table = pq.read_table(output)
    return {name: table[name].to_numpy() for name in features.OUTPUTS}
