"""Asks a server for predictions, over HTTP: TensorFlow Serving's protocol, or that of Vertex AI's endpoints."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pipeline.contract import UserError
from pipeline.google_words import LOGIN
from runners.batch.predicting import Ask
from runners.serving import instances
from runners.serving.loaded import Columns, Signature, Tensor

ROWS = 1000
"""Rows in a request: Vertex AI's endpoints take 1.5 MB."""
TRIES = 6
"""So often is a request tried again that a server has no room for (429, 503)."""
WAIT_S = 60
"""The longest that is waited for it, in seconds, whatever it says."""
HOPELESS = 50
"""So many refusals before the first prediction are no fault of single rows."""
DEFAULT = "serving_default"
BACKOFF_S = 0.2
"""Twice as long each time, in seconds, where a server does not say how long."""
TIMEOUT_S = 60
REFUSED = (400, 413)
"""A server's words for: the request is wrong, or too large. Both may be the fault of one row."""
ENDPOINT = re.compile(r"projects/[^/]+/locations/(?P<region>[^/]+)/endpoints/[^/]+")
DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_STRING": "string", "DT_BOOL": "bool"}


class Server:
    """A server of TensorFlow Serving's protocol: `pipelines serve`, or TensorFlow Serving itself.

    Args:
      address: such as http://127.0.0.1:8080, or with the path of a model or a version of it: .../v1/models/clv.
      model: its name, where the address has no path.
    """

    def __init__(self, address: str, model: str) -> None:
        address = address.rstrip("/")
        self.model = address if urlsplit(address).path else f"{address}/v1/models/{model}"
        self.session = patient(requests.Session())

    def signatures(self) -> dict[str, Signature]:
        """Returns what the server can be asked.

        Raises:
          UserError: it does not say.
        """
        answer = _sent(self.session, "GET", f"{self.model}/metadata")
        try:
            told = answer.json()["metadata"]["signature_def"]["signature_def"]
            found = {name: _signature(name, one) for name, one in told.items() if one["inputs"] and one["outputs"]}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                expected=f"a server that tells its signatures, as TensorFlow Serving does, at {self.model}/metadata",
                received=f"status {answer.status_code}: {answer.text[:200]}",
                todo="correct --endpoint",
            ) from error
        return found

    def ask(self, signature: Signature) -> Ask:
        """Returns what asks it."""
        return asking(self.session, f"{self.model}:predict", signature, {"signature_name": signature.name})


