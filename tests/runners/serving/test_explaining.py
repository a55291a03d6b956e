"""Explanations of a saved model's answers, and the form in which Vertex AI's client reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spending
from numpy.typing import NDArray

from models.clv import MODEL, features
from models.colorizer import MODEL as COLORIZER
from pipeline.contract import Explanation
from runners.serving import explaining
from runners.serving.explaining import explain, vertex_shape, why_not
from runners.serving.loaded import Columns, LoadedModel

assert isinstance(MODEL.explanation, Explanation)
EXPLANATION = MODEL.explanation


ALL = 700
"""So many paths through 13 inputs would ask as much as all of their coalitions: the answer is exact."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return LoadedModel.load(spending.push(tmp_path_factory.mktemp("root")))


def values(columns: Columns, ask: Any, **options: Any) -> NDArray[Any]:
    return np.array([list(each.features.values()) for each in explain(ask, EXPLANATION, columns, **options)])


@pytest.mark.parametrize("paths", [50, 10])
def test_what_inputs_add_is_the_answer_less_that_to_the_unknown_customer(model: LoadedModel, paths: int) -> None:
    columns = spending.columns()
    answer = model.ask("serving_default", columns)[features.TOTAL]
    unknown = [{name: EXPLANATION.baseline[name] for name in columns}]
    baseline = model.ask("serving_default", spending.columns(unknown))[features.TOTAL][0]
    for row, why in enumerate(explain(model.ask, EXPLANATION, columns, paths=paths)):
        assert (why.instance, why.baseline) == (answer[row], baseline)
        assert sum(why.features.values()) == pytest.approx(answer[row] - baseline, rel=1e-6)


def test_inputs_that_the_answer_does_not_depend_on_add_nothing(model: LoadedModel) -> None:
    for row, why in enumerate(explain(model.ask, EXPLANATION, spending.columns(), paths=ALL)):
        assert [why.features[name] for name in ("customer_age", "tenure_days")] == pytest.approx([0, 0], abs=1e-4)
        assert (why.features["customer_country"] > 1) == (row % 2 == 1)  # France
        assert why.features["days_since_last_purchase"] == pytest.approx(0, abs=1e-4) if row == 0 else True
        assert why.approximation_error == 0


def test_the_baseline_itself_is_explained_by_nothing(model: LoadedModel) -> None:
    (why,) = explain(model.ask, EXPLANATION, spending.columns([dict(EXPLANATION.baseline)]))
    assert set(why.features.values()) == {0.0}
    assert (why.instance, why.approximation_error) == (why.baseline, 0)


def test_sampled_explanations_are_as_near_to_exact_ones_as_they_say(model: LoadedModel) -> None:
    columns = spending.columns(spending.ROWS[1:])
    exact = values(columns, model.ask, paths=ALL)
    sampled = explain(model.ask, EXPLANATION, columns, paths=20)
    off = values(columns, model.ask, paths=20) - exact
    for row, why in enumerate(sampled):
        assert 0 < why.approximation_error < 0.2
        assert np.linalg.norm(off[row]) / np.linalg.norm(exact[row]) < 3 * why.approximation_error


@pytest.mark.parametrize("paths", [50, 10])
def test_a_row_is_explained_alike_alone_among_others_and_in_small_parts(
    model: LoadedModel, paths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = spending.columns()
    together = values(columns, model.ask, paths=paths, seed=5)
    alone = [
        values({name: v[row : row + 1] for name, v in columns.items()}, model.ask, paths=paths, seed=5)[0]
        for row in range(7)
    ]
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-3)
    monkeypatch.setattr(explaining, "EVALUATIONS", 100)  # Fewer than the coalitions of a row.
    np.testing.assert_allclose(values(columns, model.ask, paths=paths, seed=5), together, rtol=1e-5, atol=1e-3)


def test_the_same_seed_explains_alike(model: LoadedModel) -> None:
    first, again, other = (values(spending.columns(), model.ask, paths=6, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_model_is_asked_in_few_large_batches_of_its_own_types(model: LoadedModel) -> None:
    asked: list[Columns] = []

    def ask(signature: str, columns: Columns) -> Any:
        asked.append(columns)
        return model.ask(signature, columns)

    explain(ask, EXPLANATION, spending.columns(spending.ROWS * 10))
    assert [len(columns["n_purchases"]) for columns in asked] == [
        7744,
        7744,
        7744,
        7744,
        2904,
    ]  # 70 rows of 484 coalitions
    for name, column in spending.columns().items():
        assert asked[0][name].dtype == column.dtype


def test_inputs_that_are_not_those_of_the_baseline_are_refused(model: LoadedModel) -> None:
    columns = spending.columns()
    columns["colour"] = columns.pop("tenure_days")
    with pytest.raises(ValueError, match=r"expected the inputs .*'tenure_days'\], received .*'colour'"):
        explain(model.ask, EXPLANATION, columns)


def test_an_output_that_is_no_single_number_is_refused() -> None:
    def two(signature: str, columns: Columns) -> dict[str, NDArray[Any]]:
        return {features.TOTAL: np.zeros((len(columns["n_purchases"]), 2))}

    with pytest.raises(ValueError, match=r"expected one number a row in total_monetary_value, received \(3388, 2\)"):
        explain(two, EXPLANATION, spending.columns())


# --- which models ----------------------------------------------------------------------------------------


def test_a_model_is_explained_or_says_why_not(model: LoadedModel) -> None:
    assert why_not(MODEL, model.signatures) is None
    assert why_not(COLORIZER, {}) == COLORIZER.explanation


def test_a_version_of_other_inputs_or_signatures_says_so(model: LoadedModel) -> None:
    assert "answers no total_monetary_value by serving_default" in str(why_not(MODEL, {}))
    signature = model.signatures["serving_default"]
    fewer = signature._replace(inputs={name: t for name, t in signature.inputs.items() if name != "tenure_days"})
    assert "are not those of the contract's baseline" in str(why_not(MODEL, {"serving_default": fewer}))


# --- Vertex AI's form ------------------------------------------------------------------------------------


def test_vertex_ais_client_reads_an_explanation(model: LoadedModel) -> None:
    from google.cloud.aiplatform_v1.types import prediction_service

    explained = explain(model.ask, EXPLANATION, spending.columns(spending.ROWS[1:]), paths=10)
    body = {"explanations": [vertex_shape(why, EXPLANATION) for why in explained], "deployedModelId": "1"}
    answer = prediction_service.ExplainResponse.from_json(json.dumps(body), ignore_unknown_fields=False)
    assert len(answer.explanations) == len(explained)
    for read, why in zip(answer.explanations, explained, strict=True):
        (attribution,) = read.attributions
        assert (attribution.baseline_output_value, attribution.instance_output_value) == (why.baseline, why.instance)
        assert dict(attribution.feature_attributions) == why.features
        assert attribution.approximation_error == why.approximation_error > 0
        assert attribution.output_name == features.TOTAL
        assert list(attribution.output_index) == []


def test_an_explanation_is_what_json_can_say(model: LoadedModel, tmp_path: Path) -> None:
    (why,) = explain(model.ask, EXPLANATION, spending.columns(spending.ROWS[:1]))
    written = json.dumps(vertex_shape(why, EXPLANATION), allow_nan=False)
    assert json.loads(written) == vertex_shape(why, EXPLANATION)
