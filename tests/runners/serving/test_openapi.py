"""The description of the routes: complete, true for the requests of other tests, and readable without a network."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
from small_models import CUSTOMER


@pytest.fixture(scope="module")
def document(clv_url: str) -> Any:
    return requests.get(f"{clv_url}/openapi.json", timeout=20).json()


def _fits(document: Any, name: str, value: Any) -> bool:
    import jsonschema_rs

    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return bool(jsonschema_rs.validator_for(schema).is_valid(value))


def test_every_route_is_in_it_with_its_errors(document: Any) -> None:
    described = {(path, method): found for path, one in document["paths"].items() for method, found in one.items()}
    endpoint = "/v1/projects/{project}/locations/{location}/endpoints/{endpoint}"
    asked = {f"{endpoint}:{verb}" for verb in ("predict", "rawPredict", "explain")} | {"/predict", "/explain"}
    places = [f"/v1/models/{{name}}{place}" for place in ("", "/versions/{version}", "/labels/{label}")]
    asked |= {f"{place}:predict" for place in places}
    told = {endpoint, *places, *(f"{place}/metadata" for place in places), "/", "/docs", "/openapi.json", "/metrics"}
    told |= {"/healthz", "/readyz", "/health", "/about"}
    assert set(described) == {(path, "post") for path in asked} | {(path, "get") for path in told}
    for (path, method), found in described.items():
        assert [one["name"] for one in found["parameters"]] == re.findall(r"{(\w+)}", path)
        if method == "post":
            assert {"200", "400", "408", "413", "429", "503", "504"} <= set(found["responses"])
            assert found["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("Request")


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("PredictRequest", {"instances": [CUSTOMER]}, True),
        ("PredictRequest", {"instances": [{**CUSTOMER, "n_purchases": "many"}]}, False),
        ("PredictRequest", {"instances": []}, False),
        ("PredictRequest", {"instances": ["text"], "parameters": {"signature_name": "serving_examples"}}, True),
        ("PredictRequest", {"instances": ["text"]}, False),
        ("RowsOrColumnsRequest", {"inputs": {name: [value] for name, value in CUSTOMER.items()}}, True),
        ("RowsOrColumnsRequest", {"inputs": CUSTOMER}, False),
        ("ExplainRequest", {"instances": [CUSTOMER], "parameters": {"paths": 10, "seed": 3}}, True),
        ("ExplainRequest", {"instances": [CUSTOMER], "parameters": {"paths": 0}}, False),
    ],
)
def test_it_says_what_is_answered(document: Any, name: str, value: Any, fits: bool) -> None:
    assert _fits(document, name, value) == fits


def test_answers_are_as_it_says(document: Any, clv_url: str) -> None:
    for path, name in (
        ("/predict", "PredictResponse"),
        ("/explain", "ExplainResponse"),
        ("/v1/models/clv:predict", "RowsOrColumnsResponse"),
    ):
        answer = requests.post(clv_url + path, json={"instances": [CUSTOMER]}, timeout=20)
        assert (answer.status_code, _fits(document, name, answer.json())) == (200, True), answer.text


def test_the_page_of_it_needs_no_network(clv_url: str) -> None:
    text = requests.get(f"{clv_url}/docs", timeout=20).text
    assert "/v1/models/{name}:predict" in text
    assert not re.search(r"<script|https?://", text)
