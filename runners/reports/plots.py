"""Plots as SVG inside a page: their colours are the page's own, so that they suit dark screens and paper."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from typing import Any

import matplotlib
from cycler import cycler
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

WIDTH = 9.0
"""Inches; the page scales it."""

_CYCLE = ("#1f6fb5", "#c7571a", "#2e8b57", "#8a4fb0", "#a67c00", "#6b7280")
_INK, _PALE = "#010203", "#c9d1da"
_COLOURS = {
    _INK: "currentColor",
    "#000000": "currentColor",
    "#ffffff": "var(--surface)",
    _PALE: "var(--line)",
    **{colour: f"var(--c{n})" for n, colour in enumerate(_CYCLE)},
}
"""What matplotlib draws in -> what the page's style says."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.size": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.titlesize": 10,
    "axes.prop_cycle": cycler(color=_CYCLE),
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _PALE,
    "grid.linewidth": 0.5,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "patch.edgecolor": "none",
    "lines.linewidth": 1.6,
    "figure.constrained_layout.use": True,
}


def svg(draw: Callable[[Any], None], *, height: float, label: str) -> Markup:
    """Returns what is drawn into an empty figure, as an element of a page.

    Args:
      draw: `(matplotlib.figure.Figure) -> None`.
      height: in tenths of the width.
      label: what it shows, for those who cannot see it.
    """
    style: dict[Any, Any] = {**matplotlib.rcParamsDefault, **_STYLE, "backend": "agg"}
    with matplotlib.rc_context(style):
        drawn = Figure(figsize=(WIDTH, WIDTH * height / 10))
        draw(drawn)
        file = io.StringIO()
        # Not through `savefig`, which draws everything twice: once to find out how large it is.
        canvas: Any = FigureCanvasSVG(drawn)
        canvas.print_svg(file, metadata={"Date": None, "Creator": None})
    return Markup(_for_page(file.getvalue(), label))


def _for_page(text: str, label: str) -> str:
    """Cuts off the head of the file, names the picture, and gives it the page's colours."""
    body = text[text.index("<svg") :]
    body = re.sub("<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub("#[0-9a-f]{6}", lambda found: _COLOURS.get(found[0], found[0]), body)
    opening = re.search(r'viewBox="[^"]*"', body)
    assert opening
    inside = body[body.index(">") + 1 :]
    own = f"p{zlib.crc32(inside.encode()):08x}"
    inside = re.sub(r'(id="|href="#|url\(#)', lambda found: f"{found[1]}{own}-", inside)
    return str(Markup('<svg class="plot" role="img" aria-label="{}" {}>').format(label, Markup(opening[0]))) + inside
