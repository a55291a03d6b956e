"""Tells Vertex's hyper-parameter tuning how a trial goes, in the file that its machines look into."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from runners.events import Epoch

DEFAULT = "/tmp/hypertune/output.metrics"
KEPT = 100
"""Lines that the file holds at most, the newest, as in Google's cloudml-hypertune, whose format this is."""


class Trial:
    """Writes each value of each epoch as a metric of that name; outside of a tuning job, nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Finds in the environment's variables which trial this is, and its file."""
        self.number = environment.get("CLOUD_ML_TRIAL_ID")
        self.file = Path(environment.get("CLOUD_ML_HP_METRIC_FILE", DEFAULT))
        self.lines: deque[str] = deque(maxlen=KEPT)

    def tell(self, epoch: Epoch) -> None:
        """Adds what an epoch came to."""
        if self.number is None:
            return
        step = {"timestamp": time.time(), "trial": self.number, "global_step": str(epoch.epoch)}
        known = {name: value for name, value in epoch.values.items() if value is not None}
        self.lines.extend(json.dumps({**step, name: str(value)}, sort_keys=True) for name, value in known.items())
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("".join(f"{line}\n" for line in self.lines), encoding="utf-8")
