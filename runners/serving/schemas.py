"""JSON schemas of requests and answers, made from a version's signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.contract import Explanation, Model
from runners.serving.asking import DEFAULT
from runners.serving.explaining import LEAST_PATHS, why_not
from runners.serving.instances import GREATEST_FLOAT, INT64
from runners.serving.loaded import LoadedModel, Signature, Tensor
from runners.serving.settings import ServeSettings

Schema = dict[str, Any]

B64: Schema = {
    "type": "object",
    "properties": {"b64": {"type": "string", "contentEncoding": "base64", "pattern": "^([A-Za-z0-9+/]{4})*$"}},
    "required": ["b64"],
    "additionalProperties": False,
}
GOOGLE_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
            },
            "required": ["code", "message", "status"],
        }
    },
    "required": ["error"],
}
TF_ERROR: Schema = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}

WHO = ("deployedModelId", "model", "modelDisplayName", "modelVersionId")
"""What an answer of Vertex AI's tells of the version that gave it."""

ERRORS = {
    400: "The request is not as it should be; the message says where.",
    404: "There is no such path, model or version.",
    405: "The path has other methods.",
    408: "The body did not arrive in time.",
    413: "The request is too large; ask in several.",
    429: "Too much waits already; Retry-After says when to come again.",
    503: "No version answers, or the server ends.",
    504: "The model did not answer in time.",
}


def reference(name: str) -> Schema:
    """Returns a reference to a schema among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def operation(answer: str, error: str, asked: str | None = None) -> dict[str, Any]:
    """Returns what a route tells FastAPI about itself: names of the schemas of its answer, its errors and its body."""
    statuses = ERRORS if asked else {status: ERRORS[status] for status in (404, 405, 503)}
    told = {status: {"description": text, "content": _json(reference(error))} for status, text in statuses.items()}
    answered = {"description": "The answer.", "content": _json(reference(answer))}
    body = {"requestBody": {"required": True, "content": _json(reference(asked))}} if asked else {}
    return {"responses": {200: answered, **told}, "openapi_extra": body}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def components(model: Model, loaded: LoadedModel, settings: ServeSettings) -> dict[str, Schema]:
    """Returns all schemas of a version by name."""
    signatures = list(loaded.signatures.values())
    predictions: Schema = {"anyOf": [_rows(_row(one, one.outputs, answered=True)) for one in signatures]}
    told: Schema = {name: {"type": "string"} for name in WHO}
    return {
        "PredictRequest": {"anyOf": [_vertex(one, settings.max_rows) for one in signatures]},
        "PredictResponse": _object({"predictions": predictions, **told}),
        "ExplainRequest": _explain(model, loaded, settings),
        "ExplainResponse": _object(
            {"explanations": _rows({"type": "object"}), "predictions": predictions, **told}, extra=True
        ),
        "RowsOrColumnsRequest": {
            "anyOf": [schema for one in signatures for schema in _tf_serving(one, settings.max_rows)]
        },
        "RowsOrColumnsResponse": {
            "anyOf": [_object({"predictions": predictions}), _object({"outputs": {}})],
        },
        "Object": {"type": "object"},
        "Error": GOOGLE_ERROR,
        "ServingError": TF_ERROR,
    }


def _explain(model: Model, loaded: LoadedModel, settings: ServeSettings) -> Schema:
    why = why_not(model, loaded.signatures)
    if why or not isinstance(model.explanation, Explanation):
        return {"not": {}, "description": f"No request is answered: {why}"}
    parameters = {
        "paths": {"type": "integer", "minimum": LEAST_PATHS, "maximum": settings.max_paths},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    }
    signature = loaded.signatures[model.explanation.signature]
    instances = _rows(_row(signature, signature.inputs), settings.max_explained_rows)
    return _object({"instances": instances, "parameters": _object(parameters, ())}, ("instances",))


def _vertex(signature: Signature, most: int) -> Schema:
    named = _object({"signature_name": {"const": signature.name}}, _required(signature))
    fields = {"instances": _rows(_row(signature, signature.inputs), most), "parameters": named}
    return _object(fields, ("instances", *(("parameters",) if _required(signature) else ())))


def _tf_serving(signature: Signature, most: int) -> list[Schema]:
    name = {"signature_name": {"const": signature.name}}
    rows = {"instances": _rows(_row(signature, signature.inputs), most), **name}
    columns = {tensor.name: _rows(_value(tensor), most) for tensor in signature.inputs.values()}
    only: Schema = {
        **(next(iter(columns.values())) if len(columns) == 1 else _object(columns)),
        "description": "All columns are of one length, which a schema cannot say.",
    }
    return [
        _object(rows, ("instances", *_required(signature))),
        _object({"inputs": only, **name}, ("inputs", *_required(signature))),
    ]


def _required(signature: Signature) -> tuple[str, ...]:
    return () if signature.name == DEFAULT else ("signature_name",)


def _row(signature: Signature, tensors: dict[str, Tensor], *, answered: bool = False) -> Schema:
    values = {name: _value(tensor, answered=answered) for name, tensor in tensors.items()}
    if len(values) > 1:
        return _object(values)
    only = next(iter(values.values()))
    return only if answered else {"anyOf": [only, _object(values)]}


def _value(tensor: Tensor, *, answered: bool = False) -> Schema:
    schema = _scalar(tensor.dtype, answered)
    for side in reversed(tensor.shape[1:]):
        lengths = {} if side is None else {"minItems": side, "maxItems": side}
        schema = {"type": "array", "items": schema, **lengths}
    return schema


def _scalar(dtype: str, answered: bool) -> Schema:
    if dtype == "string":
        return {"anyOf": [{"type": "string"}, B64]}
    if dtype == "bool":
        return {"type": "boolean"}
    if answered:  # What is no finite number is null in JSON.
        return {"type": ["number", "null"]}
    if dtype.startswith(("int", "uint")):
        info = np.iinfo(dtype)
        return {"type": "integer", "minimum": max(info.min, INT64.min), "maximum": min(info.max, INT64.max)}
    return {"type": "number", "minimum": -GREATEST_FLOAT, "maximum": GREATEST_FLOAT}


def _rows(items: Schema, most: int | None = None) -> Schema:
    return {"type": "array", "items": items, **({} if most is None else {"minItems": 1, "maxItems": most})}


def _object(properties: dict[str, Schema], required: tuple[str, ...] | None = None, *, extra: bool = False) -> Schema:
    wanted = tuple(properties) if required is None else required
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(wanted)} if wanted else {}),
        "additionalProperties": extra,
    }
