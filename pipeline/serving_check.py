"""Asks a saved model as a server would; `pipeline.serving_gate` runs it in a process of its own.

The process is fresh on purpose: nothing that training left in memory (variables, registered classes, custom
objects) can help the model to load. Imports TensorFlow but neither TFX nor TFMA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import tensorflow as tf
from numpy.typing import NDArray
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict

from pipeline import illustrations, predictions
from pipeline.contract import Answers, Illustration, Request, load
from pipeline.latency import Clock, Latency
from pipeline.slice_metrics import (
    RowMetricsConfig,
    Table,
    concatenate,
    evaluate,
    evaluate_slices,
    tabulate,
    tabulate_naive,
)
from pipeline.verdict import Check, at_most, finite_or_none

EXAMPLES = "serving_examples"
BATCH = 64
"""Rows that are asked at once: so many pictures of 256 x 256 take .1 GB, and are in memory a dozen times."""
ALONE = 10
"""Rows that are asked once more, each alone."""
ONE_ROW = "one row = many rows"
MEASURABLE = "answers can be measured"
ILLUSTRATED = "pictures for the report"
TF1 = "TensorFlow 1 style"
Columns = dict[str, NDArray[Any]]
Answer = dict[str, NDArray[Any]]
Ask = Callable[[str, Mapping[str, Any]], Answer]


class Spec(BaseModel):
    """What to ask.

    Attributes:
      model: folder of the SavedModel.
      splits: split -> its TFRecord files, gzipped tf.Examples; every row of each is asked, of `sampled` some.
      features: feature -> TensorFlow type name, of all features in the examples.
      inputs: the features that a server is asked with.
      requests: the ways of asking besides tf.Examples. All others are compared with the first.
      label, prediction: as in the contract.
      metrics: what is recomputed from the served answers.
      described: features that are written of each row, beside its answers.
      slices: those of them by whose values the judged split's metrics are sliced.
      predictions: folder that receives `<split>.parquet`, see `pipeline.predictions`.
      judged: the split whose rows are asked through every loader; the others give metrics only.
      sampled: split -> rows at most that are asked, evenly chosen.
      tolerance: greatest relative difference between two answers to the same row.
      illustration: which rows of the judged split are written as pictures, if any.
      illustrations: folder that receives their file, see `pipeline.illustrations`.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    splits: dict[str, list[str]]
    features: dict[str, str]
    inputs: tuple[str, ...]
    requests: tuple[Request, ...]
    label: str
    prediction: str
    metrics: RowMetricsConfig
    described: tuple[str, ...]
    slices: tuple[str, ...] = ()
    predictions: str
    judged: str
    sampled: dict[str, int] = {}
    tolerance: float
    illustration: Illustration | None = None
    illustrations: str = ""


class Report(BaseModel):
    """What came of it.

    Attributes:
      checks: what was tried.
      metrics: split -> metric -> value, recomputed from served answers; None where it is undefined.
      slices: the judged split -> slice -> metric -> value.
      naive: split -> metric -> value, had the naive rule been the model; of splits that are asked whole.
      latency: how long answers took; None where there were none.
    """

    checks: list[Check]
    metrics: dict[str, dict[str, float | None]]
    slices: dict[str, dict[str, dict[str, float | None]]] = {}
    naive: dict[str, dict[str, float | None]] = {}
    latency: Latency | None = None


class Refused(Exception):
    """A step failed in a way that makes the later ones pointless; carries its check."""

    def __init__(self, check: Check) -> None:
        super().__init__(check.note)
        self.check = check


class _Batch(NamedTuple):
    """Some rows of a split: their features, [rows] each, and their serialized tf.Examples."""

    columns: Columns
    records: list[bytes]


class _Kept(NamedTuple):
    """What is kept of a batch that was asked: for the metrics, those of the naive rule, and for people."""

    table: Table
    naive: Table | None
    described: pa.Table


