"""The report's section "Serving gate and push"."""

from __future__ import annotations

from markupsafe import Markup

from runners.reports.facts import Facts


def section(facts: Facts) -> Markup | None:
    """Returns the section, or None where there is nothing to say."""
    return None
