"""What each node of a run's DAG came to, in words: also those that were never reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from runners.reports.facts import Facts
from runners.reports.layers import Edge, reduced
from runners.reports.store import STATES, Artifact, Execution

GATES = {"data": "DataGate", "serving": "ServingGate", "model": "Evaluator"}
"""Gate -> the node that is it."""

WORDS = {
    "run": ("✓", "ran"),
    "cached": ("=", "from the cache"),
    "resolved": ("✓", "looked up"),
    "skipped": ("-", "skipped"),
    "refused": ("✗", "refused"),
    "held": ("-", "pushed nothing"),
    "failed": ("✗", "failed"),
    "interrupted": ("!", "interrupted"),
    "open": ("…", "not ended"),
    "waiting": ("·", "not reached"),
}
"""State -> its mark, and what it is called."""

PURPOSE = {
    "ExampleGen": "makes examples of the raw data, and splits them",
    "StatisticsGen": "counts and measures every feature",
    "ImportSchemaGen": "brings the schema: what the data must look like",
    "ExampleValidator": "compares the statistics with the schema",
    "Reference": "looks for the statistics of the last pushed model's data",
    "DataGate": "stops the run if the data cannot be trusted",
    "Transform": "turns features into what the network reads",
    "Tuner": "searches for hyper-parameters inside of the training split",
    "LastSearch": "looks for the hyper-parameters that the last search found",
    "Trainer": "fits the network",
    "ServingGate": "asks the trained model as a server would, and stops the run if it answers wrongly",
    "Champion": "looks for the last pushed model, to compare with",
    "Evaluator": "measures the model and is the model gate: says whether it may be pushed",
    "Pusher": "pushes the model if all gates passed",
}
"""Node of `pipeline.dag` -> what it is for."""


class Status(NamedTuple):
    """What a node came to; `seconds` is None for one that did not end."""

    name: str
    state: str
    seconds: float | None

    @property
    def mark(self) -> str:
        """A sign for the state."""
        return WORDS[self.state][0]

    @property
    def word(self) -> str:
        """What the state is called."""
        return WORDS[self.state][1]

    @property
    def purpose(self) -> str:
        """What the node is for."""
        return PURPOSE.get(self.name, "")


def statuses(facts: Facts) -> list[Status]:
    """Returns what each node came to, in the order of the DAG."""
    told = {node.name: (node.state, node.seconds) for node in facts.result.nodes}
    names = dict.fromkeys([*facts.result.planned, *told, *facts.nodes])
    return [_status(facts, name, *told.get(name, (None, None))) for name in names]


def arrows(facts: Facts) -> list[Edge]:
    """Returns which node waited for which, less what longer ways imply.

    Records of before the plan was kept have the flow of artifacts alone.
    """
    if facts.result.planned:
        return reduced((before, name) for name, waits in facts.result.planned.items() for before in waits)
    makers: dict[int, str] = {}
    found: list[Edge] = []
    for name, execution in facts.nodes.items():
        found += [(makers[each], name) for each in _ids(execution.inputs) if each in makers]
        makers |= dict.fromkeys(_ids(execution.outputs), name)
    return reduced(found)


def _status(facts: Facts, name: str, state: str | None, seconds: float | None) -> Status:
    execution = facts.nodes.get(name)
    if state is None and execution:
        state = STATES.get(execution.state, "open")
        seconds = None if state == "open" else (execution.ended_at - execution.started_at).total_seconds()
    if name in {GATES[check.gate] for check in facts.result.checks if not check.passed}:
        state = "refused"
    if name == "Pusher" and execution and state == "run" and not _pushed(execution):
        state = "held"
    return Status(name, state if state in WORDS else "waiting", seconds)


def _pushed(execution: Execution) -> bool:
    return any(artifact.properties.get("pushed") for found in execution.outputs.values() for artifact in found)


def _ids(artifacts: Mapping[str, list[Artifact]]) -> list[int]:
    return [artifact.id for found in artifacts.values() for artifact in found]
