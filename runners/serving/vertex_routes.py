"""Vertex AI's prediction API, and what its containers answer.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/predict
https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from pipeline.contract import Explanation
from runners.serving.asking import converted, fields, json_response, listed, signature_of
from runners.serving.explaining import LEAST_PATHS, PATHS, vertex_shape, why_not
from runners.serving.explaining import explain as explanations_of
from runners.serving.instances import columns, rows, shown
from runners.serving.limits import Bodies, check_size
from runners.serving.loaded import LoadedModel, rows_of
from runners.serving.refusals import Refused
from runners.serving.schemas import operation
from runners.serving.served import Served

ENDPOINT = "/v1/projects/{project:word}/locations/{location:word}/endpoints/{endpoint:word}"
PREDICT_FIELDS = ("instances", "parameters", "labels")
EXPLAIN_FIELDS = ("instances", "parameters", "deployedModelId", "explanationSpecOverride")
RAW_HEADERS = {
    "X-Vertex-AI-Deployed-Model-Id": "deployedModelId",
    "X-Vertex-AI-Model": "model",
    "X-Vertex-AI-Model-Version-Id": "modelVersionId",
}
"""Where Google's client looks after `rawPredict`."""

SEED = 0
"""Of the draw of an explanation's paths, where the request names none."""


def router(served: Served, bodies: Bodies, predict_route: str) -> APIRouter:
    """Returns the routes of an endpoint and of a container."""
    routes = APIRouter()
    predict, explain = _predict(served, bodies), _explain(served, bodies)
    asked = operation("PredictResponse", "Error", "PredictRequest")
    explained = operation("ExplainResponse", "Error", "ExplainRequest")
    for path in (predict_route, f"{ENDPOINT}:predict", f"{ENDPOINT}:rawPredict"):
        routes.add_api_route(path, predict, methods=["POST"], tags=["Vertex AI"], **asked)
    for path in ("/explain", f"{ENDPOINT}:explain"):
        routes.add_api_route(path, explain, methods=["POST"], tags=["Vertex AI"], **explained)
    routes.add_api_route(ENDPOINT, _endpoint(served), tags=["Vertex AI"], **operation("Object", "Error"))
    return routes


def _predict(served: Served, bodies: Bodies) -> Any:
    async def predict(request: Request) -> Response:
        """What the model answers, a prediction an instance."""
        with served.using() as loaded, bodies.holding() as held:
            body = fields(await held.json(request), PREDICT_FIELDS)
            parameters = fields(_object(body.get("parameters")), ("signature_name",))
            signature = signature_of(loaded, parameters.get("signature_name"))
            instances = listed(body.get("instances"), served.settings.max_rows)
            batch = await converted(request, columns, signature, instances)
            answer = await served.ask(loaded, signature.name, batch)
            told = _told(served, loaded, request)
            response = json_response(request, {"predictions": rows(answer), **told}, loaded, rows_of(batch))
        response.headers.update({name: told[field] for name, field in RAW_HEADERS.items()})
        return response

    return predict


def _explain(served: Served, bodies: Bodies) -> Any:
    async def explain(request: Request) -> Response:
        """What the model answers, and what each input adds to it, against the baseline of the contract."""
        with served.using() as loaded, bodies.holding() as held:
            body = fields(await held.json(request), EXPLAIN_FIELDS)
            if body.get("deployedModelId") not in (None, "", str(loaded.version)):
                raise Refused(404, f"expected {loaded.version} as deployedModelId, the version that answers")
            explanation = _explanation(served, loaded)
            parameters = fields(_object(body.get("parameters")), ("paths", "seed"))
            most = served.settings.max_paths
            paths = _integer(parameters, "paths", _path_count(body, min(PATHS, most)), LEAST_PATHS, most)
            seed = _integer(parameters, "seed", SEED, 0, 2**32 - 1)
            signature = signature_of(loaded, explanation.signature)
            instances = listed(body.get("instances"), served.settings.max_explained_rows)
            batch = await converted(request, columns, signature, instances)
            check_size(batch, served.settings, served.settings.max_explained_rows)
            work = partial(_explained, loaded, explanation, batch, paths, seed)
            explanations, answer = await served.in_thread(rows_of(batch), work)
            content = {"explanations": explanations, "predictions": rows(answer), **_told(served, loaded, request)}
            return json_response(request, content, loaded, rows_of(batch))

    return explain


def _explanation(served: Served, loaded: LoadedModel) -> Explanation:
    why = why_not(served.model, loaded.signatures)
    if why or not isinstance(served.model.explanation, Explanation):
        raise Refused(400, f"answers of {served.model.name} are not explained: {why}")
    return served.model.explanation


def _explained(loaded: LoadedModel, explanation: Explanation, batch: Any, paths: int, seed: int) -> tuple[Any, Any]:
    attributions = explanations_of(loaded.ask, explanation, batch, paths=paths, seed=seed)
    shaped = [vertex_shape(attribution, explanation) for attribution in attributions]
    return shaped, loaded.ask(explanation.signature, batch)


def _endpoint(served: Served) -> Any:
    async def endpoint(request: Request) -> Response:
        """The endpoint, and the version that is deployed to it."""
        loaded = served.current
        name = "projects/{project}/locations/{location}/endpoints/{endpoint}".format(**request.path_params)
        told = _told(served, loaded, request)
        deployed = {
            "id": told["deployedModelId"],
            "model": told["model"],
            "displayName": told["modelDisplayName"],
            "modelVersionId": told["modelVersionId"],
            "createTime": _utc(loaded.manifest.pushed_at),
        }
        content = {
            "name": name,
            "displayName": served.model.name,
            "description": served.model.title,
            "deployedModels": [deployed],
            "trafficSplit": {told["deployedModelId"]: 100},
        }
        return json_response(request, content, loaded, 0)

    return endpoint


def _told(served: Served, loaded: LoadedModel, request: Request) -> dict[str, str]:
    """Who answered, as Vertex AI tells it."""
    place = "projects/{}/locations/{}/".format(
        request.path_params.get("project", "local"), request.path_params.get("location", "local")
    )
    version = str(loaded.version)
    return {
        "deployedModelId": version,
        "model": f"{place}models/{served.model.name}",
        "modelDisplayName": served.model.name,
        "modelVersionId": version,
    }


def _object(value: Any) -> Any:
    return {} if value is None else value


def _path_count(body: dict[str, Any], otherwise: int) -> Any:
    """Vertex AI's own place for the number of permutations."""
    found: Any = body.get("explanationSpecOverride") or {}
    for name in ("parameters", "sampledShapleyAttribution", "pathCount"):
        if not isinstance(found, dict):
            raise Refused(400, f"expected an object around {name} in explanationSpecOverride")
        found = found.get(name, {})
    return otherwise if found == {} else found


def _integer(parameters: dict[str, Any], name: str, otherwise: Any, least: int, most: int) -> int:
    value = parameters.get(name, otherwise)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if not whole or not least <= value <= most:
        raise Refused(400, f"expected {name} to be a whole number from {least} to {most}, received {shown(value)}")
    return int(value)


def _utc(stamp: str) -> str:
    return stamp.replace("+00:00", "Z")
