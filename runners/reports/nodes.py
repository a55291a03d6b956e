"""The report's section "What ran"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from pipeline.verdict import sentence
from runners.reports import diagram, node_log, told
from runners.reports.facts import Facts
from runners.reports.pages import render, seconds
from runners.reports.states import GATES, Status, arrows, statuses
from runners.reports.store import Artifact
from runners.run import LOG


class Passed(NamedTuple):
    """An artifact that a node took or made.

    Attributes:
      key: what the node calls it.
      maker: the node of this run that made it, if another one did.
    """

    key: str
    artifact: Artifact
    maker: str | None


class Panel(NamedTuple):
    """What is shown of a node that was clicked; `missed`: sentences on the bounds that it refused for."""

    status: Status
    missed: list[str]
    taken: list[Passed]
    made: list[Passed]
    settings: list[told.Told]
    log: list[str]


def section(facts: Facts) -> Markup | None:
    """Returns the DAG as a picture and a table, with a panel a node; None where nothing ran."""
    found = statuses(facts)
    if not found:
        return None
    shapes = [
        diagram.Shape(each.name, each.name, (_second_line(each),), each.state, f"#node-{each.name}") for each in found
    ]
    drawn = diagram.draw(shapes, arrows(facts), label="The steps of the run; an arrow leads to what waited for it.")
    return render("nodes.html", says=_says(found), drawn=drawn, statuses=found, panels=_panels(facts, found))


def _second_line(status: Status) -> str:
    took = f" · {seconds(status.seconds)}" if status.seconds is not None else ""
    return f"{status.mark} {status.word}{took}"


def _says(found: list[Status]) -> str:
    """Counts the nodes by state, and names the one that took longest."""
    counted = Counter(status.word for status in found)
    steps = f"{len(found)} steps: " + ", ".join(f"{count} {word}" for word, count in counted.items()) + "."
    timed = [(status.seconds, status.name) for status in found if status.seconds]
    if not timed:
        return steps
    longest, name = max(timed)
    total = sum(took for took, _ in timed)
    return f"{steps} {name} took longest: {seconds(longest)} of {seconds(total)} in all steps."


def _panels(facts: Facts, found: list[Status]) -> list[Panel]:
    logged = node_log.by_node(Path(facts.result.folder) / LOG)
    makers: dict[int, str] = {}
    panels = []
    for status in found:
        execution = facts.nodes.get(status.name)
        taken = _passed(execution.inputs, makers) if execution else []
        made = _passed(execution.outputs, {}) if execution else []
        makers = {passed.artifact.id: status.name for passed in made} | makers
        properties = execution.properties if execution else {}
        missed = [
            sentence(check) for check in facts.result.checks if not check.passed and GATES[check.gate] == status.name
        ]
        panels.append(Panel(status, missed, taken, made, told.rows(properties), logged.get(status.name, [])))
    return panels


def _passed(artifacts: Mapping[str, list[Artifact]], makers: Mapping[int, str]) -> list[Passed]:
    return [
        Passed(key, artifact, makers.get(artifact.id)) for key, found in sorted(artifacts.items()) for artifact in found
    ]
