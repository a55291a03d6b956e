"""The HTTP application: both protocols, health, metrics, the page and the description of all of it."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException

from runners.serving import openapi, pages, tf_serving, vertex_routes
from runners.serving.access_log import AccessLog
from runners.serving.limits import Bodies
from runners.serving.refusals import Refused, response
from runners.serving.schemas import operation
from runners.serving.served import Served
from runners.serving.settings import ServeSettings

logger = logging.getLogger("pipelines.serve")


class _Word(Convertor[str]):
    """A part of a path that ends before a colon, as in `endpoints/NAME:predict`."""

    regex = "[A-Za-z0-9_-]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("word", _Word())


def create_app(
    served: Served,
    settings: ServeSettings,
    *,
    predict_route: str = "/predict",
    health_route: str = "/health",
) -> FastAPI:
    """Returns the application.

    Args:
      served: what answers.
      settings: limits.
      predict_route: of the container, which Vertex AI names in AIP_PREDICT_ROUTE.
      health_route: likewise, AIP_HEALTH_ROUTE.
    """
    app = FastAPI(title=served.model.name, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    bodies = Bodies(settings)
    app.include_router(vertex_routes.router(served, bodies, predict_route))
    app.include_router(tf_serving.router(served, bodies))
    _add_health(app, served, health_route)
    _add_pages(app, served)
    app.add_middleware(AccessLog, telemetry=served.telemetry, failed=_failed)
    return app


def _add_health(app: FastAPI, served: Served, health_route: str) -> None:
    async def ready() -> Response:
        """200 where requests are answered, else 503; with the version that answers, and those that cannot."""
        told = {"ready": served.ready, "model": served.model.name, "refused": served.refused}
        if served.ready:
            told["version"] = served.current.version
        return JSONResponse(told, 200 if served.ready else 503)

    async def alive() -> Response:
        """200 while the process answers."""
        return JSONResponse({"alive": True})

    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(served.telemetry.text(), media_type=CONTENT_TYPE_LATEST)

    for path in dict.fromkeys(("/readyz", health_route)):
        app.add_api_route(path, ready, tags=["Health"], **operation("Object", "Object"))
    app.add_api_route("/healthz", alive, tags=["Health"], **operation("Object", "Error"))
    app.add_api_route("/metrics", metrics, tags=["Health"], response_class=PlainTextResponse)


def _add_pages(app: FastAPI, served: Served) -> None:
    async def page() -> Response:
        """A page for people."""
        return HTMLResponse(pages.page(served.model))

    async def about() -> Response:
        """Which version answers, and what it was trained on."""
        return JSONResponse(pages.about(served.current.manifest))

    async def description() -> Response:
        """This document."""
        return JSONResponse(openapi.document(app, served))

    async def docs() -> Response:
        """All routes, for people."""
        return HTMLResponse(openapi.page(openapi.document(app, served)))

    app.add_api_route("/", page, tags=["Pages"], response_class=HTMLResponse)
    app.add_api_route("/about", about, tags=["Pages"], **operation("Object", "Error"))
    app.add_api_route("/openapi.json", description, tags=["Pages"], **operation("Object", "Error"))
    app.add_api_route("/docs", docs, tags=["Pages"], response_class=HTMLResponse)


async def _refused(request: Request, error: Any) -> Response:
    return response(request.url.path, error)


async def _http(request: Request, error: Any) -> Response:
    """What Starlette itself refuses: unknown paths and methods."""
    words = {404: "no such path; see /docs", 405: f"no such method here: {request.method[:20]}"}
    message = words.get(error.status_code, str(error.detail))
    return response(request.url.path, Refused(error.status_code, message, dict(error.headers or {})))


def _failed(error: BaseException) -> None:
    logger.error("a request failed", exc_info=error)
