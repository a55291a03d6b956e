"""Google's own client of Vertex AI, pointed at the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google_endpoint import google_endpoint
from small_models import CUSTOMER, FUTURE, TOTAL


@pytest.fixture(scope="module")
def endpoint(clv_url: str) -> Iterator[Any]:
    """`aiplatform.Endpoint` over REST."""
    with google_endpoint(clv_url) as endpoint:
        yield endpoint


def test_it_predicts(endpoint: Any) -> None:
    answer = endpoint.predict(instances=[CUSTOMER, {**CUSTOMER, "n_purchases": 4}])
    assert [row[FUTURE] for row in answer.predictions] == [30, 40]
    assert answer.model_version_id == answer.deployed_model_id == endpoint.list_models()[0].id
    assert answer.model_resource_name == "projects/p/locations/europe-west4/models/clv"


def test_it_explains(endpoint: Any) -> None:
    answer = endpoint.explain(instances=[CUSTOMER])
    (attribution,) = answer.explanations[0].attributions
    added = dict(attribution.feature_attributions)
    assert set(added) == set(CUSTOMER)
    assert sum(added.values()) == pytest.approx(
        attribution.instance_output_value - attribution.baseline_output_value, rel=1e-5
    )
    assert attribution.instance_output_value == pytest.approx(answer.predictions[0][TOTAL])


def test_it_is_told_what_is_wrong(endpoint: Any) -> None:
    from google.api_core.exceptions import BadRequest

    with pytest.raises(BadRequest, match="n_purchases"):
        endpoint.predict(instances=[{**CUSTOMER, "n_purchases": "many"}])
