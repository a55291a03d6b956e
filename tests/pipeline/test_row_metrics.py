"""The bridge to TFMA, without a pipeline: how rows are collected, and whose predictions are taken."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray

from pipeline.contract import Metric
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


def combiner(settings: RowMetricsConfig, eval_config: tfma.EvalConfig, model_name: str = "") -> Any:
    """The Beam combiner that TFMA would run, made from JSON as TFMA makes it."""
    metric = RowMetrics(config=json.loads(settings.model_dump_json()))
    assert RowMetrics.from_config(metric.get_config()).kwargs == metric.kwargs
    (found,) = metric.computations(eval_config=eval_config, model_names=[model_name])
    return found.combiner


def inputs(label: Any, prediction: Any, **features: Any) -> tfma.metrics.StandardMetricInputs:
    """A row as TFMA hands it over: float32 arrays of shape [1]."""
    return tfma.metrics.StandardMetricInputs(
        labels=np.asarray(label, np.float32),
        predictions=prediction,
        features={name: np.asarray([value], np.float32) for name, value in features.items()},
    )


ONE_MODEL = tfma.EvalConfig(model_specs=[tfma.ModelSpec(label_key="label", prediction_key="total")])
TWO_MODELS = tfma.EvalConfig(
    model_specs=[
        tfma.ModelSpec(name="candidate", label_key="label", prediction_key="total"),
        tfma.ModelSpec(name="baseline", label_key="label", prediction_key="total", is_baseline=True),
    ]
)


def test_the_order_of_merging_does_not_change_a_bit() -> None:
    generator = np.random.default_rng(1)
    values = generator.gamma(1, 100, size=(3000, 3))
    rows = [inputs([a], {"total": [b], "other": [0.0]}, past=c, weight=1) for a, b, c in values]
    fn = combiner(CONFIG, ONE_MODEL)
    one = fn.add_inputs(fn.create_accumulator(), rows)
    parts = [fn.add_inputs(fn.create_accumulator(), part) for part in (rows[2000:], rows[:700], rows[700:2000])]
    merged = fn.compact(fn.merge_accumulators([*parts, fn.create_accumulator()]))
    assert fn.extract_output(merged) == fn.extract_output(one)
    assert {key.name: found for key, found in fn.extract_output(one).items()}["rows"] == 3000


def test_an_accumulator_stays_small() -> None:
    fn = combiner(CONFIG, ONE_MODEL)
    accumulator = fn.create_accumulator()
    for _ in range(3000):
        accumulator = fn.add_input(accumulator, inputs([1.0], {"total": [1.0]}, past=1, weight=1))
    assert len(accumulator) < 1500


def test_with_a_champion_each_model_has_its_own_prediction() -> None:
    row = inputs([5.0], {"candidate": {"total": [4.0]}, "baseline": {"total": [2.0]}}, past=1, weight=1)
    for name, error in (("candidate", 1.0), ("baseline", 3.0)):
        fn = combiner(CONFIG, TWO_MODELS, name)
        values = fn.extract_output(fn.add_input(fn.create_accumulator(), row))
        assert {(key.model_name, found) for key, found in values.items() if key.name == "mae"} == {(name, error)}


def test_images_keep_their_shape() -> None:
    changes = {"metrics": CONFIG.metrics[:1], "weight": None, "naive": f"{__name__}.black", "naive_features": ()}
    settings = CONFIG.model_copy(update=changes)
    fn = combiner(settings, ONE_MODEL)
    row = inputs(np.zeros((4, 4, 3)), {"total": np.ones((4, 4, 3), np.float32)})
    values = fn.extract_output(fn.add_inputs(fn.create_accumulator(), [row, row]))
    assert {key.name: found for key, found in values.items()} == {"rows": 2, "mae": 1}


def black(*_: Any) -> NDArray[Any]:
    """Two black pictures."""
    return np.zeros((2, 4, 4, 3))


def test_a_row_without_a_feature_is_an_error_that_names_it() -> None:
    fn = combiner(CONFIG, ONE_MODEL)
    with pytest.raises(ValueError, match="expected a value of 'weight' in each row"):
        fn.add_input(fn.create_accumulator(), inputs([1.0], {"total": [1.0]}, past=1))
