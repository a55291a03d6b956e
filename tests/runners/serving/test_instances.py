"""JSON to tensors and back: strict types, and mistakes in words."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import orjson
import pytest

from runners.serving.instances import BadInstances, by_column, columns, columns_of, rows
from runners.serving.loaded import Signature, Tensor

CUSTOMER = Signature(
    "serving_default",
    {
        "purchases": Tensor("purchases", "int64", (None,)),
        "revenue": Tensor("revenue", "float32", (None,)),
        "country": Tensor("country", "string", (None,)),
    },
    {},
)
PICTURE = Signature("serving_default", {"gray": Tensor("gray", "float32", (None, None, None, 1))}, {})
FILE = Signature("serving_bytes", {"image_bytes": Tensor("image_bytes", "string", (None,))}, {})
ROW: dict[str, Any] = {"purchases": 3, "revenue": 12.5, "country": "Österreich"}


def test_rows_become_columns_of_the_signatures_types() -> None:
    found = columns(CUSTOMER, [ROW, {**ROW, "purchases": -1, "revenue": 4}])
    assert found["purchases"].dtype == np.int64
    assert found["purchases"].tolist() == [3, -1]
    assert found["revenue"].dtype == np.float32
    assert found["revenue"].tolist() == [12.5, 4.0]
    assert found["country"].tolist() == ["Österreich".encode()] * 2


def test_a_client_whose_numbers_are_all_floats_may_write_whole_ones_so() -> None:
    assert columns(CUSTOMER, [{**ROW, "purchases": 3.0}])["purchases"].tolist() == [3]


def test_a_signature_with_one_input_takes_the_value_itself() -> None:
    gray = [[[0.5], [-1]], [[0], [1]]]
    bare, named = columns(PICTURE, [gray]), columns(PICTURE, [{"gray": gray}])
    assert bare["gray"].shape == (1, 2, 2, 1)
    np.testing.assert_array_equal(bare["gray"], named["gray"])


def test_bytes_come_as_base64_and_text_as_it_is() -> None:
    content = bytes(range(256))
    encoded = {"b64": base64.b64encode(content).decode()}
    asked = columns(FILE, [encoded, {"image_bytes": encoded}, "text"])
    assert asked["image_bytes"].tolist() == [content, content, b"text"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"purchases": "3"}, r"instances\[1\]\.purchases: .*valid integer, received '3'"),
        ({"purchases": True}, r"\.purchases: .*valid integer, received True"),
        ({"purchases": 2.5}, r"\.purchases: .*valid integer, received 2.5"),
        ({"purchases": None}, r"\.purchases: .*valid integer, received None"),
        ({"purchases": 2**63}, r"\.purchases: .*less than or equal to 9223372036854775807"),
        ({"purchases": -9223372036854775809.0}, r"\.purchases: .*valid integer, received -9.22"),
        ({"purchases": [3]}, r"\.purchases: .*valid integer"),
        ({"revenue": "12.5"}, r"\.revenue: .*valid number, received '12.5'"),
        ({"revenue": float("nan")}, r"\.revenue: .*finite number, received nan"),
        ({"revenue": float("inf")}, r"\.revenue: "),
        ({"revenue": 1e300}, r"\.revenue: .*less than or equal to 340282"),
        ({"country": 5}, r"\.country: .*text"),
        ({"country": "\ud800"}, r"\.country: .*surrogates"),
        ({"country": {"b64": "%%"}}, r"\.country: .*base64"),
        ({"country": {"b64": "QQ==", "more": 1}}, r"\.country: .*b64"),
        ({"colour": "red"}, r"\.colour: Extra inputs are not permitted"),
    ],
)
def test_a_row_that_is_not_as_the_signature_wants_it_is_named(change: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInstances, match=told):
        columns(CUSTOMER, [ROW, {**ROW, **change}])


@pytest.mark.parametrize("instance", [None, 5, "text", [], [ROW], {}])
def test_what_is_no_row_is_refused(instance: Any) -> None:
    with pytest.raises(BadInstances, match=r"instances\[0\]"):
        columns(CUSTOMER, [instance])


def test_only_the_first_row_with_mistakes_is_told_and_values_are_cut_short() -> None:
    """A request of millions of wrong rows must not become as many messages."""
    wrong = {**ROW, "purchases": "9" * 5000, "k" * 5000: 1}
    with pytest.raises(BadInstances, match=r"instances\[1\]\.purchases") as raised:
        columns(CUSTOMER, [ROW, *[wrong] * 10])
    assert "[2]" not in str(raised.value)
    assert len(str(raised.value)) < 600


def test_text_in_lists_becomes_an_array_of_that_rank() -> None:
    words = Signature("words", {"words": Tensor("words", "string", (None, 2))}, {})
    assert columns(words, [["a", "b"], ["c", "d"]])["words"].tolist() == [[b"a", b"b"], [b"c", b"d"]]
    with pytest.raises(BadInstances, match=r"same lengths|shape \[2\]"):
        columns(words, [["a", "b"], ["c"]])
    assert _as_json(rows({"words": np.array([[b"a", b"b"]], object)})) == [["a", "b"]]


def test_no_rows_are_refused() -> None:
    with pytest.raises(BadInstances, match="at least one instance"):
        columns(CUSTOMER, [])


def test_pictures_of_several_sizes_cannot_be_one_batch() -> None:
    with pytest.raises(BadInstances, match="same lengths"):
        columns(PICTURE, [[[[0.0]]], [[[0.0], [0.0]]]])
    with pytest.raises(BadInstances, match="same lengths"):
        columns(PICTURE, [[[[0.0], [0.0]], [[0.0]]]])


def test_a_picture_with_three_channels_is_refused() -> None:
    with pytest.raises(BadInstances, match=r"expected the shape \[any, any, 1\], received \[1, 1, 3\]"):
        columns(PICTURE, [[[[0.0, 0.0, 0.0]]]])


def test_columns_mean_the_same_as_rows() -> None:
    by_name = columns_of(CUSTOMER, {"purchases": [3, 3], "revenue": [12.5, 12.5], "country": ["Österreich"] * 2})
    for name, values in columns(CUSTOMER, [ROW, ROW]).items():
        np.testing.assert_array_equal(by_name[name], values)
    np.testing.assert_array_equal(columns_of(PICTURE, [[[[0.5]]]])["gray"], columns(PICTURE, [[[[0.5]]]])["gray"])


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (5, "the columns"),
        ({"purchases": [1]}, "the columns purchases, revenue, country"),
        ({"purchases": [1], "revenue": [1, 2], "country": ["a"]}, "lists of one length"),
        ({"purchases": 1, "revenue": [1], "country": ["a"]}, "lists of one length"),
        ({"purchases": [], "revenue": [], "country": []}, "at least one"),
        ({"purchases": ["1"], "revenue": [1], "country": ["a"]}, r"instances\[0\]\.purchases"),
    ],
)
def test_columns_that_do_not_fit_are_refused(inputs: Any, told: str) -> None:
    with pytest.raises(BadInstances, match=told):
        columns_of(CUSTOMER, inputs)


def _as_json(value: Any) -> Any:
    return json.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


def test_answers_of_several_outputs_are_objects_that_keep_every_digit() -> None:
    total = np.array([0.1, 1e-30, 123456.79], np.float32)
    answer = {"total": total, "country": np.array([b"a", b"\xff", "é".encode()], object)}
    told = _as_json(rows(answer))
    assert [row["country"] for row in told] == ["a", {"b64": "/w=="}, "é"]
    np.testing.assert_array_equal(np.array([row["total"] for row in told], np.float32), total)
    assert _as_json(by_column(answer))["country"] == ["a", {"b64": "/w=="}, "é"]


def test_an_answer_of_one_output_is_the_values() -> None:
    assert _as_json(rows({"rgb": np.zeros((2, 1, 1, 3), np.float32)})) == [[[[0, 0, 0]]]] * 2
    assert _as_json(rows({"png_bytes": np.array([b"png"], object)})) == [{"b64": "cG5n"}]
    assert _as_json(by_column({"rgb": np.zeros((1, 1, 1, 3), np.float32)})) == [[[[0, 0, 0]]]]
