"""The model gate: what the Evaluator is asked, and what its answer means bound by bound.

The Evaluator itself is TFX's. It never raises: it blesses the model, or does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import DoubleValue
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers import eval_config_writer

from pipeline.contract import Bound, Metric, Model, Range, Settings, UserError
from pipeline.fingerprint import digest_code
from pipeline.row_metrics import NAME, RowMetrics
from pipeline.serving_check import EXAMPLES
from pipeline.slice_metrics import LOSS, ROWS, SHORTFALL, RowMetricsConfig, sliced_shortfall
from pipeline.verdict import CANDIDATE, CHAMPION, OVERALL, Check, bound_text, finite_or_none, number, value_or_text

# --- the question --------------------------------------------------------------------------------


def eval_config(model: Model, settings: Settings) -> config_pb2.EvalConfig:
    """Returns what TFX's Evaluator needs to know to judge a model.

    Raises:
      UserError: there is no bound: an Evaluator without thresholds blesses nothing, and gives no reason.
    """
    if not settings.gates.bounds:
        raise UserError(
            expected="at least one bound in gates.bounds",
            received="none",
            todo=f"bound one of the metrics of model {model.name!r}",
        )
    return config_pb2.EvalConfig(
        model_specs=[_model_spec(model)],
        slicing_specs=[config_pb2.SlicingSpec(), *_slices(model)],
        metrics_specs=[_metrics_spec(model, settings)],
    )


def row_metrics_config(model: Model, settings: Settings) -> RowMetricsConfig:
    """Returns what `RowMetrics` computes for a model."""
    return RowMetricsConfig(
        metrics=model.metrics,
        bounds=settings.gates.bounds,
        naive=model.naive,
        naive_features=model.naive_features,
        outputs=model.outputs,
        measure=model.measure,
        feature_settings=settings.features.model_dump(mode="json"),
        weight=model.weight,
        slices=model.slices,
        min_slice_rows=settings.gates.min_slice_rows,
        code=_code(model),
    )


def _code(model: Model) -> str:
    functions = [model.naive, *filter(None, [model.measure]), *(metric.function for metric in model.metrics)]
    return digest_code(RowMetrics.__module__, *sorted({dotted.rpartition(".")[0] for dotted in functions}))


def _model_spec(model: Model) -> config_pb2.ModelSpec:
    return config_pb2.ModelSpec(
        model_type=tfma.TF_GENERIC,
        signature_name=EXAMPLES,
        label_key=model.label,
        prediction_key=model.prediction,
    )


def _slices(model: Model) -> list[config_pb2.SlicingSpec]:
    return [config_pb2.SlicingSpec(feature_keys=[feature]) for feature in model.slices]


def _metrics_spec(model: Model, settings: Settings) -> config_pb2.MetricsSpec:
    config = row_metrics_config(model, settings).model_dump(mode="json")
    ours = config_pb2.MetricConfig(
        class_name=RowMetrics.__name__,
        module=RowMetrics.__module__,
        config=json.dumps({"name": NAME, "config": config}, sort_keys=True),
    )
    spec = config_pb2.MetricsSpec(metrics=[ours, config_pb2.MetricConfig(class_name="ExampleCount")])
    for metric, bound in settings.gates.bounds.items():
        for name, threshold in _thresholds(metric, bound, model):
            spec.per_slice_thresholds[name].thresholds.append(threshold)
    return spec


def _thresholds(metric: str, bound: Bound, model: Model) -> Iterator[tuple[str, config_pb2.PerSliceMetricThreshold]]:
    """Yields emitted metric names and their thresholds.

    All are bound to named slices: TFMA would apply a threshold without one to every slice.
    """
    met = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(upper_bound=DoubleValue(value=0)))
    overall = [config_pb2.SlicingSpec()]
    yield metric + SHORTFALL, config_pb2.PerSliceMetricThreshold(slicing_specs=overall, threshold=met)
    if bound.slices or bound.at:
        for feature, slices in zip(model.slices, _slices(model), strict=True):
            threshold = config_pb2.PerSliceMetricThreshold(slicing_specs=[slices], threshold=met)
            yield sliced_shortfall(metric, feature), threshold
    if bound.worsening is not None:
        change = config_pb2.MetricThreshold(change_threshold=_at_most(bound.worsening))
        yield metric + LOSS, config_pb2.PerSliceMetricThreshold(slicing_specs=overall, threshold=change)


def _at_most(worsening: float) -> config_pb2.GenericChangeThreshold:
    return config_pb2.GenericChangeThreshold(
        absolute=DoubleValue(value=worsening), direction=config_pb2.MetricDirection.LOWER_IS_BETTER
    )


# --- the answer ----------------------------------------------------------------------------------


_BySlice = dict[str, dict[str, float]]


def metric_values(evaluation_uri: str) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns who predicts -> slice -> metric -> value, for reports; None where a metric has no value.

    Args:
      evaluation_uri: folder that the Evaluator wrote.
    """
    names = {ROWS: False, **{metric.name: metric.against_champion for metric in _config(evaluation_uri).metrics}}
    found = {CANDIDATE: _values(evaluation_uri), CHAMPION: _values(evaluation_uri, tfma.BASELINE_KEY)}
    return {
        who: {where: _named(values, names) for where, values in slices.items()}
        for who, slices in found.items()
        if slices
    }


def _named(values: dict[str, float], names: dict[str, bool]) -> dict[str, float | None]:
    """The values of these names, without those against a champion where they were not measured.

    TFMA leaves out of a slice what it could not measure there.
    """
    known = [name for name, against_champion in names.items() if not against_champion or name in values]
    return {name: finite_or_none(values.get(name, math.nan)) for name in known}


