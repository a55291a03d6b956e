"""The head of a report: the verdict in words; what model, what data, how good, against what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from markupsafe import Markup

from pipeline.contract import Metric, Range
from pipeline.verdict import CHAMPION, JUDGED_SPLIT, OVERALL, bound_text, sentence
from runners.comparing import since_champion
from runners.reports.facts import Facts
from runners.reports.pages import count, render, seconds
from runners.reports.words import says

WORDS = {
    "pushed": ("Pushed", "passed the data gate, the serving gate and the model gate. It was pushed."),
    "unchanged": ("Nothing new to push", "passed all gates. The same model is pushed already."),
    "refused": ("Refused", "was refused. Nothing was pushed."),
    "failed": ("Failed", "is not there, or was not judged: the run ended by an error. Nothing was pushed."),
    "interrupted": ("Interrupted", "was not judged to the end: somebody stopped the run. Nothing was pushed."),
    "unfinished": ("Unfinished", "has no verdict on record: the run is still going, or its process was killed."),
}
"""Outcome of a run -> the verdict, and what follows the name of the model."""

MISSED_SHOWN = 5
"""Missed bounds that the head names; all are in their sections."""

State = Literal["passed", "refused", "not reached", "done", "not done"]


class Gate(NamedTuple):
    """What became of a gate, or of the push."""

    name: str
    state: State
    says: str


class Number(NamedTuple):
    """A bounded metric of the eval split: what it is, and what it had to meet."""

    name: str
    what: str
    value: float | None
    bound: str
    passed: bool | None
    champion: float | None


def section(facts: Facts) -> Markup:
    """Returns the head of the report."""
    result = facts.result
    word, told = WORDS[result.outcome]
    missed = [sentence(check) for check in result.checks if not check.passed]
    return render(
        "verdict.html",
        facts=facts,
        word=word,
        told=told,
        missed=missed[:MISSED_SHOWN],
        more=len(missed[MISSED_SHOWN:]),
        gates=[*_gates(facts), _push(facts)],
        numbers=list(_numbers(facts)),
        about=dict(_about(facts)),
        changes=since_champion(facts),
        judged=JUDGED_SPLIT,
    )


def _about(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yields what a newcomer asks first: on which data, judged on what, against what, when."""
    result = facts.result
    generated = " (generated: nothing in it is real)" if result.settings.get("data", {}).get("line") == "sample" else ""
    unit = facts.ingestion.unit if facts.ingestion else "rows"
    read = f", {count(result.counts['read'])} {unit} read" if "read" in result.counts else ""
    file, digest = (result.data.get(name, "unknown") for name in ("file", "digest"))
    yield "Data", f"{file}{generated}, digest {digest}{read}"
    rows = result.metrics.get(JUDGED_SPLIT, {}).get("rows")
    if rows:
        yield "Judged on", f"{count(rows)} rows of the {JUDGED_SPLIT} split, which training never saw"
    yield "Against", f"{_champion(facts)}the naive rule: {says(facts.model.naive)}"
    began = f", {result.started_at.replace('T', ' ').replace('+00:00', ' UTC')}" if result.started_at else ""
    took = f", {seconds(result.seconds)}" if result.seconds else ""
    yield "Run", f"{result.run_id}{began}{took}, pipeline {result.pipeline}"


def _champion(facts: Facts) -> str:
    if facts.result.champion:
        return f"the champion, version {facts.result.champion.rstrip('/').rpartition('/')[2]}; "
    return "no champion: this root had pushed none; " if facts.result.slices else ""


def _gates(facts: Facts) -> Iterator[Gate]:
    for name in ("data", "serving", "model"):
        checks = [check for check in facts.result.checks if check.gate == name]
        missed = sum(not check.passed for check in checks)
        if missed:
            yield Gate(f"{name} gate", "refused", f"missed {missed} of {len(checks)} bounds")
        elif checks:
            yield Gate(f"{name} gate", "passed", f"met all {len(checks)} bounds")
        else:
            yield Gate(f"{name} gate", "not reached", "not reached")


def _push(facts: Facts) -> Gate:
    pushed = facts.result.pushed
    if not pushed:
        return Gate("push", "not done", "nothing pushed")
    version = pushed.rstrip("/").rpartition("/")[2]
    return Gate("push", "done", f"version {version}" + (" (before)" if facts.result.outcome == "unchanged" else ""))


def _numbers(facts: Facts) -> Iterator[Number]:
    """Yields the bounded metrics that were measured."""
    values = facts.result.metrics.get(JUDGED_SPLIT, {})
    champion = facts.result.slices.get(CHAMPION, {}).get(OVERALL, {})
    bounds = facts.result.settings.get("gates", {}).get("bounds", {})
    for metric in (metric for metric in facts.model.metrics if metric.name in bounds and metric.name in values):
        limits = Range(lower=bounds[metric.name].get("lower"), upper=bounds[metric.name].get("upper"))
        met = _met(facts, metric)
        yield Number(
            metric.name,
            says(metric.function),
            values[metric.name],
            bound_text(limits),
            met,
            champion.get(metric.name),
        )


def _met(facts: Facts, metric: Metric) -> bool | None:
    """Whether all checks of a metric on all rows passed; None where the model gate was not reached."""
    found = [check.passed for check in facts.result.checks if check.gate == "model" and check.metric == metric.name]
    return all(found) if found else None
