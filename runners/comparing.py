"""What differs between two runs, as plain data; and what changed since the champion."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.contract import LOSSES, Model, Tuned, UserError, find_model
from pipeline.verdict import JUDGED_SPLIT, OVERALL, number
from runners.history import bounds
from runners.records import find_record
from runners.run import RunResult

if TYPE_CHECKING:
    from pipeline.push import Manifest
    from runners.reports.facts import Facts

Plain = str | float | None
"""A number, a text, or nothing."""

SAME_SECONDS, SAME_SHARE = 1.0, 0.2
"""Durations that differ by less than a second, or a fifth, are the same: no two runs take equally long."""

COMMIT_SHOWN = 12
"""Characters of a commit that people are shown."""

Better = Literal["first", "second"]


class Row(NamedTuple):
    """One thing of two runs, side by side.

    Attributes:
      part: what it belongs to: `settings`, `found by a search`, `data`, `code`, `machine`,
        `metrics of the eval split`, `slices`, `checks`, `nodes`.
      first, second: of the two runs; None where a run has no such thing.
      difference: second - first, of metrics that both have.
      better: which one is, where the model's contract says what is good.
    """

    part: str
    what: str
    first: Plain
    second: Plain
    differs: bool
    difference: float | None = None
    better: Better | None = None


class Change(NamedTuple):
    """Something that is not as it was when the champion was pushed, in words."""

    what: str
    before: str
    now: str


def compare(first: RunResult, second: RunResult, *, slices: bool = False) -> tuple[Row, ...]:
    """Returns all that can be said of two runs, side by side.

    Args:
      first: a run.
      second: another run.
      slices: whether to add the metrics of each slice, as the Evaluator measured them on the eval split.
    """
    rows = [
        *_rows("settings", flat(first.settings), flat(second.settings)),
        *_rows("found by a search", _found(first.tuned), _found(second.tuned)),
        *_rows("data", _data(first), _data(second)),
        *_rows("code", first.code, second.code),
        *_rows("machine", first.machine, second.machine),
    ]
    better = _better(first, second)
    for split in dict.fromkeys([*first.metrics, *second.metrics]):
        a, b = first.metrics.get(split, {}), second.metrics.get(split, {})
        rows += _measured(f"metrics of the {split} split", a, b, better)
    if slices:
        rows += _measured("slices", _sliced(first), _sliced(second), better)
    rows += _rows("checks", _verdicts(first), _verdicts(second))
    return (*rows, *_nodes(first, second))


def since_champion(facts: Facts) -> tuple[Change, ...]:
    """Returns what changed between the run that pushed the champion and this one: data, settings, code, gate metrics.

    The champion's manifest says most of it. Of counts, commit and packages it does not know; the record of its run
    does, as long as it is there. Metrics of both are those on this run's eval split, if the model gate was reached.

    Returns:
      Nothing if there is no champion, or nothing changed.
    """
    if facts.champion is None:
        return ()
    before, now = _record_of(facts, facts.champion), facts.result
    settings = _rows("setting", flat(facts.champion.settings), flat(now.settings))
    found = _rows("found by a search", _found(facts.champion.tuned), _found(now.tuned))
    changed = [
        *(_change(row) for row in _data_rows(facts.champion, before, now) if row.differs),
        *(_change(row) for row in settings if row.differs),
        *(_change(row) for row in found if row.differs),
        *(_change(row) for row in _code_rows(facts.champion, before, now) if row.differs),
        *(_change(row) for row in _metric_rows(facts.champion, facts.model, now) if row.differs),
    ]
    return tuple(changed)


def on_same_rows(rows: Iterable[Row]) -> bool:
    """Whether both runs were judged on the same rows: raw data and features are the same."""
    decisive = (row for row in rows if (row.part, row.what) == ("data", "digest") or row.what.startswith("features."))
    return not any(row.differs for row in decisive)


def _found(tuned: Tuned | None) -> dict[str, Plain]:
    return flat({name: each.found for name, each in tuned.settings.items()}) if tuned else {}


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Plain]:
    """Returns nested settings by dotted key; what is no number or text is written as JSON.

    >>> flat({"training": {"seed": 1, "hidden_units": [32, 16], "table": None}})
    {'training.seed': 1, 'training.hidden_units': '[32, 16]', 'training.table': 'null'}
    """
    found: dict[str, Plain] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            found[f"{prefix}{key}"] = value if plain else json.dumps(value, ensure_ascii=False)
    return found


def text(value: Plain) -> str:
    """Writes an entry for people: a number with six significant digits, nothing as a dash."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else number(value)


def judged(row: Row) -> str:
    """Says how the second run's metric stands to the first's: `+0.012, better`; empty where that cannot be said."""
    if row.difference is None or not row.differs:
        return ""
    verdict = {"second": ", better", "first": ", worse", None: ""}[row.better]
    return f"{'+' if row.difference > 0 else ''}{text(float(f'{row.difference:.4g}'))}{verdict}"


