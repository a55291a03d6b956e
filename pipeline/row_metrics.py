"""The bridge to TensorFlow Model Analysis: the contract's metrics, per slice, from all rows of the slice.

TFMA's own metrics are running sums, which know neither a naive rule, nor a rank, nor a part of a total. Here one
Beam combiner collects the few columns that the metrics read, and `pipeline.slice_metrics` computes at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray
from tensorflow_model_analysis.metrics import metric_types, metric_util

from pipeline.slice_metrics import RowMetricsConfig, Table, chosen, concatenate, evaluate, tabulate

NAME = "row_metrics"

_CHUNKS = 1024
"""One-row chunks that an accumulator holds before it joins them: bounds the memory of a large slice."""


class RowMetrics(metric_types.Metric):
    """TFMA metric that computes everything a `RowMetricsConfig` names, in one pass."""

    def __init__(self, config: dict[str, Any], name: str = NAME) -> None:
        """Takes a `RowMetricsConfig` as JSON; `name` is for TFMA, the numbers have the metrics' own names."""
        super().__init__(_computations, config=config, name=name)


def _computations(
    config: dict[str, Any], name: str, eval_config: Any = None, model_names: Iterable[str] = ("",)
) -> list[metric_types.MetricComputation]:
    parsed = RowMetricsConfig.model_validate(config)
    return [_computation(parsed, name, eval_config, model_name) for model_name in model_names]


def _computation(
    config: RowMetricsConfig, name: str, eval_config: Any, model_name: str
) -> metric_types.MetricComputation:
    return metric_types.MetricComputation(
        keys=[_key(name, model_name)],
        preprocessors=[_Tabulate(config, eval_config, model_name)],
        combiner=_Combiner(config, model_name),
    )


def _key(name: str, model_name: str) -> metric_types.MetricKey:
    """Thresholds by metric name look for keys that leave open whether the metric is weighted."""
    return metric_types.MetricKey(name=name, model_name=model_name, example_weighted=None)


class _Tabulate(metric_types.Preprocessor):
    """Keeps of each row what the metrics need, before rows are copied to their slices."""

    def __init__(self, config: RowMetricsConfig, eval_config: Any, model_name: str) -> None:
        super().__init__(name=f"{NAME}/{model_name}")
        self._config, self._eval_config, self._model_name = config, eval_config, model_name
        compared = any(metric.against_champion for metric in config.metrics)
        self._champion = _champion(eval_config, model_name) if compared else None

    def process(self, extracts: dict[str, Any]) -> Iterator[Table]:
        """Yields the table of one row. With a champion, its prediction is a dict by model: TFMA picks ours."""
        row = metric_util.to_standard_metric_inputs(extracts, include_any_feature=True)
        label, prediction = self._answer(row, self._model_name)
        features = {name: _entry(name, row.features.get(name, ())) for name in self._config.features()}
        champion = self._answer(row, self._champion)[1] if self._champion else None
        yield tabulate(self._config, label, prediction, features, self._further(row), champion)

    def _answer(self, row: Any, model_name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Label and prediction of a model."""
        (found,) = metric_util.to_label_prediction_example_weight(
            row, self._eval_config, model_name=model_name, flatten=False, squeeze=False
        )
        return _entry("label", found[0]), _entry("prediction", found[1])

    def _further(self, row: Any) -> dict[str, NDArray[Any]]:
        """The further outputs that the model answers: a champion of an earlier version may lack some.

        A model with one output answers the number itself, and no dict.
        """
        found = row.predictions
        if isinstance(found, Mapping) and self._model_name in found:
            found = found[self._model_name]
        answered = {name: found[name] for name in self._config.outputs if isinstance(found, Mapping) and name in found}
        return {name: _entry(name, value) for name, value in answered.items() if np.size(value) == 1}


def _champion(eval_config: Any, model_name: str) -> str | None:
    """Name of the model that another one is compared with, if there is one."""
    names = [spec.name for spec in eval_config.model_specs if spec.is_baseline] if eval_config else []
    return next((name for name in names if name != model_name), None)


_Chunks: TypeAlias = list[Table]


class _Combiner(beam.CombineFn):
    """Collects the rows of a slice as chunks, and computes at the end."""

    def __init__(self, config: RowMetricsConfig, model_name: str) -> None:
        self._config, self._model_name = config, model_name

    def create_accumulator(self) -> _Chunks:
        return []

    def add_input(self, chunks: _Chunks, row: Table) -> _Chunks:
        chunks.append(row)
        return self.compact(chunks) if len(chunks) >= _CHUNKS else chunks

    def merge_accumulators(self, accumulators: Iterable[_Chunks]) -> _Chunks:
        return [chunk for chunks in accumulators for chunk in chunks]

    def compact(self, chunks: _Chunks) -> _Chunks:
        return [concatenate(chunks)] if chunks else []

    def extract_output(self, chunks: _Chunks) -> dict[metric_types.MetricKey, float]:
        values = evaluate(self._config, _sorted(concatenate(chunks)))
        return {_key(name, self._model_name): value for name, value in values.items()}


def _entry(name: str, value: Any) -> NDArray[Any]:
    """Returns a row's value as an array with a leading axis of 1; numbers become float64."""
    array = np.asarray(value)
    if not array.size:
        raise ValueError(f"expected a value of {name!r} in each row; received a row without it")
    if array.dtype.kind in "OS":
        return array.astype(object).reshape(1)
    if array.shape == (1,):
        array = array[0]
    return (array.astype(np.float64) if array.dtype.kind in "fiub" else array)[np.newaxis]


def _sorted(table: Table) -> Table:
    """Puts the rows in one order, so that sums are the same to the last bit however Beam merged them."""
    columns = [table.label, table.prediction, table.naive, *table.features.values(), *table.measures.values()]
    columns += [*table.outputs.values(), *([] if table.champion is None else [table.champion])]
    numbers = [values for values in columns if values.dtype.kind == "f" and values.ndim == 1]
    return chosen(table, np.lexsort(numbers)) if numbers else table
