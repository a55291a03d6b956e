"""Asks a saved model as a server would; `pipeline.serving_gate` runs it in a process of its own.

The process is fresh on purpose: nothing that training left in memory (variables, registered classes, custom
objects) can help the model to load. Imports TensorFlow but neither TFX nor TFMA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline.slice_metrics import RowMetricsConfig, Table, evaluate
from pipeline.verdict import Check, at_most, finite_or_none

RAW, EXAMPLES = "serving_default", "serving_examples"
BATCH = 4096
ONE_ROW = "one row = many rows"
Columns = dict[str, NDArray[Any]]
Answer = dict[str, NDArray[Any]]
Ask = Callable[[str, Mapping[str, Any]], Answer]


class Spec(BaseModel):
    """What to ask.

    Attributes:
      model: folder of the SavedModel.
      splits: split -> its TFRecord files, gzipped tf.Examples; every row of each is asked.
      features: feature -> TensorFlow type name, of all features in the examples.
      inputs: the features that a server is asked with.
      label, prediction: as in the contract.
      metrics: what is recomputed from the served answers.
      judged: the split whose rows are asked through every loader; the others give metrics only.
      tolerance: greatest relative difference between two answers to the same row.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    splits: dict[str, list[str]]
    features: dict[str, str]
    inputs: tuple[str, ...]
    label: str
    prediction: str
    metrics: RowMetricsConfig
    judged: str
    tolerance: float


class Report(BaseModel):
    """What came of it: the checks, and each split's metrics recomputed from served answers (None: undefined)."""

    checks: list[Check]
    metrics: dict[str, dict[str, float | None]]


class Refused(Exception):
    """A step failed in a way that makes the later ones pointless; carries its check."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.note)
        self.check = check


def check_model(spec: Spec) -> Report:
    """Asks the model through both loaders, raw and as tf.Examples, and recomputes its metrics."""
    checks: list[Check] = []
    metrics: dict[str, dict[str, float | None]] = {}
    try:
        ask = _attempt(spec, "loads, TensorFlow 2", lambda: _load_tf2(spec.model), checks)
        ask_tf1 = _attempt(spec, "loads, TensorFlow 1 style", lambda: _load_tf1(spec.model), checks)
        columns, records = _read(spec, spec.judged)
        served = _attempt(spec, "answers raw features", lambda: _ask_raw(ask, spec, columns), checks)
        checks.append(_finite(spec, served))
        for metric, step in {
            "tf.Examples = raw": lambda: _ask_examples(ask, spec, records),
            ONE_ROW: lambda: _ask_raw(ask, spec, {k: v[:1] for k, v in columns.items()}),
            "raw, TensorFlow 1 style = 2": lambda: _ask_raw(ask_tf1, spec, columns),
            "tf.Examples, TensorFlow 1 style = 2": lambda: _ask_examples(ask_tf1, spec, records),
        }.items():
            rows = 1 if metric == ONE_ROW else len(records)
            asked = {name: answer[:rows] for name, answer in served.items()}
            checks.append(_alike(spec, metric, asked, _attempt(spec, metric, step)))
        metrics[spec.judged] = _metrics(spec, columns, served)
        for split in set(spec.splits) - {spec.judged}:
            columns, _ = _read(spec, split)
            metrics[split] = _metrics(spec, columns, _ask_raw(ask, spec, columns))
    except Refused as refused:
        checks.append(refused.check)
    return Report(checks=checks, metrics=metrics)


# --- asking --------------------------------------------------------------------------------------------


def _load_tf2(path: str) -> Ask:
    model = tf.saved_model.load(path)
    missing = {RAW, EXAMPLES} - set(model.signatures)
    if missing:
        raise KeyError(f"no signature {' and '.join(sorted(missing))}; there are {sorted(model.signatures)}")

    def ask(signature: str, inputs: Mapping[str, Any]) -> Answer:
        answers = model.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: answer.numpy() for name, answer in answers.items()}

    ask.model = model  # type: ignore[attr-defined]  # signatures hold only weak references to their model
    return ask


def _load_tf1(path: str) -> Ask:
    """As TF Serving, BulkInferrer and the C++ and Java loaders do: a graph and a session, no Python objects."""
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    with graph.as_default():
        signatures = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], path).signature_def

    def ask(signature: str, inputs: Mapping[str, Any]) -> Answer:
        names = signatures[signature]
        feed = {names.inputs[name].name: value for name, value in inputs.items()}
        answers: Answer = session.run({name: tensor.name for name, tensor in names.outputs.items()}, feed)
        return answers

    return ask


def _ask_raw(ask: Ask, spec: Spec, columns: Columns) -> Answer:
    return _in_batches(
        len(columns[spec.label]), lambda part: ask(RAW, {name: columns[name][part] for name in spec.inputs})
    )


def _ask_examples(ask: Ask, spec: Spec, records: Sequence[bytes]) -> Answer:
    served = np.array([_only_inputs(record, spec.inputs) for record in records], dtype=object)
    return _in_batches(len(served), lambda part: ask(EXAMPLES, {"examples": served[part]}))


def _in_batches(rows: int, ask: Callable[[slice], Answer]) -> Answer:
    answers = [ask(slice(start, start + BATCH)) for start in range(0, rows, BATCH)]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _only_inputs(record: bytes, inputs: Sequence[str]) -> bytes:
    """A server is not told labels: leaves the inputs alone in a serialized tf.Example."""
    example = tf.train.Example.FromString(record)
    for name in set(example.features.feature) - set(inputs):
        del example.features.feature[name]
    serialized: bytes = example.SerializeToString()
    return serialized


def _read(spec: Spec, split: str) -> tuple[Columns, list[bytes]]:
    """Returns a split's features as arrays of shape [rows], and its records."""
    records = list(tf.data.TFRecordDataset(spec.splits[split], compression_type="GZIP").as_numpy_iterator())
    parsing = {name: tf.io.FixedLenFeature([], tf.as_dtype(kind)) for name, kind in spec.features.items()}
    parsed = tf.io.parse_example(tf.constant(records), parsing)
    return {name: column.numpy() for name, column in parsed.items()}, records


