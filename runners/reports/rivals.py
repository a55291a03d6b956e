"""The candidate beside the champion, the naive rule and the model's other rules, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.contract import Metric, load
from pipeline.predictions import ACTUAL, NAIVE, PREDICTED
from pipeline.slice_metrics import RowMetricsConfig, Table, evaluate, loss
from pipeline.verdict import CANDIDATE, CHAMPION, JUDGED_SPLIT, OVERALL, finite_or_none
from runners.reports.facts import Facts
from runners.reports.words import meaning

NAIVE_RULE = "naive rule"
SPLITS = {JUDGED_SPLIT: "judged", "test": "reported", "train": "what it was fitted to"}
WAYS = {"lower": "lower", "higher": "higher", "zero": "nearer 0"}
"""Direction of a metric -> which values are better."""
Values = Mapping[str, float | None]


class Line(NamedTuple):
    """A metric: value of each rival, and who is best."""

    metric: str
    meaning: str
    way: str
    values: tuple[float | None, ...]
    best: tuple[bool, ...]


class Contest(NamedTuple):
    """The rivals on a split."""

    split: str
    what: str
    rows: float | None
    rivals: tuple[str, ...]
    lines: tuple[Line, ...]
    says: str


def contests(facts: Facts) -> list[Contest]:
    """Returns the rivals side by side, split by split."""
    found = [_contest(facts, split, measured(facts, split)) for split in SPLITS]
    return [contest for contest in found if contest]


def measured(facts: Facts, split: str) -> dict[str, Values]:
    """Returns who predicts -> metric -> value on a split; None where a metric has no value.

    What is a single number a row is reckoned from the rows; of other answers the record has the candidate's values.
    The champion was asked about the eval split alone, by the Evaluator.
    """
    champion = facts.result.slices.get(CHAMPION, {}).get(OVERALL) if split == JUDGED_SPLIT else None
    table = _numbers(facts, split)
    if table is None:
        rivals: dict[str, Values | None] = {CANDIDATE: facts.result.metrics.get(split), CHAMPION: champion}
    else:
        rules = {name: _metrics(facts, table, answers) for name, answers in _rules(facts, table).items()}
        outputs = {name: _column(table, name) for name in facts.model.outputs if name in table.column_names}
        candidate = _metrics(facts, table, _column(table, PREDICTED), outputs)
        naive = _metrics(facts, table, _column(table, NAIVE))
        rivals = {CANDIDATE: candidate, CHAMPION: champion, NAIVE_RULE: naive, **rules}
    return {name: values for name, values in rivals.items() if values}


def naive_on(facts: Facts, where: str) -> Values:
    """Returns the naive rule's metrics on a slice of the judged split; none where its rows are not known."""
    table = _numbers(facts, JUDGED_SPLIT)
    feature, _, value = where.partition("=")
    if table is not None and where != OVERALL:
        known = feature in table.column_names
        table = table.filter(pc.equal(pc.cast(table.column(feature), pa.string()), value)) if known else None
    return _metrics(facts, table, _column(table, NAIVE)) if table else {}


def without_columns(facts: Facts) -> list[str]:
    """Returns the model's rules that read what is not kept of this run's rows."""
    table = _numbers(facts, JUDGED_SPLIT)
    return [] if table is None else [name for name in facts.model.rules if name not in _rules(facts, table)]


def _numbers(facts: Facts, split: str) -> pa.Table | None:
    """The rows of a split, where an answer is a single number."""
    table = None if facts.model.measure else facts.predictions.get(split)
    return table if table and {ACTUAL, PREDICTED, NAIVE} <= set(table.column_names) else None


def _rules(facts: Facts, table: pa.Table) -> dict[str, NDArray[np.float64]]:
    columns = {name: _column(table, name) for name in table.column_names}
    found = {}
    for name, path in facts.model.rules.items():
        try:
            found[name] = load(path)(columns, facts.result.settings.get("features", {}))
        except KeyError:  # A record of before its column was kept.
            continue
    return found


def _metrics(
    facts: Facts,
    table: pa.Table,
    answers: NDArray[np.float64],
    outputs: Mapping[str, NDArray[np.float64]] | None = None,
) -> Values:
    """The contract's metrics, as the gates compute them, of any answers to the rows; rules have no further outputs."""
    columns = {name: _column(table, name) for name in table.column_names}
    config = RowMetricsConfig(
        metrics=facts.model.metrics,
        bounds={},
        naive=facts.model.naive,
        naive_features=(),
        feature_settings={},
        weight=facts.model.weight,
        min_slice_rows=1,
        code="",
    )
    nothing = dict.fromkeys(facts.model.outputs, np.full(len(answers), np.nan))
    values = evaluate(
        config, Table(columns[ACTUAL], answers, columns[NAIVE], columns, {}, nothing | dict(outputs or {}))
    )
    return {name: finite_or_none(value) for name, value in values.items()}


def _column(table: pa.Table, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = table.column(name).to_numpy()
    return values


def _contest(facts: Facts, split: str, rivals: Mapping[str, Values]) -> Contest | None:
    if CANDIDATE not in rivals:
        return None
    metrics = [metric for metric in facts.model.metrics if not metric.against_champion]
    lines = tuple(_line(facts, metric, list(rivals.values())) for metric in metrics)
    says = _winners(list(rivals), lines) if len(rivals) > 1 else ""
    return Contest(split, SPLITS[split], rivals[CANDIDATE].get("rows"), tuple(rivals), lines, says)


def _line(facts: Facts, metric: Metric, rivals: list[Values]) -> Line:
    values = tuple(one.get(metric.name) for one in rivals)
    losses = [loss(metric, value) for value in values if value is not None and metric.better]
    least = min(losses) if len(losses) > 1 else None
    best = tuple(value is not None and loss(metric, value) == least for value in values)
    return Line(metric.name, meaning(facts.model, metric.name), WAYS.get(metric.better or "", "neither"), values, best)


def _winners(rivals: list[str], lines: tuple[Line, ...]) -> str:
    """Says who is best in how many metrics; those who are equal are best together."""
    compared = [line for line in lines if any(line.best)]
    candidate, *others = (sum(line.best[place] for line in compared) for place in range(len(rivals)))
    told = [f", {who} in {won}" for who, won in zip(rivals[1:], others, strict=True) if won]
    return f"The candidate is best in {candidate} of {len(compared)} metrics{''.join(told)}."