@dataclass
class _Judged:
    """What was seen of the judged split so far: non-finite answers, and the greatest difference by comparison."""

    bad: int = 0
    worst: dict[str, tuple[float, str]] = field(default_factory=dict)
    tolerance: dict[str, float] = field(default_factory=dict)

    def compare(self, metric: str, tolerance: float, served: Answer, other: Answer) -> None:
        """Remembers by how much two answers to the same rows differ, and in which output."""
        found = max((_difference(answer, other.get(name)), name) for name, answer in served.items())
        self.worst[metric] = max(found, self.worst.get(metric, found))
        self.tolerance[metric] = tolerance

    def checks(self, where: str) -> list[Check]:
        """Returns the checks of all that was seen."""
        checks = [at_most(0, self.bad, gate="serving", metric="answers that are NaN or infinite", where=where)]
        for metric, (value, output) in self.worst.items():
            note = f"greatest relative difference, of output {output!r}" if value > self.tolerance[metric] else ""
            checks.append(at_most(self.tolerance[metric], value, gate="serving", metric=metric, where=where, note=note))
        return checks


def check_model(spec: Spec) -> Report:
    """Asks the model through both loaders, in all ways; recomputes its metrics and writes its predictions.

    Memory grows by the numbers that are kept of a row, never by what it was asked with.
    """
    report, clock = Report(checks=[], metrics={}), Clock()
    try:
        ask = _attempt(spec, "loads, TensorFlow 2", lambda: _load_tf2(spec), report.checks)
        ask_tf1 = _attempt(spec, f"loads, {TF1}", lambda: _load_tf1(spec.model), report.checks)
        _finish(spec, spec.judged, _judge(spec, ask, ask_tf1, report.checks, clock), report)
        for split in (split for split in spec.splits if split != spec.judged):
            _finish(spec, split, list(_asked(spec, ask, split)), report)
        if spec.illustration and all(check.passed for check in report.checks):
            report.checks += _illustrate(spec, spec.illustration, ask)
    except Refused as refused:
        report.checks.append(refused.check)
    return report.model_copy(update={"latency": clock.read()})


def _judge(spec: Spec, ask: Ask, ask_tf1: Ask, checks: list[Check], clock: Clock) -> list[_Kept]:
    """Asks about every row of the judged split in every way; adds the checks, returns what is kept of the rows."""
    first, judged = spec.requests[0], _Judged()
    kept: list[_Kept] = []
    try:
        for batch in _read(spec, spec.judged):
            step = partial(_ask, ask, spec, first, batch)
            timed = clock.batch(step, len(batch.records))
            served = _attempt(spec, "answers raw features", timed, None if kept else checks)
            judged.bad += _not_finite(spec, served)
            kept.append(_attempt(spec, MEASURABLE, partial(_keep, spec, spec.judged, batch, served)))
            for metric, tolerance, way in _ways(spec, ask, ask_tf1, batch):
                judged.compare(metric, tolerance, served, _attempt(spec, metric, way))
            if len(kept) == 1:
                _ask_again(spec, ask, batch, served, judged, clock)
    finally:
        if kept:
            checks += judged.checks(spec.judged)
    return kept


def _ask_again(spec: Spec, ask: Ask, batch: _Batch, served: Answer, judged: _Judged, clock: Clock) -> None:
    """Asks once more about all rows of a batch, now that the model is warm, and about some of them alone."""
    first = spec.requests[0]
    _attempt(spec, "answers raw features", clock.batch(partial(_ask, ask, spec, first, batch), len(batch.records)))
    for row in range(min(ALONE, len(batch.records))):
        only = slice(row, row + 1)
        one = _Batch({name: column[only] for name, column in batch.columns.items()}, batch.records[only])
        alone = _attempt(spec, ONE_ROW, clock.alone(partial(_ask, ask, spec, first, one)))
        judged.compare(ONE_ROW, spec.tolerance, {name: answer[only] for name, answer in served.items()}, alone)


def _asked(spec: Spec, ask: Ask, split: str) -> Iterator[_Kept]:
    """Asks about the rows of a split in one way."""
    for batch in _read(spec, split):
        served = _attempt(spec, "answers raw features", partial(_ask, ask, spec, spec.requests[0], batch))
        yield _attempt(spec, MEASURABLE, partial(_keep, spec, split, batch, served))


