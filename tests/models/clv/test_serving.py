"""The saved model, asked as a server asks it: TF2's loader here, the TF1-style loader in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.clv import MODEL, features, preprocessing, serving, trainer
from models.clv.training_settings import Training
from pipeline.contract import Explanation
from runners.serving.explaining import explain

ROWS = 50
TF1_LOADER = """
import json, sys
import tensorflow.compat.v1 as tf
folder, example = sys.argv[1], bytes.fromhex(sys.argv[2])
with tf.Session(graph=tf.Graph()) as session:
    signature = tf.saved_model.load(session, ["serve"], folder).signature_def["serving_examples"]
    outputs = {name: info.name for name, info in signature.outputs.items()}
    answer = session.run(outputs, {signature.inputs["examples"].name: [example, example]})
    print(json.dumps({name: values.tolist() for name, values in answer.items()}))
"""


@pytest.fixture(scope="module")
def folder(transformed: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("served") / "model")
    settings = Training(epochs=3, members=3).model_dump()
    trainer.train(
        examples=[transformed.examples], transform_folder=transformed.graph, serving_folder=path, settings=settings
    )
    return path


@pytest.fixture(scope="module")
def signatures(folder: str) -> Any:
    return tf.saved_model.load(folder).signatures


def _raw(table: Any, rows: int = ROWS) -> dict[str, tf.Tensor]:
    return {name: tf.constant(table[name][:rows], kind) for name, kind in serving.input_types().items()}


def _examples(raw: dict[str, tf.Tensor]) -> list[bytes]:
    return [_example({name: value[row].numpy() for name, value in raw.items()}) for row in range(ROWS)]


def _example(values: dict[str, Any]) -> bytes:
    example = tf.train.Example()
    for name, value in values.items():
        kind = {tf.int64: "int64_list", tf.float32: "float_list", tf.string: "bytes_list"}
        getattr(example.features.feature[name], kind[serving.input_types()[name]]).value.append(value)
    answer: bytes = example.SerializeToString()
    return answer


def test_inputs_are_the_raw_features_only(signatures: Any) -> None:
    named = signatures["serving_default"].structured_input_signature[1]
    assert set(named) == set(features.INPUTS)
    for name, spec in named.items():
        assert (spec.shape.as_list(), spec.dtype) == ([None], serving.input_types()[name])


def test_total_is_past_plus_future_and_future_is_never_negative(signatures: Any, table: Any) -> None:
    answer = signatures["serving_default"](**_raw(table))
    assert set(answer) == set(features.OUTPUTS)
    assert answer[features.FUTURE].shape == (ROWS,)
    assert answer[features.FUTURE].numpy().min() >= 0
    past = table[features.PAST][:ROWS]
    np.testing.assert_allclose(answer[features.TOTAL], past + answer[features.FUTURE].numpy(), rtol=1e-6)


@pytest.mark.parametrize("signature", ["serving_examples", "transform_features"])
def test_examples_are_answered_as_raw_features_are(signatures: Any, table: Any, signature: str) -> None:
    raw = _raw(table)
    expected = signatures["serving_default"](**raw)
    answer = signatures[signature](examples=tf.constant(_examples(raw)))
    for name in features.OUTPUTS:
        np.testing.assert_allclose(answer[name], expected[name], rtol=1e-6)


def test_an_explanation_starts_from_a_customer_who_is_average_and_ends_at_the_answer(
    signatures: Any, table: Any
) -> None:
    def ask(signature: str, columns: Any) -> Any:
        tensors = {name: tf.constant(columns[name], kind) for name, kind in serving.input_types().items()}
        return {name: answer.numpy() for name, answer in signatures[signature](**tensors).items()}

    assert isinstance(MODEL.explanation, Explanation)
    columns = {name: table[name][:ROWS] for name in features.INPUTS}
    answer = ask("serving_default", columns)
    explained = explain(ask, MODEL.explanation, columns)
    average = {name: np.expm1(np.log1p(table[name]).mean(keepdims=True)) for name in features.NUMERIC_INPUTS}
    near = ask("serving_default", {**average, features.COUNTRY: np.array([b""], object)})[features.FUTURE]
    assert explained[0].baseline == pytest.approx(near[0], rel=0.2)
    for row, why in enumerate(explained):
        assert 0 < why.approximation_error < 0.1
        assert why.instance == pytest.approx(answer[features.TOTAL][row], rel=1e-5)
        assert why.baseline + sum(why.features.values()) == pytest.approx(why.instance, rel=1e-5)
    past = [why.features[features.PAST] for why in explained]
    assert np.corrcoef(past, columns[features.PAST])[0, 1] > 0.9


def test_transform_features_shows_what_the_network_is_fed_with(signatures: Any, table: Any) -> None:
    answer = signatures["transform_features"](examples=tf.constant(_examples(_raw(table))))
    assert set(answer) == {*features.OUTPUTS, preprocessing.NUMERIC, preprocessing.COUNTRY, preprocessing.BEFORE}
    assert answer[preprocessing.NUMERIC].shape == (ROWS, 2 * (len(features.NUMERIC_INPUTS) + preprocessing.DERIVED))
    assert (answer[preprocessing.BEFORE].numpy() == 0).all()


def test_a_missing_feature_is_answered_like_an_unknown_value(signatures: Any) -> None:
    unknown = {n: tf.constant([b"" if k == tf.string else -1], k) for n, k in serving.input_types().items()}
    raw = signatures["serving_default"](**unknown)
    empty = signatures["serving_examples"](examples=tf.constant([_example({})]))
    for name in features.OUTPUTS:
        np.testing.assert_array_equal(raw[name], empty[name])
    assert raw[features.TOTAL] == raw[features.FUTURE]
    assert 0 < raw[features.FUTURE].numpy()[0] < 1e6


def test_a_loader_of_the_tf1_kind_gives_the_same_answer(folder: str, signatures: Any, table: Any) -> None:
    raw = _raw(table)
    command = [sys.executable, "-c", TF1_LOADER, folder, _examples(raw)[0].hex()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    for name, expected in signatures["serving_default"](**raw).items():
        np.testing.assert_allclose(answer[name], [expected[0]] * 2, rtol=1e-6)
