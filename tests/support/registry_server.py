"""Vertex AI's Model Registry and endpoints as far as a push asks for them, over REST on loopback.

It refuses what the service documents that it refuses, so that the real client talks to it as to the service.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]
LOCATION = "projects/1234567890/locations/europe-west4"
"""As the service answers: the project's number in the place of its id."""
TYPES = "type.googleapis.com/google.cloud.aiplatform.v1."


class Refusal(Exception):
    """An answer of the service's that is an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Registry:
    """The state: versions by model id, endpoints by id, and what was asked.

    Attributes:
      refusals: verb such as `models:upload` -> what is answered in its place, until it is taken out.
    """

    def __init__(self) -> None:
        self.models: dict[str, list[Json]] = {}
        self.endpoints: dict[str, Json] = {}
        self.refusals: dict[str, Refusal] = {}
        self.asked: list[tuple[str, Json]] = []
        self.address = ""

    def answer(self, method: str, path: str, query: str, body: Json) -> Json:
        """Answers one request."""
        _, _, rest = path.partition("/locations/europe-west4/")
        name, _, verb = rest.partition(":")
        key = f"{name.partition('/')[0]}:{verb}" if verb else f"{method} {name.partition('/')[0]}"
        self.asked.append((key, body))
        if key in self.refusals:
            raise self.refusals[key]
        part = name.partition("/")[2]
        match key:
            case "models:upload":
                return _done(self._upload(body), "UploadModelResponse")
            case "GET models":
                return self._model(part)
            case "GET endpoints":
                return self.endpoints[part] if part else {"endpoints": self._named(query)}
            case "POST endpoints":
                return _done(self._create(body), "Endpoint")
            case "endpoints:deployModel":
                return _done(self._deploy(self.endpoints[part], body), "DeployModelResponse")
            case "endpoints:undeployModel":
                return _done(self._undeploy(self.endpoints[part], body), "UndeployModelResponse")
        raise Refusal(404, f"no method {key}")

    def _upload(self, body: Json) -> Json:
        parent = body.get("parentModel", "").rpartition("/")[2]
        if bool(parent) == bool(body.get("modelId")) or (parent and parent not in self.models):
            raise Refusal(404, f"the model {parent} does not exist")
        if body.get("modelId") in self.models:
            raise Refusal(409, "the model exists")
        versions = self.models.setdefault(parent or body["modelId"], [])
        for version in versions:
            version["versionAliases"] = [
                name for name in version["versionAliases"] if name not in body["model"]["versionAliases"]
            ]
        name = f"{LOCATION}/models/{parent or body['modelId']}"
        versions.append({**body["model"], "name": name, "versionId": str(len(versions) + 1)})
        return {"model": name, "modelVersionId": versions[-1]["versionId"]}

    def _model(self, part: str) -> Json:
        model, _, wanted = part.partition("@")
        for version in self.models.get(model, []):
            if (wanted or "default") in [*version["versionAliases"], version["versionId"]]:
                return version
        raise Refusal(404, f"the model {part} does not exist")

    def _named(self, query: str) -> list[Json]:
        wanted = re.search('display_name="(.*)"', query)
        return [found for found in self.endpoints.values() if wanted and found["displayName"] == wanted[1]]

    def _create(self, body: Json) -> Json:
        number = str(len(self.endpoints) + 1)
        self.endpoints[number] = {**body, "name": f"{LOCATION}/endpoints/{number}"}
        return self.endpoints[number]

    def _deploy(self, endpoint: Json, body: Json) -> Json:
        version = self._model(body["deployedModel"]["model"].rpartition("/")[2])
        number = str(100 + sum(key == "endpoints:deployModel" for key, _ in self.asked))
        split = {number if name == "0" else name: share for name, share in body["trafficSplit"].items()}
        if sum(split.values()) != 100:
            raise Refusal(400, f"traffic that adds up to {sum(split.values())}")
        deployed = {**body["deployedModel"], "id": number, "model": version["name"]}
        endpoint.setdefault("deployedModels", []).append({**deployed, "modelVersionId": version["versionId"]})
        endpoint["trafficSplit"] = split
        return {"deployedModel": deployed}

    def _undeploy(self, endpoint: Json, body: Json) -> Json:
        if endpoint["trafficSplit"].get(body["deployedModelId"]):
            raise Refusal(400, "it has traffic")
        endpoint["deployedModels"] = [
            found for found in endpoint["deployedModels"] if found["id"] != body["deployedModelId"]
        ]
        return {}


def _done(response: Json, kind: str) -> Json:
    """A long-running operation that is over."""
    return {"name": f"{LOCATION}/operations/1", "done": True, "response": {"@type": TYPES + kind, **response}}


@contextmanager
def serve(registry: Registry) -> Iterator[Registry]:
    """Serves a registry at `registry.address`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = unquote(self.path).partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                code, content = 200, registry.answer(self.command, path, query, json.loads(body or b"{}"))
            except Refusal as refusal:
                code, content = refusal.code, {"error": {"code": refusal.code, "message": str(refusal)}}
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        registry.address = f"http://127.0.0.1:{server.server_port}"
        yield registry
        server.shutdown()
