"""A real server in a thread, for tests that ask it over HTTP."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.contract import Model
from runners.serving.served import Served
from runners.serving.server import bind, make_server
from runners.serving.settings import ServeSettings
from runners.serving.source import Source

ROUTES = ("predict_route", "health_route")


@contextmanager
def running(place: Path | str, model: Model, **settings: Any) -> Iterator[str]:
    """Serves a destination, or a version's folder, on a free port; yields the server's address.

    Args:
      place: a destination, which is watched, or the folder of a version, which stays.
      model: the contract.
      **settings: of `ServeSettings`, and `predict_route` and `health_route`.
    """
    with running_server(place, model, **settings) as (url, _):
        yield url


@contextmanager
def running_server(place: Path | str, model: Model, **settings: Any) -> Iterator[tuple[str, Served]]:
    """The same, with what answers."""
    routes = {name: settings.pop(name) for name in ROUTES if name in settings}
    limits = ServeSettings(**{"poll_s": 0.1, "stop_delay_s": 0, **settings})
    served = Served(model, Source(str(place), pinned=(Path(place) / "saved_model.pb").is_file()), limits)
    served.start()
    listener = bind("127.0.0.1", 0)
    server = make_server(served, limits, **routes)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server")
    thread.start()
    try:
        _wait(server)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", served
    finally:
        server.should_exit = True
        thread.join(30)
        served.close()
        gc.unfreeze()
        assert not thread.is_alive()


def _wait(server: Any) -> None:
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