# --- the two runs' sides -------------------------------------------------------------------------


def _rows(part: str, first: Mapping[str, Plain], second: Mapping[str, Plain]) -> list[Row]:
    names = dict.fromkeys([*first, *second])
    return [Row(part, name, a := first.get(name), b := second.get(name), differs=a != b) for name in names]


def _measured(
    part: str, first: Mapping[str, float | None], second: Mapping[str, float | None], better: Mapping[str, str]
) -> list[Row]:
    return [_judge(row, better.get(row.what.partition(" on ")[0])) for row in _rows(part, first, second)]


def _judge(row: Row, better: str | None) -> Row:
    if isinstance(row.first, str) or isinstance(row.second, str) or row.first is None or row.second is None:
        return row
    told = row._replace(difference=row.second - row.first, differs=text(row.first) != text(row.second))
    if better is None or not told.differs:
        return told
    first, second = LOSSES[better](row.first), LOSSES[better](row.second)
    return told._replace(better=None if first == second else "second" if second < first else "first")


def _better(first: RunResult, second: RunResult) -> dict[str, str]:
    """What is good, by metric; nothing of a model that is gone, or between models."""
    try:
        return _directions(find_model(first.model)) if first.model == second.model else {}
    except UserError:
        return {}


def _directions(model: Model) -> dict[str, str]:
    return {metric.name: metric.better for metric in model.metrics if metric.better}


def _data(result: RunResult) -> dict[str, Plain]:
    return {"file": result.data.get("file"), "digest": result.data.get("digest"), **result.counts}


def _sliced(result: RunResult) -> dict[str, float | None]:
    slices = result.slices.get("candidate", {})
    ordered = sorted(name for name in slices if name != OVERALL)
    return {f"{metric} on {name}": value for name in ordered for metric, value in slices[name].items()}


def _verdicts(result: RunResult) -> dict[str, Plain]:
    """Check -> verdict and bound. A comparison with the champion stands beside the bound of the same metric."""
    found: dict[str, Plain] = {}
    for check in result.checks:
        against = " against the champion" if "champion" in check.bound else ""
        verdict = ("passed" if check.passed else "refused") if check.binding else "too few rows"
        found[f"{check.gate} gate: {check.metric} on {check.slice}{against}"] = f"{verdict}, must be {check.bound}"
    return found


def _nodes(first: RunResult, second: RunResult) -> Iterator[Row]:
    sides = [{node.name: node for node in result.nodes} for result in (first, second)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        a, b = (side.get(name) for side in sides)
        told = [f"{node.state}, {node.seconds:.1f} s" if node else None for node in (a, b)]
        alike = a is not None and b is not None and a.state == b.state and _alike(a.seconds, b.seconds)
        yield Row("nodes", name, told[0], told[1], differs=not alike)


def _alike(first: float, second: float) -> bool:
    return abs(first - second) < max(SAME_SECONDS, SAME_SHARE * max(first, second))


# --- the champion's side -------------------------------------------------------------------------


def _record_of(facts: Facts, champion: Manifest) -> RunResult | None:
    try:
        return find_record(facts.root, champion.run)
    except UserError:
        return None


def _data_rows(champion: Manifest, before: RunResult | None, now: RunResult) -> list[Row]:
    digests = _rows("data", {"digest": champion.data_digest}, {"digest": now.data.get("digest")})
    return _rows("data", _data(before), _data(now)) if before else digests


def _code_rows(champion: Manifest, before: RunResult | None, now: RunResult) -> list[Row]:
    """The manifest names fewer packages than a record: what it does not name is not known to have changed."""
    known = before.code if before and before.code else champion.versions
    return _rows("code", known, {name: now.code[name] for name in known if name in now.code}) if now.code else []


def _metric_rows(champion: Manifest, model: Model, now: RunResult) -> list[Row]:
    on_same_rows = now.slices.get("champion", {}).get(OVERALL)
    then: Mapping[str, float | None] = on_same_rows or champion.metrics.get(JUDGED_SPLIT) or {}
    measured = now.metrics.get(JUDGED_SPLIT, {})
    names = [name for name in bounds(now) if name in then and name in measured]
    before, after = ({name: side[name] for name in names} for side in (then, measured))
    part = "metric" if on_same_rows else "metric, each on its own data"
    return _measured(part, before, after, _directions(model))


def _change(row: Row) -> Change:
    before, now = (text(side)[: COMMIT_SHOWN if row.what == "commit" else None] for side in (row.first, row.second))
    how = judged(row)
    return Change(f"{row.part} {row.what}", before, f"{now} ({how})" if how else now)
