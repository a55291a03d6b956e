"""What both protocols share: a body becomes a batch, the batch is asked, JSON goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from runners.serving.instances import BadInstances, shown
from runners.serving.limits import LARGE
from runners.serving.loaded import LoadedModel, Signature
from runners.serving.refusals import Refused

DEFAULT = "serving_default"


def fields(body: Any, known: tuple[str, ...]) -> dict[str, Any]:
    """Returns a body that is an object with no fields but the known ones.

    Raises:
      Refused: it is none.
    """
    if not isinstance(body, dict):
        raise Refused(400, f"expected a JSON object with {', '.join(known)}, received {type(body).__name__}")
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise Refused(400, f"expected the fields {', '.join(known)}, received also {', '.join(unknown)[:100]!r}")
    return body


def signature_of(loaded: LoadedModel, name: Any) -> Signature:
    """Returns the signature of a name; the default one for None.

    Raises:
      Refused: the model has none of that name.
    """
    wanted = DEFAULT if name is None else name
    if not isinstance(wanted, str) or wanted not in loaded.signatures:
        raise Refused(400, f"expected signature_name to be one of {', '.join(loaded.signatures)}; {shown(name)}")
    return loaded.signatures[wanted]


async def converted(request: Request, function: Callable[..., Any], *arguments: Any) -> Any:
    """Runs a conversion between JSON and tensors, in a thread where it is a long one.

    Raises:
      Refused: an instance is not as the signature wants it.
    """
    try:
        if getattr(request.state, "bytes", 0) > LARGE:
            return await asyncio.to_thread(function, *arguments)
        return function(*arguments)
    except BadInstances as error:
        raise Refused(400, str(error)) from None


def listed(instances: Any, most: int) -> list[Any]:
    """Returns instances that are a list, and not too many: each mistake in them will be an object.

    Raises:
      Refused: they are none, or too many.
    """
    if not isinstance(instances, list):
        raise Refused(400, f"expected a list in instances, received {type(instances).__name__}")
    if len(instances) > most:
        raise Refused(413, f"expected at most {most} instances a request, received {len(instances)}")
    return instances


def json_response(request: Request, content: Any, loaded: LoadedModel, rows: int) -> Response:
    """Returns the response to a request that was answered, and notes for the access log by whom."""
    request.state.version, request.state.rows = loaded.version, rows
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return Response(orjson.dumps(content, default=_plain, option=options), media_type="application/json")


def _plain(value: Any) -> Any:
    return value.tolist()  # An array whose layout orjson does not read.
