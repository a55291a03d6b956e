"""Running the application: on uvicorn, in the main thread of a process or in any thread of a test."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from pipeline.contract import UserError
from runners.serving.app import create_app
from runners.serving.served import Served
from runners.serving.settings import ServeSettings


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Raises:
      UserError: the port is taken, or the host is none of this machine's.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise UserError(
            expected=f"to listen on {host}:{port}",
            received=str(error),
            todo="choose another --port (0 for any that is free), or another --host",
        ) from error


def make_server(served: Served, settings: ServeSettings, **routes: str) -> uvicorn.Server:
    """Returns a server that `run(sockets=[...])` runs."""
    config = uvicorn.Config(
        create_app(served, settings, **routes),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.stop_timeout_s,
    )
    return uvicorn.Server(config)
