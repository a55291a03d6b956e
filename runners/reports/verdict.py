"""The head of a report: the verdict in words, and what changed since the champion."""

from __future__ import annotations

from markupsafe import Markup

from pipeline.verdict import JUDGED_SPLIT, sentence
from runners.reports.facts import Facts
from runners.reports.pages import render

WORDS = {
    "pushed": ("Pushed", "passed the data gate, the serving gate and the model gate, and was pushed"),
    "unchanged": ("Nothing new to push", "passed all gates; this very model is already pushed"),
    "refused": ("Refused", "was refused; nothing was pushed"),
    "failed": ("Failed", "ended by an error; nothing was pushed"),
    "interrupted": ("Interrupted", "was interrupted before its end; nothing was pushed"),
    "unfinished": ("Unfinished", "has no end on record: it is still going, or its process was killed"),
}


def section(facts: Facts) -> Markup:
    """Returns the head: what the run came to and why, what model on what data, and its main numbers."""
    result = facts.result
    word, says = WORDS[result.outcome]
    missed = [sentence(check) for check in result.checks if not check.passed]
    bounded = result.settings.get("gates", {}).get("bounds", {})
    metrics = result.metrics.get(JUDGED_SPLIT, {})
    numbers = {name: metrics[name] for name in bounded if name in metrics}
    return render("verdict.html", facts=facts, word=word, says=says, missed=missed, numbers=numbers)
