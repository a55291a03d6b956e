"""The report's section "Settings, code and machine"."""

from __future__ import annotations

from markupsafe import Markup

from runners.reports.facts import Facts


def section(facts: Facts) -> Markup | None:
    """Returns the section, or None where there is nothing to say."""
    return None
