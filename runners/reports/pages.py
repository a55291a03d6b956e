"""HTML from the templates of this package. What runs wrote is text, never markup: everything is escaped."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.contract import resource
from pipeline.verdict import number

BASE_STYLE = "runners.serving:page.css"
"""What the pages of servers look like, so that all pages of the project look alike."""


_MEASURED = re.compile(r"-?[\d.,]+ ?(%|ms|s)")


def render(template: str, **words: Any) -> Markup:
    """Returns a template of `templates/` with words filled in."""
    return Markup(_environment().get_template(template).render(**words))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("runners.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"figure": figure, "seconds": seconds, "count": count}
    environment.tests["numeric"] = numeric
    environment.globals["base_style"] = Markup(resource(BASE_STYLE).read_text(encoding="utf-8"))
    return environment


def figure(value: float | str | None) -> str:
    """Writes an entry of a table: numbers with four significant digits, nothing as a dash."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if abs(value) >= 1e15:
        return number(value)
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else number(float(f"{value:.4g}"))


def numeric(entry: float | str | None) -> bool:
    """Whether an entry of a table is a number, maybe with a unit, so that it stands at the right of its column."""
    return isinstance(entry, float | int) or (isinstance(entry, str) and bool(_MEASURED.fullmatch(entry)))


def count(value: float) -> str:
    """Writes a number of things: `541,909`."""
    return f"{int(value):,}"


def seconds(value: float) -> str:
    """Writes a duration: `0.4 s`, `75 s`, `12 min 5 s`."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"
