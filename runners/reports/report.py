"""Makes the report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from runners.reports import card, data, evaluation, lineage, nodes, pushed, settings, training, verdict
from runners.reports.exhibits import attempt
from runners.reports.facts import Facts, gather
from runners.reports.pages import render
from runners.run import REPORT


class Section(NamedTuple):
    """A part of the report; `id` is its anchor."""

    id: str
    title: str
    content: Markup


Maker = Callable[[Facts], Markup | None]

SECTIONS: tuple[tuple[str, str, Maker], ...] = (
    ("nodes", "What ran", nodes.section),
    ("data", "Data", data.section),
    ("training", "Training", training.section),
    ("evaluation", "Evaluation", evaluation.section),
    ("pushed", "Serving gate and push", pushed.section),
    ("card", "Model card", card.section),
    ("lineage", "Lineage", lineage.section),
    ("settings", "Settings, code and machine", settings.section),
)
"""Id, title and maker of each section, in the order of the page; a maker returns None where there is nothing to say."""


def make(facts: Facts) -> str:
    """Returns the report of a run."""
    made = [
        Section(name, title, content)
        for name, title, section in SECTIONS
        if (content := attempt(title, partial(section, facts)))
    ]
    return str(render("report.html", facts=facts, verdict=verdict.section(facts), sections=made))


def write(facts: Facts) -> Path:
    """Writes the report into the folder of the run's record, and returns its path."""
    path = Path(facts.result.folder) / REPORT
    path.write_text(make(facts), encoding="utf-8")
    return path


def report_of(root: Path, run: str) -> Path | None:
    """Writes the report of a run that has just ended; None, and a line in its log, if that is not possible."""
    start = time.monotonic()
    gc.freeze()  # What a run has loaded are millions of objects: no collection is to look through them again.
    try:
        path = write(gather(root, run))
        logging.info("%s of %d bytes made in %.2f s", REPORT, path.stat().st_size, time.monotonic() - start)
        return path
    except Exception:
        logging.exception("The report could not be made")
        return None
