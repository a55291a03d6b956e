"""What every gate says: one `Check` for each bound that it looked at, and a sentence for people."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat

from pipeline.contract import Range

OVERALL = "overall"
"""Name of the slice that holds all rows."""

CANDIDATE, CHAMPION = "candidate", "champion"
"""Who predicts: the model of this run, and the one that it has to meet."""

JUDGED_SPLIT = "eval"
"""The split that the gates judge a model on. Nothing is fitted to it, and no other is bounded."""

REPORT_FILE = "checks.json"
"""What a gate that raises leaves in the folder of its output: a list of `Check`s."""


class Check(BaseModel):
    """One bound, looked at on one slice. Written as JSON beside what it judges.

    Attributes:
      gate: which gate looked.
      metric: what was measured, such as `future_gini` or `anomaly: quantity`.
      slice: where: `overall`, `frequency_band=2-3`, or the name of a split.
      bound: what must hold, as text that follows "must be": `>= 0.5`, `-0.25 .. 0.25`, `int in 1 .. 400`.
      value: what was found; text where it is no number (`undefined` for a metric without a value).
      shortfall: by how much the bound was missed, in the metric's unit; None if it was met or has no distance.
      passed: the verdict.
      note: a reason in plain words, or empty.
      binding: False where the bound does not hold, since the slice has too few rows; it passed then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: Literal["data", "serving", "model"]
    metric: str
    slice: str = OVERALL
    bound: str
    value: FiniteFloat | str
    shortfall: FiniteFloat | None = None
    passed: bool
    note: str = ""
    binding: bool = True


def sentence(check: Check) -> str:
    """Says in plain words which bound was met or missed, by how much and where.

    >>> gini = Check(gate="model", metric="gini", bound=">= 0.5", value=0.412, shortfall=0.088, passed=False)
    >>> sentence(gini)
    'model gate: gini on overall is 0.412, must be >= 0.5 (missed by 0.088)'
    """
    verb = "passes" if check.passed else "must be"
    missed = f" (missed by {number(check.shortfall)})" if check.shortfall is not None else ""
    note = f": {check.note}" if check.note else ""
    found = f"{check.gate} gate: {check.metric} on {check.slice} is {number(check.value)}"
    return f"{found}, {verb} {check.bound}{missed}{note}"


def number(value: float | str) -> str:
    """Writes a number with six significant digits at most; text stays as it is."""
    return value if isinstance(value, str) else f"{value:.6g}"


def at_most(
    bound: float,
    value: float,
    *,
    gate: Literal["data", "serving", "model"],
    metric: str,
    where: str,
    note: str = "",
) -> Check:
    """Returns the check that a number is at most a bound; the note says more wherever the number is not 0.

    Rounding does not refuse: a value within 1e-12 of the bound passes. NaN and infinity do not.
    """
    finite = math.isfinite(value)
    passed = finite and value <= bound + 1e-12
    return Check(
        gate=gate,
        metric=metric,
        slice=where,
        bound=f"<= {number(bound)}",
        value=value if finite else str(value),
        shortfall=None if passed or not finite else value - bound,
        passed=passed,
        note=note if value else "",
    )


def within(
    bound: Range, value: float, *, gate: Literal["data", "serving", "model"], metric: str, where: str, note: str = ""
) -> Check:
    """Returns the check that a finite number is in a range; the note is for a number that is not."""
    below = bound.lower - value if bound.lower is not None else 0.0
    above = value - bound.upper if bound.upper is not None else 0.0
    missed = max(0.0, below, above)
    return Check(
        gate=gate,
        metric=metric,
        slice=where,
        bound=bound_text(bound),
        value=value,
        shortfall=missed or None,
        passed=not missed,
        note=note if missed else "",
    )


def bound_text(bound: Range) -> str:
    """Writes a bound as text that follows "must be".

    >>> bound_text(Range(lower=0.5))
    '>= 0.5'
    """
    if bound.lower is not None and bound.upper is not None:
        return f"{number(bound.lower)} .. {number(bound.upper)}"
    if bound.lower is not None:
        return f">= {number(bound.lower)}"
    return f"<= {number(bound.upper)}" if bound.upper is not None else "a finite number"


def value_or_text(value: float) -> float | str:
    """Returns what `Check.value` takes: a number without a value is `undefined`, an infinite one `inf`."""
    if math.isnan(value):
        return "undefined"
    return value if math.isfinite(value) else str(value)


def finite_or_none(distance: float) -> float | None:
    """Returns what `Check.shortfall` takes: an infinite or undefined distance is none."""
    return distance if math.isfinite(distance) else None
