"""Running the application: on uvicorn, in the main thread of a process or in any thread of a test."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from pipeline.contract import UserError
from runners.serving.app import create_app
from runners.serving.connections import bounded
from runners.serving.served import Served
from runners.serving.settings import ServeSettings


def bind(host: str, port: int) -> socket.socket:
    """Returns a socket that has an address, on which nobody listens yet.

    Raises:
      UserError: the port is taken, or the host is none of this machine's.
    """
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        bound = socket.socket(family, kind)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except BaseException:
            bound.close()
            raise
        return bound
    except (OSError, OverflowError) as error:
        raise UserError(
            expected=f"to listen on {host}:{port}",
            received=str(error),
            todo="choose another --port (0 for any that is free), or another --host",
        ) from error


class Server(uvicorn.Server):
    """Ends by itself after SIGTERM or Ctrl-C: first readiness ends, then new connections, then requests under way.

    A second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, served: Served, listens: Callable[[], None]) -> None:
        super().__init__(config)
        self.served, self._listens = served, listens
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen, and tells so."""
        await super().startup(sockets)
        self._listens()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Notes a signal. uvicorn would raise it again at the end, and the exit code would not be 0."""
        if self._stop_at is None:
            self.served.stop()
            delay = self.served.settings.stop_delay_s if sig == signal.SIGTERM else 0
            self._stop_at = time.monotonic() + delay
        else:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Looks whether the time has come, ten times a second."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)


def make_server(
    served: Served, settings: ServeSettings, listens: Callable[[], None] = lambda: None, **routes: str
) -> Server:
    """Returns a server that `run(sockets=[...])` runs.

    Args:
      served: what answers.
      settings: limits.
      listens: called when it answers.
      **routes: `predict_route` and `health_route`, see `create_app`.
    """
    config = uvicorn.Config(
        create_app(served, settings, **routes),
        http=bounded(settings),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.stop_timeout_s,
    )
    return Server(config, served, listens)
