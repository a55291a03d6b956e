"""The head of a report: the verdict in words; what model, what data, how good, against what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from markupsafe import Markup

from pipeline.contract import Metric, Range
from pipeline.fingerprint import LENGTH
from pipeline.verdict import CHAMPION, JUDGED_SPLIT, OVERALL, Check, bound_text, sentence
from runners.comparing import since_champion
from runners.history import bounds
from runners.reports.facts import Facts, version_of
from runners.reports.pages import count, render, seconds
from runners.reports.states import GATES, statuses
from runners.reports.states import WORDS as WORD_OF
from runners.reports.words import says

WORDS = {
    "pushed": ("Pushed", "passed the data gate, the serving gate and the model gate. It was pushed."),
    "unchanged": ("Nothing new to push", "passed all gates. The same model is pushed already."),
    "refused": ("Refused", "was refused{by}. Nothing was pushed."),
    "failed": ("Failed", "was not judged to the end: the run ended by an error{at}. Nothing was pushed."),
    "interrupted": ("Interrupted", "was not judged to the end: somebody stopped the run{at}. Nothing was pushed."),
    "unfinished": ("Unfinished", "has no verdict on record: the run is still going, or its process was killed{at}."),
}
"""Outcome of a run -> the verdict, and what follows the name of the model: `by` a gate, or how far the run got."""

MISSED_SHOWN = 5
"""Missed bounds that the head names; all are in their sections."""
REASON = 240
"""Characters of a missed bound that the head shows: an error's text may fill the screen. All are in its section."""

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
    missed = [_short(sentence(check)) for check in result.checks if not check.passed]
    numbers = list(_numbers(facts))
    return render(
        "verdict.html",
        facts=facts,
        word=word,
        told=told.format(by=_by(result.checks), at=_at(facts)),
        missed=missed[:MISSED_SHOWN],
        more=len(missed[MISSED_SHOWN:]),
        gates=[*_gates(facts), _push(facts)],
        numbers=numbers,
        met_champion=any(number.champion is not None for number in numbers),
        about=dict(_about(facts)),
        changes=since_champion(facts),
        judged=JUDGED_SPLIT,
    )


def _short(text: str) -> str:
    return text if len(text) <= REASON else f"{text[:REASON]} …"


def _by(checks: Iterable[Check]) -> str:
    gate = next((check.gate for check in checks if not check.passed), None)
    return f" by the {gate} gate" if gate else ""


def _at(facts: Facts) -> str:
    found = [status.name for status in statuses(facts) if status.state in ("failed", "interrupted", "open")]
    return f" in the step {found[-1]}" if found else ""


def _about(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yields what a newcomer asks first: on which data, judged on what, against what, when."""
    result = facts.result
    generated = " (generated: nothing in it is real)" if result.settings.get("data", {}).get("line") == "sample" else ""
    unit = facts.ingestion.unit if facts.ingestion else "rows"
    read = f", {count(result.counts['read'])} {unit} read" if "read" in result.counts else ""
    file, digest = (result.data.get(name, "unknown") for name in ("file", "digest"))
    yield "Data", f"{file}{generated}{read}, digest {digest[:LENGTH]}"
    rows = result.metrics.get(JUDGED_SPLIT, {}).get("rows")
    if rows:
        yield "Judged on", f"{count(rows)} rows of the {JUDGED_SPLIT} split, which training never saw"
        yield "Against", f"{_champion(facts)}the naive rule, which {_phrase(says(facts.model.naive))}"
    began = f", {result.started_at.replace('T', ' ').replace('+00:00', ' UTC')}" if result.started_at else ""
    took = f", took {seconds(result.seconds)}" if result.seconds else ""
    yield "Run", f"{result.run_id}{began}{took}, pipeline {result.pipeline}"


def _champion(facts: Facts) -> str:
    if facts.result.champion:
        return f"the champion (the model pushed last), version {version_of(facts.result.champion)}; and "
    return "no champion, since no model had been pushed before; only " if facts.result.slices else ""


def _phrase(text: str) -> str:
    return text[:1].lower() + text[1:]


def _gates(facts: Facts) -> Iterator[Gate]:
    ended = {status.name: status.state for status in statuses(facts)}
    for name in GATES:
        checks = [check for check in facts.result.checks if check.gate == name]
        missed = sum(not check.passed for check in checks)
        if missed:
            yield Gate(f"{name.capitalize()} gate", "refused", f"missed {missed} of {len(checks)} bounds")
        elif checks:
            all_met = f"met all {len(checks)} bounds" if len(checks) > 1 else "met its only bound"
            yield Gate(f"{name.capitalize()} gate", "passed", all_met)
        else:
            yield Gate(f"{name.capitalize()} gate", *_unrecorded(ended.get(GATES[name])))


def _unrecorded(state: str | None) -> tuple[State, str]:
    """What is known of a gate of which the record has nothing: that of a killed run has only how it began."""
    if state in ("run", "cached"):
        return "done", "ended; no bounds on record"
    return ("not reached", "not reached") if state in (None, "waiting") else ("not done", WORD_OF[state][1])


def _push(facts: Facts) -> Gate:
    pushed = facts.result.pushed
    if not pushed:
        return Gate("Push", "not done", "none on record" if facts.result.outcome == "unfinished" else "nothing pushed")
    before = " (before)" if facts.result.outcome == "unchanged" else ""
    return Gate("Push", "done", f"version {version_of(pushed)}{before}")


def _numbers(facts: Facts) -> Iterator[Number]:
    """Yields the bounded metrics that were measured."""
    values = facts.result.metrics.get(JUDGED_SPLIT, {})
    champion = facts.result.slices.get(CHAMPION, {}).get(OVERALL, {})
    held = bounds(facts.result)
    for metric in (metric for metric in facts.model.metrics if metric.name in held and metric.name in values):
        limits = Range(lower=held[metric.name].get("lower"), upper=held[metric.name].get("upper"))
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
    """Whether all checks of a metric passed, those on slices included; None where the model gate was not reached."""
    found = [check.passed for check in facts.result.checks if check.gate == "model" and check.metric == metric.name]
    return all(found) if found else None
