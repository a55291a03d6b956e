"""The days as of which a model is trained: those that are named, or some that are spread over what the data allow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from pipeline.contract import UserError

AUTO = "auto"
NUMBER = 4
"""Cut-offs of `auto`."""
HELP = "auto, auto:N for N of them, or days such as 2011-03-01,2011-06-01"


class Span(NamedTuple):
    """What the data allow.

    Attributes:
      first: the first day with rows that the model's definition does not leave out.
      latest: the last cut-off that leaves a full horizon of data after it.
      horizon: days that a label takes.
    """

    first: date
    latest: date
    horizon: int

    @property
    def earliest(self) -> date:
        """The first cut-off with as many days of history, itself among them, as the label takes."""
        return self.first + timedelta(days=self.horizon - 1)

    def told(self, after: date) -> date:
        """The first day on which all of the label of a cut-off is known: the last day of its horizon."""
        return after + timedelta(days=self.horizon - 1)


def choose(text: str, span: Span) -> list[date]:
    """Returns the cut-offs that `--cutoffs` asks for, sorted.

    Args:
      text: see `HELP`.
      span: what the data allow.

    Raises:
      UserError: the text is neither, or the data cannot serve a day.
    """
    number = re.fullmatch(rf"{AUTO}(:[1-9][0-9]?)?", text.strip())
    if number:
        return spread(span, int(number[1][1:]) if number[1] else NUMBER)
    days = sorted({_day(part.strip()) for part in text.split(",")})
    if outside := [day for day in days if not span.first <= day <= span.latest]:
        raise UserError(
            expected=f"cut-offs from {span.first}, the first purchase or the like, to {span.latest}, after which "
            f"{span.horizon} days of data are left",
            received=", ".join(map(str, outside)),
            todo=f"choose days from {min(span.earliest, span.latest)} to {span.latest}, or --cutoffs {AUTO}",
        )
    return days


def spread(span: Span, number: int) -> list[date]:
    """Returns as many cut-offs as asked, evenly from the earliest to the latest.

    They are a quarter of a horizon apart at least: nearer ones ask about nearly the same days. So there are fewer where
    the data are short, and only the latest one where no cut-off leaves a horizon before it.
    """
    days = (span.latest - span.earliest).days
    if days < 0:
        return [span.latest]
    steps = min(number - 1, days // max(1, span.horizon // 4))
    return [span.latest - timedelta(days=days * step // max(1, steps)) for step in range(steps, -1, -1)]


def pairs(cutoffs: Sequence[date], span: Span) -> list[tuple[date, date]]:
    """Returns each cut-off with the next one on whose evening all of its label is known, where there is one.

    A model cannot be trained before: this is the first of the days at which it could have been used.
    """
    found = ((day, next((later for later in cutoffs if later >= span.told(day)), None)) for day in cutoffs)
    return [(day, later) for day, later in found if later]


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserError(expected=HELP, received=repr(text), todo="correct --cutoffs") from error
