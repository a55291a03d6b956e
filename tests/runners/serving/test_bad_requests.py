"""Requests that no server should fall over: each is answered with a 4xx that says in JSON what is wrong."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from PIL import Image
from serving_server import running
from small_models import CUSTOMER

from pipeline.contract import find_model

VERTEX = "/v1/projects/1/locations/europe-west1/endpoints/2:predict"
EXPLAIN = VERTEX.replace(":predict", ":explain")
TF_SERVING = "/v1/models/clv:predict"
BODY_LIMIT = 1_000_000
ROW_LIMIT = 2000


def changed(**fields: Any) -> bytes:
    """A request of one good row and one that was changed."""
    return instances(CUSTOMER, {**CUSTOMER, **fields})


def instances(*rows: Any, **more: Any) -> bytes:
    return json.dumps({"instances": list(rows), **more}).encode()


def picture(content: bytes) -> bytes:
    return instances({"b64": base64.b64encode(content).decode()}, signature_name="serving_bytes")


def png_header_of(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, and is small as all of them are black: a decompression bomb."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes((width // 8 + 1) * 100)) * 1
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif_bomb() -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b"\x3b"


def animated_gif() -> bytes:
    """One pixel, then 65,535 times 65,535 of them."""

    def frame(side: int) -> bytes:
        return b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00"

    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame(1) + frame(65535) + b";"


def cut_png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (64, 64), 90).save(file, "PNG")
    return file.getvalue()[:60]


class Bad(NamedTuple):
    """A request, and what its answer must say."""

    path: str
    body: bytes
    told: str
    status: tuple[int, ...] = (400,)
    method: str = "POST"


without_age = {name: value for name, value in CUSTOMER.items() if name != "customer_age"}
CLV = {
    "text for a whole number": Bad(VERTEX, changed(n_purchases="3"), "n_purchases"),
    "text for a number": Bad(TF_SERVING, changed(avg_purchase_size="large"), "avg_purchase_size"),
    "a boolean for a number": Bad(VERTEX, changed(tenure_days=True), "tenure_days"),
    "half a day": Bad(VERTEX, changed(tenure_days=0.5), "tenure_days"),
    "null": Bad(TF_SERVING, changed(past_monetary_value=None), "past_monetary_value"),
    "a list for a number": Bad(VERTEX, changed(n_purchases=[3]), "n_purchases"),
    "an object for a number": Bad(VERTEX, changed(n_purchases={"value": 3}), "n_purchases"),
    "a number for text": Bad(VERTEX, changed(customer_country=44), "customer_country"),
    "more than 64 bits": Bad(VERTEX, changed(n_purchases=2**64), "n_purchases"),
    "more than a float32 holds": Bad(VERTEX, changed(avg_purchase_size=1e39), "avg_purchase_size"),
    "NaN": Bad(VERTEX, changed(avg_purchase_size=float("nan")), "JSON"),
    "Infinity": Bad(TF_SERVING, changed(avg_purchase_size=float("inf")), "JSON"),
    "a missing field": Bad(VERTEX, instances(without_age), "customer_age"),
    "an unknown field": Bad(TF_SERVING, changed(shoe_size=44), "shoe_size"),
    "fields of another case": Bad(VERTEX, instances({name.upper(): v for name, v in CUSTOMER.items()}), "required"),
    "broken base64": Bad(VERTEX, changed(customer_country={"b64": "a"}), "base64"),
    "base64 that is no text": Bad(VERTEX, changed(customer_country={"b64": 5}), "b64"),
    "a lone surrogate": Bad(VERTEX, b'{"instances": ["\\ud800"]}', "JSON|instances"),
    "no rows": Bad(VERTEX, instances(), "at least one"),
    "no rows by column": Bad(TF_SERVING, b'{"inputs": {}}', "columns"),
    "columns of several lengths": Bad(
        TF_SERVING,
        json.dumps({"inputs": {n: [v] * (i + 1) for i, (n, v) in enumerate(CUSTOMER.items())}}).encode(),
        "length",
    ),
    "both rows and columns": Bad(TF_SERVING, json.dumps({"instances": [CUSTOMER], "inputs": {}}).encode(), "inputs"),
    "a row that is a number": Bad(VERTEX, instances(5), "instances"),
    "a row that is null": Bad(VERTEX, instances(None), "instances"),
    "instances that are an object": Bad(VERTEX, b'{"instances": {"a": 1}}', "instances"),
    "instances that are text": Bad(TF_SERVING, b'{"instances": "all of them"}', "instances"),
    "no instances": Bad(VERTEX, b'{"parameters": {}}', "instances"),
    "an unknown member": Bad(VERTEX, instances(CUSTOMER, instance=[]), "instance"),
    "parameters that are text": Bad(VERTEX, instances(CUSTOMER, parameters="fast"), "signature_name"),
    "an unknown parameter": Bad(VERTEX, instances(CUSTOMER, parameters={"fast": True}), "fast"),
    "an unknown signature": Bad(TF_SERVING, instances(CUSTOMER, signature_name="classify"), "classify"),
    "a signature that is no name": Bad(VERTEX, instances(CUSTOMER, parameters={"signature_name": 5}), "signature_name"),
    "a body that is a list": Bad(VERTEX, b"[1, 2]", "object"),
    "a body that is a word": Bad(TF_SERVING, b"hello", "JSON"),
    "an empty body": Bad(VERTEX, b"", "JSON"),
    "half of a JSON text": Bad(TF_SERVING, changed()[:100], "JSON"),
    "two JSON texts": Bad(VERTEX, changed() * 2, "JSON"),
    "no UTF-8": Bad(VERTEX, b'{"instances": ["\xff\xfe"]}', "JSON"),
    "UTF-16": Bad(VERTEX, changed().decode().encode("utf-16"), "JSON"),
    "compressed, unsaid": Bad(VERTEX, gzip.compress(changed()), "JSON"),
    "a thousand lists in lists": Bad(VERTEX, b'{"instances": ' + b"[" * 1000 + b"]" * 1000 + b"}", ""),
    "a hundred thousand lists in lists": Bad(TF_SERVING, b"[" * 100_000, "JSON"),
    "no tf.Example": Bad(TF_SERVING, instances("not an example", signature_name="serving_examples"), "parse"),
    "more rows than allowed": Bad(TF_SERVING, instances(*[CUSTOMER] * (ROW_LIMIT + 1)), f"{ROW_LIMIT}", (400, 413)),
    "a body larger than allowed": Bad(VERTEX, b" " * (BODY_LIMIT + 1), f"{BODY_LIMIT}", (413,)),
    "a model that is not there": Bad("/v1/models/colorizer:predict", instances(CUSTOMER), "colorizer", (404,)),
    "a version that is not there": Bad("/v1/models/clv/versions/1:predict", instances(CUSTOMER), "1", (404,)),
    "a version that is no number": Bad("/v1/models/clv/versions/new:predict", instances(CUSTOMER), "", (400, 404)),
    "a label that is not there": Bad("/v1/models/clv/labels/best:predict", instances(CUSTOMER), "best", (404,)),
    "an unknown verb": Bad("/v1/models/clv:train", instances(CUSTOMER), "", (404, 405)),
    "an unknown path": Bad("/v2/health", b"", "no such path", (404,), "GET"),
    "a path out of the folder": Bad("/v1/models/../../etc/passwd", b"", "", (404,), "GET"),
    "a path with a null": Bad("/v1/models/%00:predict", instances(CUSTOMER), "", (404,)),
    "asked by GET": Bad(TF_SERVING, b"", "", (405,), "GET"),
    "asked by DELETE": Bad(VERTEX, b"", "", (405,), "DELETE"),
    "an explanation of a bad row": Bad(EXPLAIN, changed(n_purchases="3"), "n_purchases"),
    "a signature of lists in lists": Bad(
        TF_SERVING, b'{"instances": [], "signature_name": ' + b"[" * 900 + b"]" * 900 + b"}", "signature_name"
    ),
    "paths of lists in lists": Bad(
        EXPLAIN, b'{"instances": [], "parameters": {"paths": ' + b"[" * 900 + b"]" * 900 + b"}}", "paths"
    ),
    "a hundred thousand empty rows": Bad(
        VERTEX, b'{"instances": [{}' + b",{}" * 100_000 + b"]}", f"{ROW_LIMIT}", (413,)
    ),
    "empty rows": Bad(VERTEX, b'{"instances": [{}' + b",{}" * 1000 + b"]}", "required"),
    "a version of too many digits": Bad(f"/v1/models/clv/versions/{'9' * 5000}:predict", b"", "number", (404,)),
    "paths that are no number": Bad(EXPLAIN, instances(CUSTOMER, parameters={"paths": "many"}), "paths"),
    "billions of paths": Bad(EXPLAIN, instances(CUSTOMER, parameters={"paths": 10**9}), "paths"),
}
COLORIZER_PATH = "/v1/models/colorizer:predict"
COLORIZER = {
    "text for a picture": Bad(COLORIZER_PATH, instances("a cat", signature_name="serving_bytes"), "image"),
    "bytes that are no picture": Bad(COLORIZER_PATH, picture(bytes(range(256))), "image"),
    "an empty picture": Bad(COLORIZER_PATH, picture(b""), "empty"),
    "half of a picture": Bad(COLORIZER_PATH, picture(cut_png()), "image|PNG"),
    "a PNG bomb": Bad(COLORIZER_PATH, picture(png_header_of(60_000, 60_000)), "pixels", (413,)),
    "a GIF bomb": Bad(COLORIZER_PATH, picture(gif_bomb()), "pixels|GIF", (400, 413)),
    "a GIF whose second picture is a bomb": Bad(COLORIZER_PATH, picture(animated_gif()), "animated"),
    "a picture that is a PDF": Bad(COLORIZER_PATH, picture(b"%PDF-1.7\n%%EOF"), "image"),
    "gray values without channels": Bad(COLORIZER_PATH, instances([[0.5, 0.5]]), r"instances\[0\]"),
    "gray values in ragged rows": Bad(COLORIZER_PATH, instances([[[0.5]], [[0.5], [0.5]]]), "length"),
    "three channels": Bad(COLORIZER_PATH, instances([[[0.5, 0.5, 0.5]]]), "shape"),
    "no pixels": Bad(COLORIZER_PATH, instances([]), "shape"),
    "an explanation of a picture": Bad(EXPLAIN, instances([[[0.5]]]), "attribution|explain"),
}


@pytest.fixture(scope="module")
def clv(clv_destination: Path) -> Iterator[str]:
    with running(clv_destination, find_model("clv"), max_body_bytes=BODY_LIMIT, max_rows=ROW_LIMIT) as url:
        yield url


def _refused(url: str, bad: Bad) -> None:
    answer = requests.request(bad.method, url + bad.path, data=bad.body, timeout=60)
    assert answer.status_code in bad.status, answer.text
    error = answer.json()["error"]
    message = error["message"] if isinstance(error, dict) else error
    assert message
    assert len(message) < 2000
    assert re.search(bad.told, message), message
    assert requests.get(f"{url}/healthz", timeout=60).status_code == 200


@pytest.mark.parametrize("name", CLV)
def test_a_bad_request_is_told_what_is_wrong(name: str, clv: str) -> None:
    _refused(clv, CLV[name])


@pytest.mark.parametrize("name", COLORIZER)
def test_a_bad_picture_is_told_what_is_wrong(name: str, colorizer_url: str) -> None:
    _refused(colorizer_url, COLORIZER[name])


def test_a_bad_row_spoils_no_request_but_its_own(clv: str) -> None:
    assert requests.post(clv + TF_SERVING, data=instances(CUSTOMER), timeout=60).status_code == 200
