"""How numbers and dates are written as text, as SQL that reads them or returns NULL; nothing is ever guessed.

DuckDB's own casts are too lenient for raw data: '6.5' becomes the integer 7, '1/2/24' a day of the year 1, and 'nan'
and 'infinity' are numbers and dates. So a text must first match a pattern as a whole.
"""

from __future__ import annotations

import re

from pipeline.contract import DATE_PARTS, TableSettings
from pipeline.ingestion.sql import literal

DECIMAL = {"point": r"\.", "comma": ","}
THOUSANDS = {"none": "", "point": r"\.", "comma": ",", "space": r"[ \x{00A0}\x{202F}]", "apostrophe": "['\u2019]"}
"""Setting -> pattern of RE2. Spaces may be no-break ones, and Swiss apostrophes typographic."""
ISO = r"\d{4}-\d{2}-\d{2}.*"


def number(text: str, settings: TableSettings, *, whole: bool) -> str:
    """Returns SQL that reads a text as BIGINT or DOUBLE, or is NULL where it is not a number so written.

    Thousands must be complete: with points, `1.234` is 1234 and `12.34` no number at all.

    Args:
      text: SQL of the text.
      settings: how it is written.
      whole: whether only whole numbers are meant; decimals of zero may stand behind them.
    """
    decimal, thousands = DECIMAL[settings.decimal], THOUSANDS[settings.thousands]
    digits = rf"(\d+|\d{{1,3}}({thousands}\d{{3}})+)" if thousands else r"\d+"
    fraction = rf"{digits}({decimal}0+)?" if whole else rf"({digits}({decimal}\d*)?|{decimal}\d+)([eE][+-]?\d+)?"
    plain = f"regexp_replace({text}, {literal(thousands)}, '', 'g')" if thousands else text
    if settings.decimal == "comma":
        plain = f"replace({plain}, ',', '.')"
    return _read(text, f"[+-]?{fraction}", f"TRY_CAST({plain} AS {'BIGINT' if whole else 'DOUBLE'})")


def timestamp(text: str, settings: TableSettings) -> str:
    """Returns SQL that reads a text as TIMESTAMP, or is NULL where it is not a date so written."""
    iso = _read(text, ISO, f"TRY_CAST({text} AS TIMESTAMP)")
    if settings.date_format == "iso":
        return iso
    pattern = "".join(
        DATE_PARTS.get(part, re.escape(part)) for part in re.findall("%.|.", settings.date_format, flags=re.DOTALL)
    )
    return f"COALESCE({iso}, {_read(text, pattern, f'try_strptime({text}, {literal(settings.date_format)})')})"


def _read(text: str, pattern: str, value: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, {literal(pattern)}) THEN {value} END"
