"""Newly pushed versions: they take over whole, or not at all."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from serving_server import running_server
from small_models import CUSTOMER, FUTURE, push_clv

from pipeline.contract import UserError, find_model
from pipeline.push.serving_version import rollback
from runners.serving.served import Served
from runners.serving.settings import ServeSettings
from runners.serving.source import Source

PATIENCE_S = 30
WEIGHTS = "variables/variables.data-00000-of-00001"


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _ready(url: str) -> dict[str, object]:
    told: dict[str, object] = requests.get(f"{url}/readyz", timeout=PATIENCE_S).json()
    return told


def test_versions_come_go_and_come_back(tmp_path: Path) -> None:
    destination, model = tmp_path / "pushed", find_model("clv")
    first = push_clv(destination, tmp_path, factor=10)
    with running_server(destination, model) as (url, served):
        loaded = weakref.ref(served.current)
        second = push_clv(destination, tmp_path, factor=20)
        _until(lambda: _ready(url)["version"] == second.number)
        answer = requests.post(f"{url}/predict", json={"instances": [CUSTOMER]}, timeout=PATIENCE_S).json()
        assert (answer["predictions"][0][FUTURE], answer["modelVersionId"]) == (60, str(second.number))
        gone = f"{url}/v1/models/clv/versions/{first.number}"
        assert requests.get(gone, timeout=PATIENCE_S).status_code == 404
        _until(lambda: loaded() is None)

        third = push_clv(destination, tmp_path, factor=30)
        _until(lambda: _ready(url)["version"] == third.number)
        rollback(str(destination))
        _until(lambda: _ready(url)["version"] == second.number)
        text = requests.get(f"{url}/metrics", timeout=PATIENCE_S).text
        assert f'version="{second.number}"' in text
        assert "serving_version_switches_total 3.0" in text


@pytest.mark.parametrize("pinned", [False, True], ids=["any version", "that version"])
def test_a_request_is_answered_by_the_version_that_it_began_with(tmp_path: Path, pinned: bool) -> None:
    destination, model = tmp_path / "pushed", find_model("clv")
    first = push_clv(destination, tmp_path, factor=10)
    with running_server(destination, model) as (url, served):

        def slowly() -> Iterator[bytes]:
            yield b'{"instances": ['
            _until(lambda: bool(served._users))
            second = push_clv(destination, tmp_path, factor=20)
            _until(lambda: _ready(url)["version"] == second.number)
            yield json.dumps(CUSTOMER).encode() + b"]}"

        path = f"/versions/{first.number}" if pinned else ""
        answer = requests.post(f"{url}/v1/models/clv{path}:predict", data=slowly(), timeout=PATIENCE_S)
        assert answer.json()["predictions"][0][FUTURE] == 30
        _until(lambda: not served._users)


def test_a_tampered_version_is_not_served_and_the_one_before_goes_on(tmp_path: Path) -> None:
    destination, model = tmp_path / "pushed", find_model("clv")
    first = push_clv(destination, tmp_path, factor=10)
    other = push_clv(tmp_path / "elsewhere", tmp_path, factor=20)
    weights = Path(other.path) / WEIGHTS
    weights.write_bytes(b"\0" * len(weights.read_bytes()))
    spoilt = destination / str(first.number + 1)
    with running_server(destination, model) as (url, _):
        Path(other.path).rename(spoilt)
        _until(lambda: bool(_ready(url)["refused"]))
        told = _ready(url)
        assert (told["version"], list(told["refused"])) == (first.number, [str(spoilt)])  # type: ignore[call-overload]
        assert "serving_versions_refused_total 1.0" in requests.get(f"{url}/metrics", timeout=PATIENCE_S).text
    # A server that starts now takes the newest whole one.
    served = Served(model, Source(str(destination), pinned=False), ServeSettings())
    served.start()
    served.close()
    assert served.current.version == first.number


def test_a_version_of_another_model_is_not_served(colorizer_destination: Path) -> None:
    served = Served(find_model("clv"), Source(str(colorizer_destination), pinned=False), ServeSettings())
    with pytest.raises(UserError, match="one of colorizer"):
        served.start()
    served.close()