def read_checks(evaluation_uri: str) -> list[Check]:
    """Lists every bound on every slice, and every comparison with the champion, as the Evaluator judged them.

    Bounds are those of the evaluation itself, which holds its own configuration. The list has a failed check if
    and only if the Evaluator did not bless the model.

    Args:
      evaluation_uri: folder that the Evaluator wrote.

    Raises:
      RuntimeError: the Evaluator blessed a model that misses a bound; this cannot happen to a sound evaluation.
    """
    config = _config(evaluation_uri)
    candidate, champion = _values(evaluation_uri), _values(evaluation_uri, tfma.BASELINE_KEY)
    checks = [check for metric in config.metrics for check in _checks(config, metric, candidate, champion)]
    result = tfma.load_validation_result(evaluation_uri)
    agreed = all(check.passed for check in checks) == result.validation_ok
    if not agreed and result.validation_ok:
        raise RuntimeError(f"the Evaluator blessed a model that misses a bound: {checks}")
    return checks if agreed else [*checks, _unexplained(result)]


def _checks(config: RowMetricsConfig, metric: Metric, candidate: _BySlice, champion: _BySlice) -> Iterator[Check]:
    bound = config.bounds.get(metric.name)
    if bound is None:
        return
    for where in sorted(candidate, key=lambda name: (name != OVERALL, name)):
        held = bound if where == OVERALL else bound.on(where)
        if metric.against_champion and metric.name not in candidate[where]:
            if where == OVERALL:
                yield _not_compared(metric.name, bound, exists=bool(champion))
        elif held:
            yield _bound_check(metric.name, where, held, bound.reason, candidate[where], config.min_slice_rows)
    if bound.worsening is not None and champion:
        yield _champion_check(metric, bound.worsening, candidate[OVERALL], champion[OVERALL])


def _bound_check(metric: str, where: str, bound: Range, reason: str, found: dict[str, float], min_rows: int) -> Check:
    feature = where.partition("=")[0]
    missed = found[metric + SHORTFALL if where == OVERALL else sliced_shortfall(metric, feature)]
    small = where != OVERALL and found[ROWS] < min_rows
    passed = missed <= 0
    note = f"only {number(found[ROWS])} rows, bounds hold from {min_rows}" if small else ""
    return Check(
        gate="model",
        metric=metric,
        slice=where,
        bound=bound_text(bound),
        value=value_or_text(found[metric]),
        shortfall=finite_or_none(missed) if not passed else None,
        passed=passed,
        note=note if passed else reason,
        binding=not small,
    )


def _not_compared(metric: str, bound: Range, *, exists: bool) -> Check:
    """A metric against a champion was not computed: there is nothing to compare with, and so none to refuse."""
    note = (
        "the champion answers no finite number on some rows" if exists else "there is no champion to compare with yet"
    )
    return Check(gate="model", metric=metric, bound=bound_text(bound), value="not measured", passed=True, note=note)


def _champion_check(metric: Metric, worsening: float, found: dict[str, float], champion: dict[str, float]) -> Check:
    worse = found[metric.name + LOSS] - champion[metric.name + LOSS]
    passed = worse <= worsening
    return Check(
        gate="model",
        metric=metric.name,
        bound=_champion_bound(metric, worsening, champion[metric.name]),
        value=value_or_text(found[metric.name]),
        shortfall=finite_or_none(worse - worsening) if not passed else None,
        passed=passed,
    )


def _champion_bound(metric: Metric, worsening: float, champion: float) -> str:
    other = f"the champion's {number(value_or_text(champion))}"
    if worsening == 0:
        return f"no worse than {other}"
    way = {"lower": "above", "higher": "below", "zero": "further from 0 than"}[metric.better or "lower"]
    return f"at most {number(worsening)} {way} {other}"


def _unexplained(result: Any) -> Check:
    """TFMA refused for a reason of its own, such as a slice that has no rows at all."""
    messages = [failure.message for found in result.metric_validations_per_slice for failure in found.failures]
    named = ["/".join(spec.feature_keys) or OVERALL for spec in result.missing_slices]
    missing = sorted(named, key=lambda name: (name != OVERALL, name))
    reasons = [*filter(None, messages), *(f"no rows in slice {name}" for name in missing)]
    return Check(
        gate="model",
        metric="blessing",
        bound="given by TensorFlow Model Analysis",
        value="refused",
        passed=False,
        note="; ".join(dict.fromkeys(reasons)),
    )


# --- the Evaluator's files -----------------------------------------------------------------------


def _values(evaluation_uri: str, model: str = "") -> _BySlice:
    """Returns slice -> emitted metric -> value of the candidate, or of the model of a given name."""
    wanted = {model} if model else {"", tfma.CANDIDATE_KEY}
    values: _BySlice = {}
    for found in tfma.load_metrics(evaluation_uri):
        for pair in found.metric_keys_and_values:
            if pair.key.model_name in wanted and not pair.key.is_diff:
                values.setdefault(_slice_name(found), {})[pair.key.name] = pair.value.double_value.value
    return values


def _slice_name(found: Any) -> str:
    """`overall`, or `feature=value`."""
    names = [f"{key.column}={_slice_value(key)}" for key in found.slice_key.single_slice_keys]
    return ", ".join(names) or OVERALL


def _slice_value(key: Any) -> str:
    value = getattr(key, key.WhichOneof("kind"))
    return value.decode() if isinstance(value, bytes) else str(value)


def _config(evaluation_uri: str) -> RowMetricsConfig:
    config, *_ = eval_config_writer.load_eval_run(evaluation_uri)
    (text,) = (metric.config for spec in config.metrics_specs for metric in spec.metrics if metric.module)
    return RowMetricsConfig.model_validate(json.loads(text)["config"])
