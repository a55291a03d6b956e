"""Statistics and distributions of a run's features, as tables."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from markupsafe import Markup

from runners.reports import samples
from runners.reports.distributions import HEIGHT, WIDTH, Small, bins, small
from runners.reports.facts import Facts
from runners.reports.pages import render
from runners.reports.statistics import Described, describe, read_schema

DRAWN = ("train", "eval")
"""Splits whose distributions are drawn: the first as an area, the other as a line."""


def tables(facts: Facts) -> Markup | None:
    """Returns the statistics of all features by split; None for a run that has none."""
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
    shown = [examples[split] for split in DRAWN if split in examples]
    found = bins([table[feature.name] for table in shown if feature.name in table.column_names])
    return small(found) if found else None


def _sampled(facts: Facts) -> dict[str, int]:
    """Split -> rows that were looked at, where those are not all."""
    artifact = facts.artifact("ExampleGen", "examples")
    counts = samples.counts_of(artifact) if artifact else {}
    return {name: len(table) for name, table in facts.examples.items() if len(table) < counts.get(name, 0)}