def vertex_endpoint(name: str, signature: Signature, vertex: Any = None) -> Ask:
    """Returns what asks an endpoint of Vertex AI, by its full name.

    By a session with credentials, and not by Google's prediction client, which makes floats of all integers and does
    not wait as long as `Retry-After` says.

    Args:
      name: `projects/PROJECT/locations/REGION/endpoints/ID`.
      signature: what the endpoint's model is asked with, its default one.
      vertex: settings, if there are any.

    Raises:
      UserError: there are no credentials.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession

    from runners.vertex.google_api import address, credentials
    from runners.vertex.settings import VertexSettings

    found = ENDPOINT.fullmatch(name)
    if found is None:
        raise UserError(
            expected="an endpoint: http://... or projects/PROJECT/locations/REGION/endpoints/ID",
            received=name,
            todo="correct --endpoint",
        )
    if signature.name != DEFAULT:
        raise UserError(
            expected=f"rows for {DEFAULT}, which is all that an endpoint of Vertex AI asks a model",
            received=f"an input, or a --signature, for {signature.name}",
            todo="leave out --endpoint, or ask a server: --endpoint http://...",
        )
    region = found["region"]
    vertex = vertex or VertexSettings.model_construct(project=name.split("/")[1], region=region)
    login = credentials(vertex)
    session = requests.Session() if isinstance(login, AnonymousCredentials) else AuthorizedSession(login)
    return asking(patient(session), f"{address(vertex, f'{region}-aiplatform')}/v1/{name}:predict", signature, {})


class _Patience(Retry):
    def get_retry_after(self, response: Any) -> float | None:
        told = super().get_retry_after(response)
        return told and min(told, WAIT_S)


def patient(session: requests.Session) -> requests.Session:
    """Lets a session ask again where a server has no room, and as late as its `Retry-After` says."""
    retry = _Patience(
        total=TRIES,
        connect=1,
        read=0,
        status_forcelist=[429, 503],
        allowed_methods=None,
        backoff_factor=BACKOFF_S,
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def asking(session: requests.Session, url: str, signature: Signature, more: Mapping[str, str]) -> Ask:
    """Returns what posts a batch as `instances` and reads `predictions`."""

    answered = refused = 0

    def ask(columns: Columns) -> Columns:
        nonlocal answered, refused
        # Bytes are asked for as such whatever the name of their tensor: text that is no UTF-8 becomes base64.
        body = orjson.dumps({**more, "instances": instances.rows(columns)}, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = _sent(session, "POST", url, body)
        if answer.status_code in REFUSED and (answered or refused < HOPELESS):
            refused += 1
            raise ValueError(_reason(answer))
        if answer.status_code != requests.codes.ok:
            raise UserError(
                expected=f"predictions from {url}",
                received=f"status {answer.status_code}: {_reason(answer)}",
                todo="look at the server's log" if answer.status_code >= 500 else "correct --endpoint",
            )
        answered += 1
        return _columns(signature, _predictions(url, answer))

    return ask


def _predictions(url: str, answer: requests.Response) -> list[Any]:
    try:
        found: list[Any] = orjson.loads(answer.content)["predictions"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(
            expected=f"predictions as JSON from {url}", received=answer.text[:200], todo="correct --endpoint"
        ) from error
    return found


def _sent(session: requests.Session, method: str, url: str, body: bytes | None = None) -> requests.Response:
    from google.auth.exceptions import GoogleAuthError

    try:
        headers = {"Content-Type": "application/json"}
        return session.request(method, url, data=body, headers=headers, timeout=TIMEOUT_S)
    except GoogleAuthError as error:
        raise UserError(
            expected="a login that Google takes", received=f"{type(error).__name__}: {str(error)[:200]}", todo=LOGIN
        ) from error
    except (requests.RequestException, OSError) as error:
        raise UserError(
            expected=f"a server at {url}",
            received=f"{type(error).__name__}: {str(error)[:200]}",
            todo="correct --endpoint, or start one: pipelines serve",
        ) from error


def _reason(answer: requests.Response) -> str:
    """What a refusal says: a text or Google's object under `error`, or what it is."""
    try:
        told = answer.json()["error"]
        return str(told["message"] if isinstance(told, dict) else told)[:500]
    except (ValueError, KeyError, TypeError):
        return answer.text[:500] or str(answer.reason)


def _columns(signature: Signature, predictions: list[Any]) -> Columns:
    outputs = signature.outputs
    if len(outputs) == 1:
        (only,) = outputs
        predictions = [row if isinstance(row, dict) and only in row else {only: row} for row in predictions]
    return {name: _array(tensor, [row[name] for row in predictions]) for name, tensor in outputs.items()}


def _array(tensor: Tensor, values: list[Any]) -> Any:
    if tensor.dtype != "string":
        return np.asarray(values, tensor.dtype)
    array = np.empty(len(values), object)
    array[:] = [base64.b64decode(v["b64"]) if isinstance(v, dict) else str(v).encode() for v in values]
    return array


def _signature(name: str, told: Mapping[str, Any]) -> Signature:
    return Signature(name, _tensors(told["inputs"]), _tensors(told["outputs"]))


def _tensors(told: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: Tensor(name, _dtype(told[name]["dtype"]), _shape(told[name])) for name in sorted(told)}


def _dtype(told: str) -> str:
    return DTYPES.get(told, told.removeprefix("DT_").lower())


def _shape(told: Mapping[str, Any]) -> tuple[int | None, ...]:
    sides = [int(side.get("size", 0)) for side in told.get("tensor_shape", {}).get("dim", [])]
    return tuple(None if side < 0 else side for side in sides)
