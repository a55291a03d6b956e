"""Google's own client of Vertex AI, pointed at the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from small_models import CUSTOMER, FUTURE, TOTAL

NAME = "projects/p/locations/europe-west4/endpoints/7"


@pytest.fixture(scope="module")
def endpoint(clv_url: str) -> Iterator[Any]:
    """`aiplatform.Endpoint` over REST."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    aiplatform.init(
        project="p",
        location="europe-west4",
        api_endpoint=clv_url,
        api_transport="rest",
        credentials=AnonymousCredentials(),
    )
    yield aiplatform.Endpoint(NAME)
    aiplatform.initializer.global_config._api_transport = None
    aiplatform.initializer.global_config._api_endpoint = None


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
