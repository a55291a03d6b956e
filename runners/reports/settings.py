"""The report's section "Settings, code and machine": what it takes to run the same again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from pipeline.settings import make_settings
from runners.reports.facts import Facts
from runners.reports.pages import render


def section(facts: Facts) -> Markup:
    """Returns the section: settings part by part, those marked that are not the model's defaults."""
    result = facts.result
    defaults = dict(flat(make_settings(facts.model).model_dump(mode="json")))
    rows = [(name, _text(value), defaults.get(name) != value) for name, value in flat(result.settings)]
    parts = {part: [row for row in rows if row[0].startswith(f"{part}.")] for part in result.settings}
    return render("settings.html", facts=facts, parts=parts, code=result.code, machine=result.machine)


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields settings by their keys: `training.seed`, 7. An empty mapping is a value."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
