"""The report's section "Settings, code and machine": what it takes to run the same again."""

from __future__ import annotations

from markupsafe import Markup

from pipeline.settings import make_settings
from runners.comparing import flat
from runners.reports.facts import Facts
from runners.reports.pages import render


def section(facts: Facts) -> Markup:
    """Returns the section: settings part by part, those marked that are not the model's defaults."""
    result = facts.result
    defaults = flat(make_settings(facts.model).model_dump(mode="json"))
    rows = [(name, value, defaults.get(name) != value) for name, value in flat(result.settings).items()]
    parts = {part: [row for row in rows if row[0].startswith(f"{part}.")] for part in result.settings}
    return render("settings.html", facts=facts, parts=parts, code=result.code, machine=result.machine)
