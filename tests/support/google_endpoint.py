"""Google's own client of an endpoint of Vertex AI, pointed at a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ENDPOINT = "projects/p/locations/europe-west4/endpoints/7"


@contextmanager
def google_endpoint(url: str) -> Iterator[Any]:
    """`aiplatform.Endpoint` over REST."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    aiplatform.init(
        project="p", location="europe-west4", api_endpoint=url, api_transport="rest", credentials=AnonymousCredentials()
    )
    yield aiplatform.Endpoint(ENDPOINT)
    aiplatform.initializer.global_config._api_transport = None
    aiplatform.initializer.global_config._api_endpoint = None
