"""Requests made from the server's own OpenAPI document: none of them ends in a 5xx or outside of the document."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.schemas import OpenApiSchema
from servables import WRITERS, push
from serving_client import running

EXAMPLES = 25
"""Requests an operation, of each kind that the fuzzer knows."""


@pytest.fixture(scope="module", params=WRITERS)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenApiSchema]:
    root = tmp_path_factory.mktemp(request.param)
    push(request.param, WRITERS[request.param](root / "model"), root)
    with running(request.param, root) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_the_server_answers_as_its_document_says(case: Case) -> None:
    case.call_and_validate(timeout=60)
