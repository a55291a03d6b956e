"""What the gates that raise have in common: the report they leave, and how they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfx.dsl.io import fileio
from tfx.types import artifact

from pipeline.verdict import REPORT_FILE, Check, sentence


class GateReport(artifact.Artifact):  # type: ignore[misc]
    """Artifact: what a gate checked, as `checks.json` in its folder."""

    # Kubeflow wants `package.Class`, and TFX's container on Vertex AI imports just that: see pipeline/__init__.py.
    TYPE_NAME = "pipeline.GateReport"


class GateRefusal(Exception):
    """A gate refused: nothing downstream may run. Says each missed bound in words.

    Attributes:
      checks: everything that the gate checked, passed or not.
    """

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = tuple(checks)
        super().__init__("; ".join(sentence(check) for check in checks if not check.passed))


def conclude(checks: Iterable[Check], folder: str | Path) -> None:
    """Writes the report of a gate into a folder, a path or an address, and raises if a check failed.

    Raises:
      GateRefusal: at least one check did not pass.
    """
    listed = list(checks)
    fileio.makedirs(str(folder))
    content = [check.model_dump(mode="json") for check in listed]
    with fileio.open(f"{folder}/{REPORT_FILE}", "wb") as file:
        file.write(json.dumps(content, indent=1).encode())
    if not all(check.passed for check in listed):
        raise GateRefusal(listed)


def read_report(folder: str | Path) -> list[Check]:
    """Returns the checks that `conclude` wrote into a folder."""
    with fileio.open(f"{folder}/{REPORT_FILE}", "rb") as file:
        return [Check.model_validate(check) for check in json.load(file)]
