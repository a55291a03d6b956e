"""The bridge to TFMA, without a pipeline: how rows are collected, and whose predictions are taken."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tensorflow_model_analysis.proto import config_pb2

from pipeline.contract import Answers, Metric, Rows
from pipeline.row_metrics import RowMetrics
from pipeline.slice_metrics import RowMetricsConfig


def naive(features: dict[str, NDArray[Any]], _: dict[str, Any]) -> NDArray[Any]:
    """The past."""
    return features["past"]


CONFIG = RowMetricsConfig(
    metrics=(
        Metric(name="mae", function="pipeline.metrics.mae"),
        Metric(name="bias", function="pipeline.metrics.total_bias", minus="past"),
    ),
    bounds={},
    naive=f"{__name__}.naive",
    naive_features=("past",),
    feature_settings={},
    weight="weight",
    min_slice_rows=3,
    code="",
)


class Computation:
    """What TFMA would run for a model, made from JSON as TFMA makes it: a preprocessor, then a Beam combiner."""

    def __init__(self, settings: RowMetricsConfig, eval_config: config_pb2.EvalConfig, model_name: str = "") -> None:
        metric = RowMetrics(config=json.loads(settings.model_dump_json()))
        assert RowMetrics.from_config(metric.get_config()).kwargs == metric.kwargs
        (found,) = metric.computations(eval_config=eval_config, model_names=[model_name])
        (self.preprocessor,), self.combiner = found.preprocessors, found.combiner

    def collect(self, rows: Iterable[dict[str, Any]]) -> Any:
        """An accumulator of rows."""
        fn = self.combiner
        return fn.add_inputs(
            fn.create_accumulator(), [table for row in rows for table in self.preprocessor.process(row)]
        )

    def values(self, accumulator: Any) -> dict[str, float]:
        """The emitted metrics by name."""
        return {key.name: found for key, found in self.combiner.extract_output(accumulator).items()}


def inputs(label: Any, prediction: Any, **features: Any) -> dict[str, Any]:
    """A row as TFMA hands it over: arrays of shape [1] for numbers and for bytes."""
    arrays = {name: _array([value]) for name, value in features.items()}
    return {"labels": _array(label), "predictions": prediction, "features": arrays}


def _array(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    return np.asarray(values, object) if array.dtype.kind == "S" else array


ONE_MODEL = config_pb2.EvalConfig(model_specs=[config_pb2.ModelSpec(label_key="label", prediction_key="total")])
TWO_MODELS = config_pb2.EvalConfig(
    model_specs=[
        config_pb2.ModelSpec(name="candidate", label_key="label", prediction_key="total"),
        config_pb2.ModelSpec(name="baseline", label_key="label", prediction_key="total", is_baseline=True),
    ]
)


def test_the_order_of_merging_does_not_change_a_bit() -> None:
    generator = np.random.default_rng(1)
    values = generator.gamma(1, 100, size=(3000, 3))
    rows = [inputs([a], {"total": [b], "other": [0.0]}, past=c, weight=1) for a, b, c in values]
    computed = Computation(CONFIG, ONE_MODEL)
    fn = computed.combiner
    parts = [computed.collect(part) for part in (rows[2000:], rows[:700], rows[700:2000])]
    merged = fn.compact(fn.merge_accumulators([*parts, fn.create_accumulator()]))
    assert computed.values(merged) == computed.values(computed.collect(rows))
    assert computed.values(merged)["rows"] == 3000


def test_an_accumulator_stays_small() -> None:
    rows = [inputs([1.0], {"total": [1.0]}, past=1, weight=1)] * 3000
    assert len(Computation(CONFIG, ONE_MODEL).collect(rows)) < 1500


def test_with_a_champion_each_model_has_its_own_prediction() -> None:
    row = inputs([5.0], {"candidate": {"total": [4.0]}, "baseline": {"total": [2.0]}}, past=1, weight=1)
    for name, error in (("candidate", 1.0), ("baseline", 3.0)):
        computed = Computation(CONFIG, TWO_MODELS, name)
        found = computed.combiner.extract_output(computed.collect([row]))
        assert {(key.model_name, value) for key, value in found.items() if key.name == "mae"} == {(name, error)}


def test_further_outputs_are_each_models_own_and_an_older_champion_may_lack_them() -> None:
    """What only the candidate answers has no value for the champion, and nothing breaks."""
    coverage = Metric(name="below", function=f"{__name__}.share_below")
    worse = Metric(name="worse", function="pipeline.metrics.mae_increase_lower", against_champion=True)
    settings = CONFIG.model_copy(update={"outputs": ("high",), "metrics": (*CONFIG.metrics, coverage, worse)})
    candidate = {"total": np.array([4.0]), "high": np.array([6.0])}

    def values(name: str, champion: Any) -> dict[str, float]:
        row = inputs([5.0], {"candidate": candidate, "baseline": champion}, past=1, weight=1)
        computed = Computation(settings, TWO_MODELS, name)
        return computed.values(computed.collect([row, row]))

    older: list[Any] = [{"total": np.array([5.0])}, {"total": np.array([5.0]), "high": np.array([[1.0, 2.0]])}]
    for champion in older:
        assert values("candidate", champion) == {"rows": 2, "mae": 1, "bias": -0.25, "below": 1, "worse": 1}
        found = values("baseline", champion)
        assert math.isnan(found.pop("below"))
        assert found == {"rows": 2, "mae": 0, "bias": 0}
    assert values("baseline", {"total": np.array([5.0]), "high": np.array([5.0])})["below"] == 0


def share_below(rows: Rows) -> float:
    return float(np.mean(rows.label < rows.outputs["high"])) if np.isfinite(rows.outputs["high"]).all() else math.nan


def test_one_model_alone_has_further_outputs_and_no_champion() -> None:
    worse = Metric(name="worse", function="pipeline.metrics.mae_increase_lower", against_champion=True)
    below = Metric(name="below", function=f"{__name__}.share_below")
    settings = CONFIG.model_copy(update={"outputs": ("high",), "metrics": (below, worse)})
    computed = Computation(settings, ONE_MODEL)
    row = inputs([5.0], {"total": np.array([4.0]), "high": np.array([6.0])}, past=1, weight=1)
    assert computed.values(computed.collect([row])) == {"rows": 1, "below": 1}


def test_images_keep_their_shape() -> None:
    changes = {"metrics": CONFIG.metrics[:1], "weight": None, "naive": f"{__name__}.black", "naive_features": ()}
    computed = Computation(CONFIG.model_copy(update=changes), ONE_MODEL)
    row = inputs(np.zeros((4, 4, 3)), {"total": np.ones((4, 4, 3), np.float32)})
    assert computed.values(computed.collect([row, row])) == {"rows": 2, "mae": 1}


def test_of_large_answers_only_their_measures_are_kept() -> None:
    """A label of bytes, an answer of 4 x 4 x 3 numbers: what a slice collects is one number a row."""
    changes = {
        "metrics": (Metric(name="error", function=f"{__name__}.mean_error"),),
        "weight": None,
        "naive": f"{__name__}.black",
        "naive_features": ("shade",),
        "measure": f"{__name__}.measure",
    }
    computed = Computation(CONFIG.model_copy(update=changes), ONE_MODEL)
    rows = [inputs([bytes([k, 0])], {"total": np.ones((4, 4, 3), np.float32)}, shade=b"dark") for k in range(5)]
    accumulator = computed.collect(rows)
    assert computed.values(accumulator) == {"rows": 5, "error": 1.4}
    assert sum(array.size for table in accumulator for array in table[:3]) == 0


def black(*_: Any) -> NDArray[Any]:
    """A black picture."""
    return np.zeros((1, 4, 4, 3))


def measure(answers: Answers) -> dict[str, NDArray[Any]]:
    """How far the prediction is from the label's first byte; every row is dark."""
    assert answers.features["shade"].tolist() == [b"dark"]
    assert answers.naive.shape == answers.prediction.shape
    return {"error": np.array([abs(label[0] - answers.prediction.mean()) for label in answers.label])}


def mean_error(rows: Rows) -> float:
    return float(rows.measures["error"].mean())


def test_a_row_without_a_feature_is_an_error_that_names_it() -> None:
    computed = Computation(CONFIG, ONE_MODEL)
    with pytest.raises(ValueError, match="expected a value of 'weight' in each row"):
        computed.collect([inputs([1.0], {"total": [1.0]}, past=1)])
