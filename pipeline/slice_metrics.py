"""The contract's metrics on the rows of one slice, and how far they are from their bounds.

Beside each bounded metric stand companions, on which the Evaluator's thresholds are set:

- `<metric>/shortfall`: distance to the missed bound, 0 if met, inf if the metric has no finite value;
- `<metric>/sliced_shortfall` (sliced bounds): the same, but 0 where a slice has fewer than `min_slice_rows` rows.
  TFMA's own `min_slice_size` removes a small slice's metrics, which refuses the whole model;
- `<metric>/loss` (bounds with `worsening`): what to minimise, whichever direction the metric has; inf if the
  metric has no value, so a champion that has none cannot block a candidate that has.

Imports no TensorFlow: the serving gate's fresh process computes the same numbers from served answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline.contract import LOSSES, Answers, Bound, Metric, Range, Rows, load
from pipeline.verdict import OVERALL

SHORTFALL = "/shortfall"
SLICED_SHORTFALL = "/sliced_shortfall"
LOSS = "/loss"
ROWS = "rows"
"""Name of the emitted number of rows, unweighted."""


class RowMetricsConfig(BaseModel):
    """What `RowMetrics` computes; travels as JSON in TFMA's MetricConfig.

    Attributes:
      metrics: what is computed.
      bounds: metric name -> bounds.
      naive: dotted path of the naive rule.
      naive_features: features that it and `measure` read.
      measure: dotted path of what is kept of a row's answers, or None for the answers themselves.
      feature_settings: the settings that it is given, as JSON.
      weight: feature that weighs a row in totals, or None for 1 each.
      min_slice_rows: sliced bounds hold from so many rows.
      code: digest of the code of the metrics. TFX hashes no code, and Evaluator takes no other property.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[Metric, ...]
    bounds: dict[str, Bound]
    naive: str
    naive_features: tuple[str, ...]
    measure: str | None = None
    feature_settings: dict[str, Any]
    weight: str | None
    min_slice_rows: int
    code: str

    def features(self) -> list[str]:
        """Names of the features that are read of a row, sorted."""
        return sorted({*self.naive_features, *self.kept()})

    def kept(self) -> list[str]:
        """Names of those that the metrics still need when the naive rule has spoken, sorted."""
        return sorted(set(filter(None, [self.weight, *(metric.minus for metric in self.metrics)])))


class Table(NamedTuple):
    """What the metrics need of the rows of a slice: arrays whose first axis is the row; numbers are float64.

    Label, prediction and naive prediction are [rows], or [rows, 0] where the row's `measures` stand for them.
    """

    label: NDArray[Any]
    prediction: NDArray[Any]
    naive: NDArray[Any]
    features: Mapping[str, NDArray[Any]]
    measures: Mapping[str, NDArray[Any]]


def tabulate(
    config: RowMetricsConfig, label: NDArray[Any], prediction: NDArray[Any], features: Mapping[str, NDArray[Any]]
) -> Table:
    """Returns what the metrics need of a batch of rows; of pictures, say, a few sums instead of all pixels.

    Args:
      config: what will be computed.
      label: of the rows, [rows].
      prediction: of the model, [rows, ...].
      features: those of `config.features()`, [rows] each.

    Raises:
      ValueError: prediction or naive prediction differ from the label in shape.
    """
    inputs = {name: features[name] for name in config.naive_features}
    naive = np.asarray(load(config.naive)(inputs, config.feature_settings))
    kept = {name: features[name] for name in config.kept()}
    if config.measure is None:
        _same_shape("a prediction of the label's", prediction.shape, label.shape)
        _same_shape("a naive prediction of the label's", naive.shape, label.shape)
        return Table(label, prediction, naive.astype(np.float64), kept, {})
    _same_shape("a prediction of the naive prediction's", prediction.shape, naive.shape)
    measures = load(config.measure)(Answers(label, prediction, naive, inputs))
    nothing = np.empty((len(label), 0))
    numbers = {name: np.asarray(values, np.float64) for name, values in measures.items()}
    return Table(nothing, nothing, nothing, kept, numbers)


