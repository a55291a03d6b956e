"""The description of the server's routes, with the schemas of what this model is asked and answers."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from runners.serving.schemas import components
from runners.serving.served import Served
from runners.serving.tf_serving import STABLE

PARAMETERS = {
    "project": "Any: a client of Vertex AI names its own.",
    "location": "Any, likewise.",
    "endpoint": "Any, likewise.",
    "name": "Name of the model.",
    "version": "Number of the version that answers.",
    "label": f"`{STABLE}` is the version that answers.",
}

STYLE = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}pre{overflow:auto;padding:1em;"
STYLE += "background:#f4f4f4}code{overflow-wrap:anywhere}summary{cursor:pointer}"


def document(app: FastAPI, served: Served) -> dict[str, Any]:
    """Returns the OpenAPI document of the version that answers."""
    model, loaded = served.model, served.current
    found = get_openapi(title=model.title, version=str(loaded.version), routes=app.routes)
    for path, operations in found["paths"].items():
        parameters = [_parameter(name, served) for name in re.findall(r"{(\w+)}", path)]
        for operation in operations.values():
            operation["parameters"] = parameters
    found["components"] = {"schemas": components(model, loaded, served.settings)}
    return found


def _parameter(name: str, served: Served) -> dict[str, Any]:
    only = {"name": served.model.name, "version": str(served.current.version), "label": STABLE}
    schema = {"enum": [only[name]]} if name in only else {"pattern": "^[A-Za-z0-9_-]+$", "example": name}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": PARAMETERS[name],
        "schema": {"type": "string", **schema},
    }


def page(described: dict[str, Any]) -> str:
    """Returns the document as a page that needs no script and no network."""
    title = html.escape(described["info"]["title"])
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    parts = [f"{head}<h1>{title}</h1><p>Version {described['info']['version']}. <a href=/openapi.json>As JSON</a>."]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(path, method.upper(), operation))
    parts.append("<h2>What is sent and received</h2>")
    for name, schema in described["components"]["schemas"].items():
        text = html.escape(json.dumps(schema, indent=2))
        parts.append(f"<details id={name}><summary>{name}</summary><pre>{text}</pre></details>")
    return "\n".join([*parts, "</html>"])


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    names = dict.fromkeys(re.findall(r'schemas/(\w+)"', json.dumps(operation)))
    links = ", ".join(f"<a href=#{name}>{name}</a>" for name in names)
    told = html.escape(operation.get("description", ""))
    return f"<h3><code>{method} {html.escape(path)}</code></h3><p>{told} {links}"