def _ways(spec: Spec, ask: Ask, ask_tf1: Ask, batch: _Batch) -> Iterator[tuple[str, float, Callable[[], Answer]]]:
    """Yields every other way to ask about a batch: its name, the tolerance, and the asking itself."""
    first, *others = spec.requests
    yield "tf.Examples = raw", spec.tolerance, partial(_ask_examples, ask, spec, batch)
    yield f"raw, {TF1} = 2", spec.tolerance, partial(_ask, ask_tf1, spec, first, batch)
    yield f"tf.Examples, {TF1} = 2", spec.tolerance, partial(_ask_examples, ask_tf1, spec, batch)
    for request in others:
        tolerance = request.tolerance or spec.tolerance
        yield f"{request.signature} = raw", tolerance, partial(_ask, ask, spec, request, batch)
        yield f"{request.signature}, {TF1} = raw", tolerance, partial(_ask, ask_tf1, spec, request, batch)


# --- asking --------------------------------------------------------------------------------------------


def _load_tf2(spec: Spec) -> Ask:
    model = tf.saved_model.load(spec.model)
    missing = {EXAMPLES, *(request.signature for request in spec.requests)} - set(model.signatures)
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


def _ask(ask: Ask, spec: Spec, request: Request, batch: _Batch) -> Answer:
    inputs = {name: batch.columns[name] for name in spec.inputs}
    answers = ask(request.signature, load(request.inputs)(inputs) if request.inputs else inputs)
    return dict(load(request.outputs)(answers)) if request.outputs else answers


def _ask_examples(ask: Ask, spec: Spec, batch: _Batch) -> Answer:
    served = [_only_inputs(record, spec.inputs) for record in batch.records]
    return ask(EXAMPLES, {"examples": np.array(served, dtype=object)})


def _only_inputs(record: bytes, inputs: Sequence[str]) -> bytes:
    """A server is not told labels: leaves the inputs alone in a serialized tf.Example."""
    example = tf.train.Example.FromString(record)
    for name in set(example.features.feature) - set(inputs):
        del example.features.feature[name]
    serialized: bytes = example.SerializeToString()
    return serialized


def _read(spec: Spec, split: str, only: Sequence[int] | None = None) -> Iterator[_Batch]:
    """Yields the rows of a split, some at a time, in their order; only those of some indices if they are given."""
    parsing = {name: tf.io.FixedLenFeature([], tf.as_dtype(kind)) for name, kind in spec.features.items()}
    rows = _records(spec, split)
    if only is not None:
        rows = rows.enumerate().filter(lambda row, _: tf.reduce_any(row == only)).map(lambda _, record: record)
    for records in rows.batch(BATCH):
        parsed = tf.io.parse_example(records, parsing)
        yield _Batch({name: column.numpy() for name, column in parsed.items()}, list(records.numpy()))


