"""The description of the server's routes, with the schemas of what this model is asked and answers."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from runners.serving.served import Served


def document(app: FastAPI, served: Served) -> dict[str, Any]:
    """Returns the OpenAPI document of the version that answers."""
    return get_openapi(title=served.model.title, version=str(served.current.version), routes=app.routes)


def page(described: dict[str, Any]) -> str:
    """Returns a page of the document that needs no script and no network."""
    return f"<!doctype html><title>{described['info']['title']}</title>"
