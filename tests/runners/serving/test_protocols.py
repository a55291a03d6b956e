"""Vertex AI's and TensorFlow Serving's ways of asking, over real HTTP."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
import requests
import tensorflow as tf
from PIL import Image
from small_models import CUSTOMER, FUTURE, TOTAL

from models.colorizer import features as colorizer_features
from pipeline.contract import find_model

VERTEX = "/v1/projects/p/locations/europe-west4/endpoints/7"
SIZE = (5, 4)


def _post(url: str, path: str, body: Any, status: int = 200) -> Any:
    answer = requests.post(url + path, json=body, timeout=20)
    assert answer.status_code == status, answer.text
    return answer.json()


def _number(url: str) -> str:
    found: str = requests.get(f"{url}/v1/models/clv", timeout=20).json()["model_version_status"][0]["version"]
    return found


@pytest.mark.parametrize("path", ["/predict", f"{VERTEX}:predict", f"{VERTEX}:rawPredict"])
def test_vertex_ai_is_answered_by_row_and_told_by_whom(clv_url: str, path: str) -> None:
    answer = _post(clv_url, path, {"instances": [CUSTOMER, {**CUSTOMER, "n_purchases": 5.0}]})
    assert [row[FUTURE] for row in answer["predictions"]] == [30, 50]
    assert answer["predictions"][0][TOTAL] == pytest.approx(931.5)
    assert answer["deployedModelId"] == answer["modelVersionId"] == _number(clv_url)
    assert answer["modelDisplayName"] == "clv"


def test_a_signature_may_be_chosen(clv_url: str) -> None:
    example = tf.train.Example()
    example.features.feature["n_purchases"].int64_list.value.append(4)
    asked = {"b64": base64.b64encode(example.SerializeToString()).decode()}
    parameters = {"signature_name": "serving_examples"}
    answer = _post(clv_url, f"{VERTEX}:predict", {"instances": [asked], "parameters": parameters})
    assert answer["predictions"][0][FUTURE] == 40
    answer = _post(clv_url, "/v1/models/clv:predict", {"instances": [asked], **parameters})
    assert answer["predictions"][0][FUTURE] == 40


@pytest.mark.parametrize("place", ["", "/versions/{}", "/labels/stable"])
def test_tensorflow_serving_is_answered_by_row_and_by_column(clv_url: str, place: str) -> None:
    path = f"/v1/models/clv{place}:predict".format(_number(clv_url))
    assert _post(clv_url, path, {"instances": [CUSTOMER]})["predictions"][0][FUTURE] == 30
    columns = {name: [value, value] for name, value in CUSTOMER.items()}
    assert _post(clv_url, path, {"inputs": columns})["outputs"][FUTURE] == [30, 30]


def test_tensorflow_serving_tells_of_versions_and_signatures(clv_url: str) -> None:
    number = _number(clv_url)
    status = requests.get(f"{clv_url}/v1/models/clv/versions/{number}", timeout=20).json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    told = requests.get(f"{clv_url}/v1/models/clv/metadata", timeout=20).json()
    assert told["model_spec"] == {"name": "clv", "signature_name": "", "version": number}
    found = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert found["inputs"]["n_purchases"]["dtype"] == "DT_INT64"
    assert found["outputs"][TOTAL]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert found["method_name"] == "tensorflow/serving/predict"


def test_pictures_go_in_and_out_as_files(colorizer_url: str) -> None:
    file = io.BytesIO()
    Image.new("L", SIZE, 40).save(file, "PNG")
    asked = {"b64": base64.b64encode(file.getvalue()).decode()}
    body = {"instances": [asked] * 2, "signature_name": "serving_bytes"}
    for row in _post(colorizer_url, "/v1/models/colorizer:predict", body)["predictions"]:
        picture = Image.open(io.BytesIO(base64.b64decode(row["b64"])))
        assert (picture.size, picture.getpixel((0, 0))) == (SIZE, (215, 215, 215))
    gray = [[[0.5]] * 3] * 2
    answer = _post(colorizer_url, f"{VERTEX}:predict", {"instances": [gray]})
    assert answer["predictions"] == [[[[-0.5] * 3] * 3] * 2]
    assert colorizer_features.GRAY in requests.get(f"{colorizer_url}/v1/models/colorizer/metadata", timeout=20).text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/other:predict", 404),
        ("/v1/models/clv/versions/5:predict", 404),
        ("/v1/models/clv/versions/first:predict", 404),
        ("/v1/models/clv/labels/canary:predict", 404),
        ("/v1/models/clv:regress", 404),
        ("/v1/models/clv", 405),
    ],
)
def test_tensorflow_serving_refuses_in_its_own_words(clv_url: str, path: str, status: int) -> None:
    answer = _post(clv_url, path, {"instances": [CUSTOMER]}, status)
    assert list(answer) == ["error"]
    assert isinstance(answer["error"], str)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/nowhere", {}, 404, "no such path"),
        ("/healthz", {}, 405, "no such method"),
        ("/predict", [], 400, "expected a JSON object"),
        ("/predict", {"instance": [CUSTOMER]}, 400, "instance"),
        ("/predict", {"instances": CUSTOMER}, 400, "expected a list"),
        ("/predict", {"instances": []}, 400, "at least one"),
        ("/predict", {"instances": [CUSTOMER], "parameters": {"signature_name": "none"}}, 400, "serving_examples"),
        ("/predict", {"instances": [CUSTOMER], "parameters": {"signature": "serving_examples"}}, 400, "signature_name"),
        ("/predict", {"instances": [{**CUSTOMER, "n_purchases": "many"}]}, 400, "instances[0].n_purchases"),
        (f"{VERTEX}:explain", {"instances": [CUSTOMER], "parameters": {"paths": 0}}, 400, "paths"),
    ],
)
def test_all_others_are_refused_as_google_does(clv_url: str, path: str, body: Any, status: int, words: str) -> None:
    error = _post(clv_url, path, body, status)["error"]
    assert (error["code"], error["status"].isupper()) == (status, True)
    assert words in error["message"]


@pytest.mark.parametrize("picture", [[], [[]], [[[]]], [[[0.5, 0.5]]], [[[0.5]], [[0.5], [0.5]]]])
def test_numbers_that_are_no_picture_are_refused(colorizer_url: str, picture: Any) -> None:
    assert "gray: expected" in _post(colorizer_url, "/predict", {"instances": [picture]}, 400)["error"]["message"]


def test_what_is_not_explained_is_said(colorizer_url: str) -> None:
    error = _post(colorizer_url, f"{VERTEX}:explain", {"instances": [[[[0.5]]]]}, 400)["error"]
    assert str(find_model("colorizer").explanation) in error["message"]


def test_a_refusal_of_tensorflow_is_a_mistake_of_the_client(clv_url: str) -> None:
    body = {"instances": ["no example"], "signature_name": "serving_examples"}
    assert (
        "refuses the values: Could not parse example input"
        in _post(clv_url, "/v1/models/clv:predict", body, 400)["error"]
    )


def test_health_tells_the_version(clv_url: str) -> None:
    for path in ("/readyz", "/health"):
        told = requests.get(clv_url + path, timeout=20).json()
        assert (told["ready"], str(told["version"])) == (True, _number(clv_url))
    assert requests.get(f"{clv_url}/healthz", timeout=20).json() == {"alive": True}
    assert "serving_version_info" in requests.get(f"{clv_url}/metrics", timeout=20).text
