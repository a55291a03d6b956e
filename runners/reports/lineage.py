"""The report's section "Lineage"."""

from __future__ import annotations

from markupsafe import Markup

from runners import lineage_text
from runners.lineage import of_run
from runners.reports.facts import Facts
from runners.reports.pages import render


def section(facts: Facts) -> Markup | None:
    """Returns the lineage of the run as text to copy: what `pipelines lineage` prints."""
    found = of_run(facts.root, facts.result, facts.store)
    tree, *others = lineage_text.parts(found)
    return render("lineage.html", root=facts.root, found=found, tree=tree, parts=others)
