"""Requests made from the server's own OpenAPI document: none of them ends in a 5xx or outside of the document.

One check of the fuzzer's is left out: that all that fits the document is accepted. A schema of JSON cannot say which
bytes are a picture or a tf.Example.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pipeline.contract import Explanation, find_model

EXAMPLES = 12
"""Requests an operation, as many that are as its schema says and as many that are not."""


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("model", ["clv", "colorizer"])
def test_the_server_answers_as_its_document_says(
    model: str, mode: GenerationMode, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(f"{model}_url")
    schema: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
    if not isinstance(find_model(model).explanation, Explanation):  # The document says that no request will do.
        schema = schema.exclude(path_regex="explain")
    refused = schema.config.checks.negative_data_rejection
    refused.expected_statuses = [*refused.expected_statuses, "413"]
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 10
    if mode is GenerationMode.NEGATIVE:  # Without a body there is nothing that could be wrong.
        operations = [operation for operation in operations if operation.body]
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def fuzz(case: Case[Any]) -> None:
            case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

        fuzz()
