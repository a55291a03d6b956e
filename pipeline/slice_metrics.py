"""The contract's metrics on the rows of one slice, and how far they are from their bounds.

Beside each bounded metric stand companions, on which the Evaluator's thresholds are set:

- `<metric>/shortfall`: distance to the missed bound, 0 if met, inf if the metric has no finite value;
- `<metric>/sliced_shortfall/<feature>` (sliced bounds): the same on a slice by this feature, but 0 where it has fewer
  than `min_slice_rows` rows. TFMA's own `min_slice_size` removes a small slice's metrics, which refuses the whole
  model. Which slice it is, is read from the rows: TFMA tells a metric nothing of it, and refuses a model where a
  slice has a threshold of its own and no rows;
- `<metric>/loss` (bounds with `worsening`): what to minimise, whichever direction the metric has; inf if the
  metric has no value, so a champion that has none cannot block a candidate that has.

A metric against a champion has no value where there is none, and a shortfall of 0.

Imports no TensorFlow: the serving gate's fresh process computes the same numbers from served answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
      outputs: what is kept of the answers besides label and prediction.
      measure: dotted path of what is kept of a row's answers, or None for the answers themselves.
      feature_settings: the settings that it is given, as JSON.
      weight: feature that weighs a row in totals, or None for 1 each.
      slices: features by whose values the metrics are sliced.
      min_slice_rows: sliced bounds hold from so many rows.
      code: digest of the code of the metrics. TFX hashes no code, and Evaluator takes no other property.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[Metric, ...]
    bounds: dict[str, Bound]
    naive: str
    naive_features: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    measure: str | None = None
    feature_settings: dict[str, Any]
    weight: str | None
    slices: tuple[str, ...] = ()
    min_slice_rows: int
    code: str

    def features(self) -> list[str]:
        """Names of the features that are read of a row, sorted."""
        return sorted({*self.naive_features, *self.kept()})

    def kept(self) -> list[str]:
        """Names of those that the metrics still need when the naive rule has spoken, sorted."""
        sliced = {where.partition("=")[0] for bound in self.bounds.values() for where in bound.at}
        return sorted(sliced.union(filter(None, [self.weight, *(metric.minus for metric in self.metrics)])))


class Table(NamedTuple):
    """What the metrics need of the rows of a slice: arrays whose first axis is the row; numbers are float64.

    Label, prediction and naive prediction are [rows], or [rows, 0] where the row's `measures` stand for them. Further
    outputs are [rows], NaN where the model does not answer them; `champion` is a prediction as well.
    """

    label: NDArray[Any]
    prediction: NDArray[Any]
    naive: NDArray[Any]
    features: Mapping[str, NDArray[Any]]
    measures: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]] = {}
    champion: NDArray[Any] | None = None


def tabulate(
    config: RowMetricsConfig,
    label: NDArray[Any],
    prediction: NDArray[Any],
    features: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]] | None = None,
    champion: NDArray[Any] | None = None,
) -> Table:
    """Returns what the metrics need of a batch of rows; of pictures, say, a few sums instead of all pixels.

    Args:
      config: what will be computed.
      label: of the rows, [rows].
      prediction: of the model, [rows, ...].
      features: those of `config.features()`, [rows] each.
      outputs: those of `config.outputs` that the model answers, [rows] each.
      champion: its prediction, if there is one to compare with.

    Raises:
      ValueError: a prediction or a further output differs from the label in shape.
    """
    inputs = {name: features[name] for name in config.naive_features}
    naive = np.asarray(load(config.naive)(inputs, config.feature_settings))
    kept = {name: features[name] for name in config.kept()}
    further = _further(config, outputs or {}, len(label))
    if config.measure is None:
        _same_shape("a prediction of the label's", prediction.shape, label.shape)
        _same_shape("a naive prediction of the label's", naive.shape, label.shape)
        return Table(label, prediction, naive.astype(np.float64), kept, {}, further, champion)
    _same_shape("a prediction of the naive prediction's", prediction.shape, naive.shape)
    measures = load(config.measure)(Answers(label, prediction, naive, inputs))
    nothing = np.empty((len(label), 0))
    numbers = {name: np.asarray(values, np.float64) for name, values in measures.items()}
    return Table(nothing, nothing, nothing, kept, numbers, further)


def _further(config: RowMetricsConfig, outputs: Mapping[str, NDArray[Any]], rows: int) -> dict[str, NDArray[Any]]:
    found = {name: outputs.get(name, np.full(rows, np.nan)) for name in config.outputs}
    for name, values in found.items():
        _same_shape(f"an output {name!r} of one number a row,", values.shape, (rows,))
    return found


def concatenate(tables: Sequence[Table]) -> Table:
    """Returns the rows of several tables as one."""
    return _each(np.concatenate, tables)


def chosen(table: Table, rows: NDArray[Any]) -> Table:
    """Returns some rows of a table, given by a mask, or in another order, given by their indices."""
    return _each(lambda parts: parts[0][rows], [table])


def _each(function: Callable[[Sequence[NDArray[Any]]], NDArray[Any]], tables: Sequence[Table]) -> Table:
    """A table whose columns are made of the same columns of others."""

    def made(parts: Sequence[Any]) -> Any:
        if isinstance(parts[0], Mapping):
            return {name: function([part[name] for part in parts]) for name in parts[0]}
        return None if parts[0] is None else function(parts)

    return Table(*(made(parts) for parts in zip(*tables, strict=True)))


def evaluate(config: RowMetricsConfig, table: Table) -> dict[str, float]:
    """Computes the metrics of a slice and their companions; the order of the rows does not matter.

    Raises:
      ValueError: the weight is not one number a row.
    """
    rows = _rows(config, table)
    count = len(rows.label)
    values = {ROWS: float(count)}
    for metric in config.metrics:
        value = _measured(metric, rows, table)
        if value is not None:
            values[metric.name] = value
        if metric.name in config.bounds:
            values |= _companions(config, metric, value, table)
    return values


def _measured(metric: Metric, rows: Rows, table: Table) -> float | None:
    """The value of a metric; None for one against a champion where there is none that answers numbers."""
    if metric.against_champion and (rows.champion is None or not np.isfinite(rows.champion).all()):
        return None
    return float(load(metric.function)(_minus(rows, table.features[metric.minus]) if metric.minus else rows))


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
            found[f"{name}={value}"] = evaluate(config, chosen(table, column == value))
    return found


def tabulate_naive(
    config: RowMetricsConfig, label: NDArray[Any], features: Mapping[str, NDArray[Any]], table: Table
) -> Table:
    """Returns a batch of rows as if the naive rule had been the model; see `tabulate`, which made `table` of them.

    The rule answers no further outputs.
    """
    if config.measure is None:
        return table._replace(prediction=table.naive, outputs=_further(config, {}, len(label)))
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
    """Returns what to minimise if the metric is to improve; inf for NaN, and where no direction is better."""
    return math.inf if math.isnan(value) or metric.better is None else LOSSES[metric.better](value)


def sliced_shortfall(metric: str, feature: str) -> str:
    """Returns the name of the companion for the slices by a feature."""
    return f"{metric}{SLICED_SHORTFALL}/{feature}"


def _companions(config: RowMetricsConfig, metric: Metric, value: float | None, table: Table) -> dict[str, float]:
    bound = config.bounds[metric.name]
    values = {metric.name + SHORTFALL: _missed(bound, value)}
    if bound.slices or bound.at:
        enough = len(table.label) >= config.min_slice_rows
        for feature in config.slices:
            held = bound.on(_slice(feature, table.features.get(feature)))
            values[sliced_shortfall(metric.name, feature)] = _missed(held, value) if enough else 0.0
    if bound.worsening is not None and value is not None:
        values[metric.name + LOSS] = loss(metric, value)
    return values


def _missed(bound: Range | None, value: float | None) -> float:
    return 0.0 if bound is None or value is None else shortfall(bound, value)


def _slice(feature: str, column: NDArray[Any] | None) -> str:
    """The slice by a feature that rows are, as TFMA calls it; empty if they are of several, or if no bound asks."""
    values = set() if column is None else set(column)
    if len(values) != 1:
        return ""
    (value,) = values
    text = value.decode() if isinstance(value, bytes) else f"{value:g}" if isinstance(value, float) else value
    return f"{feature}={text}"


def _rows(config: RowMetricsConfig, table: Table) -> Rows:
    weight = table.features[config.weight] if config.weight else np.ones(len(table.label))
    _same_shape("a weight of the label's", weight.shape, table.label.shape[:1])
    return Rows(table.label, table.prediction, table.naive, weight, table.measures, table.outputs, table.champion)


def _same_shape(what: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise ValueError(f"expected {what} shape {expected}; received {shape}")


def _minus(rows: Rows, known: NDArray[Any]) -> Rows:
    champion = None if rows.champion is None else rows.champion - known
    changed = {"label": rows.label - known, "prediction": rows.prediction - known, "naive": rows.naive - known}
    return rows._replace(**changed, champion=champion)
