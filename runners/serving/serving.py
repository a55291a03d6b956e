"""What `pipelines serve` does, start to end."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress

from pipeline.contract import Model, UserError
from runners.interrupt import catching
from runners.serving.served import Served
from runners.serving.server import bind, make_server
from runners.serving.settings import ServeSettings
from runners.serving.source import Source

PORT = 8080
FILES = 256
"""Open files besides connections."""

logger = logging.getLogger("pipelines.serve")


def serve(
    model: Model,
    source: Source,
    host: str,
    port: int | None,
    settings: ServeSettings,
    environment: Mapping[str, str],
) -> None:
    """Serves a model until a signal ends it.

    Args:
      model: the contract.
      source: its versions.
      host: address to listen on.
      port: likewise; None for what the environment says.
      settings: limits.
      environment: where Vertex AI and Cloud Run tell a container its port, and its routes.

    Raises:
      UserError: no version can be served, or there is no place to listen.
    """
    began = time.monotonic()
    _log_to_stderr()
    _raise_open_files(settings.max_connections)
    with (
        closing(bind(host, _port(port, environment))) as listener,
        closing(Served(model, source, settings)) as served,
        suppress(KeyboardInterrupt),
    ):
        with catching():
            served.start()
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"

        def tell() -> None:
            logger.info("%s answers, %.1f s after the start (Ctrl-C ends it)", address, time.monotonic() - began)

        make_server(served, settings, tell, **_routes(environment)).run(sockets=[listener])


def _port(port: int | None, environment: Mapping[str, str]) -> int:
    if port is not None:
        return port
    told = environment.get("AIP_HTTP_PORT") or environment.get("PORT") or str(PORT)
    if not told.isdecimal() or int(told) > 65535:
        raise UserError(expected="a port in AIP_HTTP_PORT or PORT", received=told, todo="correct it, or name --port")
    return int(told)


def _routes(environment: Mapping[str, str]) -> dict[str, str]:
    named = {"predict_route": environment.get("AIP_PREDICT_ROUTE"), "health_route": environment.get("AIP_HEALTH_ROUTE")}
    wrong = [route for route in named.values() if route and not route.startswith("/")]
    if wrong:
        raise UserError(
            expected="AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE that begin with /", received=wrong[0], todo="correct it"
        )
    return {name: route for name, route in named.items() if route}


def _raise_open_files(connections: int) -> None:
    """Has the system allow a file for each connection, as far as it does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("pipelines.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("pipelines.serve").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # It warns of every request that is no HTTP.
