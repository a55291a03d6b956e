"""What a refused run says, for tests to look into."""

from __future__ import annotations

from pipeline.verdict import Check
from runners.run import RunResult


def refused(result: RunResult) -> dict[str, Check]:
    """Missed bounds by `gate metric`, and `(champion)` or the slice behind it where they are not about all rows."""
    assert (result.outcome, result.exit_code, result.pushed) == ("refused", 3, None), result
    return {_name(check): check for check in result.checks if not check.passed}


def _name(check: Check) -> str:
    against = " (champion)" if "champion" in check.bound else ""
    where = f" on {check.slice}" if "=" in check.slice else ""
    return f"{check.gate} {check.metric}{against}{where}"
