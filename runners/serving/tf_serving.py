"""TensorFlow Serving's REST API. https://www.tensorflow.org/tfx/serving/api_rest"""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request, Response

from runners.serving.asking import converted, fields, json_response, listed, signature_of
from runners.serving.instances import by_column, columns, columns_of, rows
from runners.serving.limits import Bodies
from runners.serving.loaded import LoadedModel, Tensor, rows_of
from runners.serving.refusals import Refused
from runners.serving.schemas import operation
from runners.serving.served import Served

STABLE = "stable"
"""The label of the version that answers."""

FIELDS = ("instances", "inputs", "signature_name")


def router(served: Served, bodies: Bodies) -> APIRouter:
    """Returns the routes of `/v1/models/NAME`, with a version, a label or neither."""
    routes = APIRouter(prefix="/v1/models/{name:word}", tags=["TensorFlow Serving"])
    told = operation("Object", "ServingError")
    asked = operation("RowsOrColumnsResponse", "ServingError", "RowsOrColumnsRequest")
    for path in ("", "/versions/{version:word}", "/labels/{label:word}"):
        routes.add_api_route(path, _status(served), **told)
        routes.add_api_route(f"{path}/metadata", _metadata(served), **told)
        routes.add_api_route(f"{path}:predict", _predict(served, bodies), methods=["POST"], **asked)
    return routes


def _status(served: Served) -> Any:
    async def status(request: Request) -> Response:
        """Which version is loaded."""
        loaded = served.version(_number(served, request))
        found = {"error_code": "OK", "error_message": ""}
        content = {"version": str(loaded.version), "state": "AVAILABLE", "status": found}
        return json_response(request, {"model_version_status": [content]}, loaded, 0)

    return status


def _metadata(served: Served) -> Any:
    async def metadata(request: Request) -> Response:
        """Names, types and shapes of all signatures."""
        loaded = served.version(_number(served, request))
        spec = {"name": served.model.name, "signature_name": "", "version": str(loaded.version)}
        content = {"model_spec": spec, "metadata": {"signature_def": {"signature_def": _signature_defs(loaded)}}}
        return json_response(request, content, loaded, 0)

    return metadata


def _predict(served: Served, bodies: Bodies) -> Any:
    async def predict(request: Request) -> Response:
        """What the model answers, by row (`instances`) or by column (`inputs`)."""
        with served.using(_number(served, request)) as loaded, bodies.holding() as held:
            body = fields(await held.json(request), FIELDS)
            if ("instances" in body) == ("inputs" in body):
                raise Refused(400, "expected either instances or inputs")
            signature = signature_of(loaded, body.get("signature_name"))
            if "instances" in body:
                instances = listed(body["instances"], served.settings.max_rows)
                batch = await converted(request, columns, signature, instances)
            else:
                _check_columns(body["inputs"], served.settings.max_rows)
                batch = await converted(request, columns_of, signature, body["inputs"])
            answer = await served.ask(loaded, signature.name, batch)
            by_row = {"predictions": rows(answer)} if "instances" in body else {"outputs": by_column(answer)}
            return json_response(request, by_row, loaded, rows_of(batch))

    return predict


def _check_columns(inputs: Any, most: int) -> None:
    for column in inputs.values() if isinstance(inputs, dict) else [inputs]:
        if isinstance(column, list):
            listed(column, most)


def _number(served: Served, request: Request) -> int | None:
    """The version that the path names; None if it names none."""
    found = request.path_params
    if found["name"] != served.model.name:
        raise Refused(404, f"Servable not found for request: Latest({found['name']})")
    if found.get("label", STABLE) != STABLE:
        raise Refused(404, f"Unrecognized servable version label: {found['label']}")
    number = found.get("version")
    if number is not None and not re.fullmatch("[0-9]{1,19}", number):
        raise Refused(404, f"expected a number as version, received {number[:60]!r}")
    return None if number is None else int(number)


def _signature_defs(loaded: LoadedModel) -> dict[str, Any]:
    return {
        name: {
            "inputs": {tensor.name: _tensor_info(tensor, f"{name}_{tensor.name}") for tensor in one.inputs.values()},
            "outputs": {
                tensor.name: _tensor_info(tensor, "StatefulPartitionedCall") for tensor in one.outputs.values()
            },
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        for name, one in loaded.signatures.items()
    }


def _tensor_info(tensor: Tensor, name: str) -> dict[str, Any]:
    dims = [{"size": str(-1 if side is None else side), "name": ""} for side in tensor.shape]
    kinds = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}
    kind = kinds.get(tensor.dtype, tensor.dtype.upper())
    return {"dtype": f"DT_{kind}", "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": f"{name}:0"}
