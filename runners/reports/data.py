"""The report's section "Data": what was read, how it was split, what the features hold, and what the data gate said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from markupsafe import Markup

from pipeline.contract import Query, Shown, load
from pipeline.ingestion.raw import RawReport
from pipeline.verdict import Check, sentence
from runners.reports import distances, exhibits, samples
from runners.reports.distributions import HEIGHT, WIDTH, Small, bins, small
from runners.reports.facts import Facts
from runners.reports.pages import render
from runners.reports.statistics import Described, describe, read_schema

PICTURED = ("train", "eval")
"""Splits whose distributions are drawn: the first as an area, the other as a line."""


class Row(NamedTuple):
    """Rows or files of the raw data of which the same became: `level` 1 for a part of the one above."""

    what: str
    rows: int
    level: int = 0


def section(facts: Facts) -> Markup | None:
    """Returns the section; None for a run that did not get as far as its data."""
    if not (facts.ingestion or facts.result.counts or facts.artifact("ExampleGen", "examples")):
        return None
    checks = [check for check in facts.result.checks if check.gate == "data"]
    return render(
        "data.html",
        facts=facts,
        missed=[sentence(check) for check in checks if not check.passed],
        checks=checks,
        closest=distances.closest(checks),
        raw=_raw(facts.ingestion, facts.result.counts),
        forbidden=_forbidden(facts),
        splits=_splits(facts),
        distances=distances.distances(checks),
        others=[check for check in checks if not distances.is_distance(check)],
        look=exhibits.attempt("What moved", lambda: _look(facts, checks)),
        features=exhibits.attempt("Statistics", lambda: _features(facts)),
        own=exhibits.attempt("The model's own view of the data", lambda: _own(facts)),
    )


def _raw(report: RawReport | None, counts: Mapping[str, int]) -> list[Row]:
    """What became of the raw data; of records without the report, what they counted."""
    if report is None:
        return [Row(what, rows) for what, rows in counts.items()]
    return [
        Row(f"{report.unit} read", report.rows_read),
        Row("unusable, put into quarantine", report.quarantined, 1),
        *(Row(reason, rows, 2) for reason, rows in report.quarantined_by_reason.items()),
        Row("usable", report.rows_usable, 1),
        *(Row(f"left out on purpose: {name}", rows, 2) for name, rows in report.left_out.items()),
        *(Row(f"forbidden: {name}", found.rows, 2) for name, found in report.forbidden.items()),
    ]


def _forbidden(facts: Facts) -> list[tuple[str, str, int, list[str]]]:
    """Name, condition, rows and examples of what must not be there, and is."""
    source = facts.model.source
    conditions = {found.name: found.where for found in source.forbidden} if isinstance(source, Query) else {}
    report = facts.ingestion
    found = report.forbidden.items() if report else ()
    return [(name, conditions.get(name, ""), each.rows, each.examples) for name, each in found if each.rows]


def _splits(facts: Facts) -> dict[str, int]:
    artifact = facts.artifact("ExampleGen", "examples")
    return dict(samples.counts_of(artifact)) if artifact else {}


# --- features ----------------------------------------------------------------------------------------


def _features(facts: Facts) -> Markup | None:
    statistics = facts.artifact("StatisticsGen", "statistics")
    if statistics is None:
        return None
    schema = read_schema(facts.folder("ImportSchemaGen", "schema"), facts.model)
    found = describe(statistics, schema, facts.model)
    return render(
        "features.html",
        numeric=[each for each in found if each.kind.endswith("number")],
        texts=[each for each in found if each.kind == "text"],
        pictures=[each for each in found if each.kind == "bytes"],
        drawn={each.name: drawn for each in found if (drawn := _drawn(each, facts.examples))},
        box=(WIDTH, HEIGHT),
        sampled=_sampled(facts),
    )


def _drawn(feature: Described, examples: Mapping[str, pa.Table]) -> Small | None:
    tables = [examples[split] for split in PICTURED if split in examples]
    found = bins([table[feature.name] for table in tables if feature.name in table.column_names])
    return small(found) if found else None


def _sampled(facts: Facts) -> dict[str, int]:
    """Split -> rows that were looked at, where those are not all."""
    counts = _splits(facts)
    return {name: len(table) for name, table in facts.examples.items() if len(table) < counts.get(name, 0)}


def _look(facts: Facts, checks: list[Check]) -> Markup | None:
    """A closer look at what the data gate refused; where that are raw rows, at what they did to the features."""
    missed = [check for check in checks if not check.passed]
    if not missed:
        return None
    plot = distances.look(checks, facts.examples, _reference(facts), wide=True)
    return exhibits.show([plot]) if plot else None


def _reference(facts: Facts) -> pa.Table | None:
    """Examples of the training split of the last pushed run, as the data gate was given its statistics."""
    gate = facts.nodes.get("DataGate")
    given: list[Any] = gate.inputs.get("reference", []) if gate else []
    made = facts.store.producer(given[0]) if facts.store and given else None
    examples = made.inputs.get("examples", []) if made else []
    return samples.of_artifact(examples[0]).get(distances.TRAIN) if examples else None


def _own(facts: Facts) -> Markup | None:
    """What the model shows of its examples."""
    path = facts.model.exhibits.data
    if path is None or not facts.examples:
        return None
    return exhibits.show(load(path)(Shown(facts.examples, facts.result.settings)))