# --- judging -------------------------------------------------------------------------------------------


def _attempt(spec: Spec, metric: str, step: Callable[[], Any], passed: list[Check] | None = None) -> Any:
    """Runs a step; any failure of the model's is this gate's business, whatever its type."""
    try:
        result = step()
    except Exception as error:
        note = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        raise Refused(_no_error(spec, metric, note)) from error
    if passed is not None:
        passed.append(_no_error(spec, metric))
    return result


def _no_error(spec: Spec, metric: str, note: str = "") -> Check:
    value = "an error" if note else "no error"
    return Check(
        gate="serving", metric=metric, slice=spec.judged, bound="no error", value=value, passed=not note, note=note
    )


def _finite(spec: Spec, served: Answer) -> Check:
    """Counts answers that are no finite numbers; the output that is judged must be among them."""
    if spec.prediction not in served:
        raise Refused(_no_error(spec, f"answers {spec.prediction}", f"there are only {sorted(served)}"))
    bad = sum(int((~np.isfinite(answer)).sum()) for answer in served.values() if answer.dtype.kind == "f")
    return at_most(0, bad, gate="serving", metric="answers that are NaN or infinite", where=spec.judged)


def _alike(spec: Spec, metric: str, served: Answer, other: Answer) -> Check:
    """Compares two answers to the same rows, output by output."""
    worst, where = max((_difference(answer, other.get(name)), name) for name, answer in served.items())
    note = f"greatest relative difference, of output {where!r}"
    return at_most(spec.tolerance, worst, gate="serving", metric=metric, where=spec.judged, note=note)


def _difference(answer: NDArray[Any], other: NDArray[Any] | None) -> float:
    """Greatest difference relative to the larger magnitude, at least 1; infinite for another shape or no number."""
    if other is None or answer.shape != other.shape:
        return float("inf")
    ours, theirs = answer.astype(float), other.astype(float)
    with np.errstate(invalid="ignore"):
        worst = float(np.max(np.abs(ours - theirs) / np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), 1)))
    return worst if np.isfinite(worst) else float("inf")


def _metrics(spec: Spec, columns: Columns, served: Answer) -> dict[str, float | None]:
    features = {name: columns[name].astype(float) for name in spec.metrics.features()}
    table = Table(columns[spec.label].astype(float), served[spec.prediction].astype(float), features)
    return {name: finite_or_none(value) for name, value in evaluate(spec.metrics, table).items()}


def main(spec: str, report: str) -> None:
    """Reads the spec from a file, writes the report to one."""
    found = check_model(Spec.model_validate_json(Path(spec).read_text()))
    Path(report).write_text(found.model_dump_json(indent=1))
