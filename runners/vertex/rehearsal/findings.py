"""What is read from the files that nodes leave: what gates checked, metrics, predictions, the pushed version."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline import predictions as predicted
from pipeline.push.manifest import METRICS_FILE
from pipeline.verdict import REPORT_FILE, Check
from runners.run import Node, Outcome
from runners.vertex.rehearsal.inputs import Result
from runners.vertex.rehearsal.store import Artifact

EVALUATION, PUSHED_MODEL, EXAMPLES = "tfx.ModelEvaluation", "tfx.PushedModel", "tfx.Examples"
"""Titles of types."""

_COUNT = "examples_"


def checks_of(made: Result) -> list[Check]:
    """Returns what a node that came to its end checked: nothing if it is no gate."""
    return [check for listed in made.artifacts.values() for artifact in listed for check in _checks(artifact)]


def _checks(artifact: Artifact) -> list[Check]:
    if artifact.title == EVALUATION:
        from pipeline.model_gate import read_checks  # Takes TensorFlow, which nothing else here does.

        return read_checks(artifact.uri)
    return report(Path(artifact.uri))


def report(folder: Path) -> list[Check]:
    """Returns the checks that a gate left in the folder of its output; none if there are none."""
    file = folder / REPORT_FILE
    if not file.is_file():
        return []
    return [Check.model_validate(check) for check in json.loads(file.read_text(encoding="utf-8"))]


def refusal(folders: Iterable[Path]) -> list[Check]:
    """Returns the checks of a gate that raised, if it was a gate that raised."""
    found = [check for folder in folders for check in report(folder)]
    return found if any(not check.passed for check in found) else []


def counts(made: Result) -> dict[str, int]:
    """Returns split -> examples, where a node generated them and noted how many."""
    listed = (artifact for found in made.artifacts.values() for artifact in found if artifact.title == EXAMPLES)
    noted = [pair for artifact in listed for pair in artifact.metadata.items()]
    return {key[len(_COUNT) :]: int(value) for key, value in noted if key.startswith(_COUNT)}


def metrics(made: Mapping[str, Result]) -> dict[str, dict[str, float | None]]:
    """Returns split -> metric -> value, as the serving gate left them."""
    for folder in _folders(made):
        if (folder / METRICS_FILE).is_file():
            found: dict[str, dict[str, float | None]] = json.loads((folder / METRICS_FILE).read_text())
            return found
    return {}


def predictions(made: Mapping[str, Result]) -> dict[str, str]:
    """Returns split -> file of its rows with what was predicted."""
    return {
        path.stem: str(path)
        for folder in _folders(made)
        if (folder / REPORT_FILE).is_file() and (folder / predicted.FOLDER).is_dir()
        for path in sorted((folder / predicted.FOLDER).iterdir())
    }


def _folders(made: Mapping[str, Result]) -> list[Path]:
    return [Path(found.uri) for result in made.values() for listed in result.artifacts.values() for found in listed]


def pushed(made: Mapping[str, Result]) -> Artifact | None:
    """Returns the artifact of a push that took place, now or in the rehearsal that it was taken over from."""
    for result in made.values():
        for artifact in (found for listed in result.artifacts.values() for found in listed):
            if artifact.title == PUSHED_MODEL and artifact.metadata.get("pushed") == 1:
                return artifact
    return None


def outcome(checks: list[Check], push: Artifact | None, nodes: list[Node], *, pushes: bool) -> Outcome:
    """Returns what a rehearsal without errors came to.

    Args:
      checks: of all gates.
      push: the push that took place, if one did.
      nodes: what each did.
      pushes: whether the pipeline has a node that is to push; without one there is nothing to refuse.
    """
    if not all(check.passed for check in checks) or (pushes and push is None):
        return "refused"
    fresh = push is not None and any(node.name == push.node and node.state == "run" for node in nodes)
    return "pushed" if fresh and push is not None and push.metadata.get("new", 1) == 1 else "unchanged"