def concatenate(tables: Sequence[Table]) -> Table:
    """Returns the rows of several tables as one."""
    label, prediction, naive = (np.concatenate([table[part] for table in tables]) for part in range(3))
    return Table(label, prediction, naive, _joined([t.features for t in tables]), _joined([t.measures for t in tables]))


def evaluate(config: RowMetricsConfig, table: Table) -> dict[str, float]:
    """Computes the metrics of a slice and their companions; the order of the rows does not matter.

    Raises:
      ValueError: the weight is not one number a row.
    """
    rows = _rows(config, table)
    count = len(rows.label)
    values = {ROWS: float(count)}
    for metric in config.metrics:
        part = _minus(rows, table.features[metric.minus]) if metric.minus else rows
        value = float(load(metric.function)(part))
        values[metric.name] = value
        if metric.name in config.bounds:
            values |= _companions(metric, config.bounds[metric.name], value, count >= config.min_slice_rows)
    return values


def evaluate_slices(
    config: RowMetricsConfig, table: Table, features: Mapping[str, Sequence[Any]]
) -> dict[str, dict[str, float]]:
    """Computes the metrics of all rows, and of the rows of each value of each feature.

    Args:
      config: what is computed.
      table: the rows.
      features: name -> its value in each row, [rows].

    Returns:
      Slice -> metric -> value. Slices are called as TFMA calls them: `overall`, `feature=value`.
    """
    found = {OVERALL: evaluate(config, table)}
    for name, values in features.items():
        column = np.array([str(value) for value in values], dtype=object)
        for value in sorted(set(column)):
            found[f"{name}={value}"] = evaluate(config, _chosen(table, column == value))
    return found


def tabulate_naive(
    config: RowMetricsConfig, label: NDArray[Any], features: Mapping[str, NDArray[Any]], table: Table
) -> Table:
    """Returns a batch of rows as if the naive rule had been the model; see `tabulate`, which made `table` of them."""
    if config.measure is None:
        return table._replace(prediction=table.naive)
    inputs = {name: features[name] for name in config.naive_features}
    return tabulate(config, label, np.asarray(load(config.naive)(inputs, config.feature_settings)), features)


def shortfall(bound: Range, value: float) -> float:
    """Returns the distance from a value to the bound that it misses: 0 if none, inf for NaN and infinity."""
    if not math.isfinite(value):
        return math.inf
    below = bound.lower - value if bound.lower is not None else 0.0
    above = value - bound.upper if bound.upper is not None else 0.0
    return max(0.0, below, above)


def loss(metric: Metric, value: float) -> float:
    """Returns what to minimise if the metric is to improve; inf for NaN."""
    return math.inf if math.isnan(value) else LOSSES[metric.better](value)


def _companions(metric: Metric, bound: Bound, value: float, enough_rows: bool) -> dict[str, float]:
    missed = shortfall(bound, value)
    values = {metric.name + SHORTFALL: missed}
    if bound.slices:
        values[metric.name + SLICED_SHORTFALL] = shortfall(bound.slices, value) if enough_rows else 0.0
    if bound.worsening is not None:
        values[metric.name + LOSS] = loss(metric, value)
    return values


def _rows(config: RowMetricsConfig, table: Table) -> Rows:
    weight = table.features[config.weight] if config.weight else np.ones(len(table.label))
    _same_shape("a weight of the label's", weight.shape, table.label.shape[:1])
    return Rows(table.label, table.prediction, table.naive, weight, table.measures)


def _chosen(table: Table, rows: NDArray[np.bool_]) -> Table:
    features, measures = ({k: v[rows] for k, v in part.items()} for part in (table.features, table.measures))
    return Table(table.label[rows], table.prediction[rows], table.naive[rows], features, measures)


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _same_shape(what: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise ValueError(f"expected {what} shape {expected}; received {shape}")


def _minus(rows: Rows, known: NDArray[Any]) -> Rows:
    changed = {"label": rows.label - known, "prediction": rows.prediction - known, "naive": rows.naive - known}
    return rows._replace(**changed)
