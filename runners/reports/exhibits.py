"""Plots, tables and pictures, as models and sections describe them, as parts of a page."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterable

from markupsafe import Markup

from pipeline.contract import Exhibit, Listing, Plot, Sheet
from runners.reports import plots
from runners.reports.pages import render


def show(exhibits: Iterable[Exhibit]) -> Markup:
    """Returns exhibits one below the other."""
    return Markup("\n").join(_show(exhibit) for exhibit in exhibits)


def attempt(what: str, make: Callable[[], Markup | None]) -> Markup | None:
    """Returns a part of a page, or a part that says why it could not be made: a report must not end for one of them."""
    try:
        return make()
    except Exception as error:
        logging.exception("%s could not be shown", what)
        return render("problem.html", what=what, why=f"{type(error).__name__}: {error}")


def _show(exhibit: Exhibit) -> Markup:
    match exhibit:
        case Plot():
            drawn = plots.svg(exhibit.draw, height=exhibit.height, label=exhibit.title)
            return render("exhibit.html", exhibit=exhibit, drawn=drawn)
        case Listing():
            return render("listing.html", exhibit=exhibit)
        case Sheet():
            rows = [(name, [_data(picture) for picture in pictures]) for name, pictures in exhibit.rows]
            return render("sheet.html", exhibit=exhibit, rows=rows)


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
