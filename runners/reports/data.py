"""The report's section "Data": what was read, how it was split, what the data gate said, what the features hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa
from markupsafe import Markup

from pipeline.contract import Listing, Query, Shown, load
from pipeline.ingestion.raw import ForbiddenRows, RawReport
from pipeline.verdict import Check
from runners.reports import distances, exhibits, features, samples, trouble
from runners.reports.facts import Facts
from runners.reports.pages import count, render


class Row(NamedTuple):
    """Rows or files of the raw data of which the same became: `level` 1 and 2 for parts of the one above."""

    what: str
    rows: int
    level: int = 0


def section(facts: Facts) -> Markup | None:
    """Returns the section; None for a run that did not get as far as its data."""
    artifact = facts.artifact("ExampleGen", "examples")
    if not (artifact or facts.result.counts):
        return None
    checks = [check for check in facts.result.checks if check.gate == "data"]
    return render(
        "data.html",
        facts=facts,
        checks=checks,
        missed=[check for check in checks if not check.passed],
        closest=distances.closest(checks),
        raw=_raw(facts.ingestion, facts.result.counts),
        splits=samples.counts_of(artifact) if artifact else {},
        distances=distances.distances(checks),
        others=[check for check in checks if check.passed and not distances.is_distance(check)],
        trouble=exhibits.attempt("Where the trouble is", lambda: _trouble(facts, checks)),
        features=exhibits.attempt("Statistics", lambda: features.tables(facts)),
        own=exhibits.attempt("The model's own view of the data", lambda: _own(facts)),
    )


def _raw(report: RawReport | None, counts: Mapping[str, int]) -> list[Row]:
    """What became of the raw data; of a run without ingestion's report, what its record counts."""
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


def _own(facts: Facts) -> Markup | None:
    """What the model shows of its examples."""
    path = facts.model.exhibits.data
    if path is None or not facts.examples:
        return None
    return exhibits.show(load(path)(Shown(facts.examples, facts.result.settings)))


# --- what was refused --------------------------------------------------------------------------------


def _trouble(facts: Facts, checks: list[Check]) -> Markup | None:
    """Rows that must not be there, and the features that were refused; where that was none, those that moved most."""
    if all(check.passed for check in checks):
        return None
    report = facts.ingestion
    forbidden = [_forbidden(facts, report, name) for name in report.forbidden] if report else []
    found = [*forbidden, trouble.look(checks, facts.examples, _reference(facts))]
    return exhibits.show(exhibit for exhibit in found if exhibit)


def _forbidden(facts: Facts, report: RawReport, name: str) -> Listing | None:
    """The first rows that meet a condition that none may meet."""
    found, source = report.forbidden[name], facts.model.source
    if not found.rows:
        return None
    conditions = {rule.name: rule.where for rule in source.forbidden} if isinstance(source, Query) else {}
    says = (
        f"None is allowed{f': the contract forbids {conditions[name]}' if name in conditions else ''}. They are "
        f"{100 * found.rows / report.rows_usable:.2g} % of the usable {report.unit}. The first ones, as they were read:"
    )
    return Listing(f"{count(found.rows)} {report.unit} with {name}", says, *_cells(found))


def _cells(found: ForbiddenRows) -> tuple[tuple[str, ...], tuple[tuple[str | None, ...], ...]]:
    """Columns and rows of `row 17: {...}`."""
    read = [(where, json.loads(cells)) for where, _, cells in (text.partition(": ") for text in found.examples)]
    columns = tuple(dict.fromkeys(column for _, cells in read for column in cells))
    rows = tuple(
        (where, *(None if cells.get(column) is None else str(cells[column]) for column in columns))
        for where, cells in read
    )
    return ("where", *columns), rows


def _reference(facts: Facts) -> pa.Table | None:
    """Examples of the training split of the last pushed run, whose statistics the data gate was given."""
    gate = facts.nodes.get("DataGate")
    given = gate.inputs.get("reference", []) if gate else []
    made = facts.store.producer(given[0]) if facts.store and given else None
    examples = made.inputs.get("examples", []) if made else []
    return samples.of_artifact(examples[0]).get(trouble.TRAIN) if examples else None
