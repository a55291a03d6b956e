"""New versions are pushed while clients ask: no request fails, and each is answered by one whole version."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import requests
from served_command import serving
from small_models import CUSTOMER, push, save_clv

CLIENTS = 16
PUSHES = 20
FACTORS = (2.0, 3.0, 5.0)
ROWS: list[dict[str, Any]] = [{**CUSTOMER, "n_purchases": n} for n in range(1, 9)]
VERTEX = "/v1/projects/1/locations/here/endpoints/2:predict"


class Seen(NamedTuple):
    """An answer: its status, the version that it names, and the future that it tells of each row."""

    status: int
    version: str
    told: tuple[float, ...]


def _ask(url: str, done: Event) -> list[Seen]:
    seen = []
    with requests.Session() as session:
        while not done.is_set():
            answer = session.post(url + VERTEX, data=json.dumps({"instances": ROWS}), timeout=60)
            rows = answer.json().get("predictions", [])
            told = tuple(row["future_monetary_value"] for row in rows)
            seen.append(Seen(answer.status_code, answer.json().get("modelVersionId", ""), told))
    return seen


def _wait_for(url: str, version: int) -> None:
    for _ in range(600):
        answer = requests.post(url + VERTEX, data=json.dumps({"instances": ROWS}), timeout=60).json()
        if answer["modelVersionId"] == str(version):
            return
        time.sleep(0.05)
    raise AssertionError(f"version {version} is not served; the last answer was {answer}")


def test_no_request_fails_while_versions_are_pushed(tmp_path: Path) -> None:
    destination = tmp_path / "pushed" / "clv-small"
    models = [tmp_path / f"model-{factor:g}" for factor in FACTORS]
    for folder, factor in zip(models, FACTORS, strict=True):
        save_clv(folder, factor)
    served = {push(destination, models[0], "clv").number: FACTORS[0]}
    with serving("clv", tmp_path) as url, ThreadPoolExecutor(CLIENTS) as pool:
        done = Event()
        clients = [pool.submit(_ask, url, done) for _ in range(CLIENTS)]
        try:
            for number in range(1, PUSHES + 1):
                version = push(destination, models[number % len(models)], "clv").number
                served[version] = FACTORS[number % len(models)]
                _wait_for(url, version)
        finally:
            done.set()
        seen = [answer for client in clients for answer in client.result()]
    assert Counter(answer.status for answer in seen) == {200: len(seen)}
    assert {int(answer.version) for answer in seen} == set(served)
    for answer in seen:
        assert list(answer.told) == [served[int(answer.version)] * row["n_purchases"] for row in ROWS]