def _records(spec: Spec, split: str) -> tf.data.Dataset:
    """The serialized rows of a split; of one that is sampled every so many: rows are sorted, the first ones alike."""
    records = tf.data.TFRecordDataset(spec.splits[split], compression_type="GZIP")
    if split not in spec.sampled:
        return records
    count = int(records.reduce(np.int64(0), lambda total, _: total + 1))
    return records.shard(max(1, -(-count // spec.sampled[split])), 0)


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


def _not_finite(spec: Spec, served: Answer) -> int:
    """Counts answers that are no finite numbers; the outputs that are judged and kept must be among them."""
    for name in (spec.prediction, *spec.metrics.outputs):
        if name not in served:
            raise Refused(_no_error(spec, f"answers {name}", f"there are only {sorted(served)}"))
    return sum(int((~np.isfinite(answer)).sum()) for answer in served.values() if answer.dtype.kind == "f")


def _difference(answer: NDArray[Any], other: NDArray[Any] | None) -> float:
    """Greatest difference relative to the larger magnitude, at least 1; infinite for another shape or no number."""
    if other is None or answer.shape != other.shape:
        return float("inf")
    ours, theirs = answer.astype(float), other.astype(float)
    with np.errstate(invalid="ignore"):
        worst = float(np.max(np.abs(ours - theirs) / np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), 1)))
    return worst if np.isfinite(worst) else float("inf")


def _keep(spec: Spec, split: str, batch: _Batch, served: Answer) -> _Kept:
    features = {name: _numbers(batch.columns[name]) for name in spec.metrics.features()}
    label, prediction = _numbers(batch.columns[spec.label]), _numbers(served[spec.prediction])
    outputs = {name: _numbers(served[name]) for name in spec.metrics.outputs}
    table = tabulate(spec.metrics, label, prediction, features, outputs)
    naive = None if split in spec.sampled else tabulate_naive(spec.metrics, label, features, table)
    return _Kept(table, naive, predictions.describe({name: batch.columns[name] for name in spec.described}, table))


def _numbers(column: NDArray[Any]) -> NDArray[Any]:
    return column if column.dtype.kind == "O" else column.astype(float)


def _finish(spec: Spec, split: str, kept: Sequence[_Kept], report: Report) -> None:
    """Writes the rows of a split that was asked, and reports its metrics."""
    described = predictions.write([batch.described for batch in kept], Path(spec.predictions) / f"{split}.parquet")
    table = concatenate([batch.table for batch in kept])
    report.metrics[split] = _finite(evaluate(spec.metrics, table))
    if naive := [batch.naive for batch in kept if batch.naive]:
        report.naive[split] = _finite(evaluate(spec.metrics, concatenate(naive)))
    if split == spec.judged:
        features = {name: described.column(name).to_pylist() for name in spec.slices}
        found = evaluate_slices(spec.metrics, table, features)
        report.slices[split] = {name: _finite(values) for name, values in found.items()}


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: finite_or_none(value) for name, value in values.items()}


# --- illustrating --------------------------------------------------------------------------------------


def _illustrate(spec: Spec, illustration: Illustration, ask: Ask) -> list[Check]:
    """Writes the rows that people will look at as pictures; where that is not possible, a check says why.

    The check passes all the same. Unlike the measures, pictures judge nothing, so a mistake in the code that draws them
    is no reason to refuse a model that answers as it should. Passed checks with a note are shown with every verdict.
    """
    try:
        _write_illustrations(spec, illustration, ask)
    except Exception as error:
        note = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        return [_no_error(spec, ILLUSTRATED, note).model_copy(update={"bound": "made or not", "passed": True})]
    return []


def _write_illustrations(spec: Spec, illustration: Illustration, ask: Ask) -> None:
    """Asks about the chosen rows once more: nobody knew which they are before all had been asked about."""
    written = parquet.read_table(Path(spec.predictions) / f"{spec.judged}.parquet")
    chosen = illustrations.choose(written[illustration.by].to_numpy())
    if not chosen:
        raise ValueError(f"expected rows with a finite {illustration.by!r}; received none")
    rows = [row for _, row in chosen]
    drawn = [
        load(illustration.function)(_answers(spec, batch, _ask(ask, spec, spec.requests[0], batch)))
        for batch in _read(spec, spec.judged, sorted(rows))
    ]
    # What was read came in the split's order.
    places = [sorted(rows).index(row) for row in rows]
    pictures = {name: list(np.concatenate([part[name] for part in drawn])[places]) for name in drawn[0]}
    path = Path(spec.illustrations) / f"{spec.judged}.parquet"
    illustrations.write(written.take(rows), [kind for kind, _ in chosen], pictures, path)


def _answers(spec: Spec, batch: _Batch, served: Answer) -> Answers:
    features = {name: _numbers(batch.columns[name]) for name in spec.metrics.naive_features}
    naive = np.asarray(load(spec.metrics.naive)(features, spec.metrics.feature_settings))
    return Answers(_numbers(batch.columns[spec.label]), _numbers(served[spec.prediction]), naive, features)


def main(spec: str, report: str) -> None:
    """Reads the spec from a file, writes the report to one."""
    found = check_model(Spec.model_validate_json(Path(spec).read_text()))
    Path(report).write_text(found.model_dump_json(indent=1))
