"""The generated sample as a shop of the continent would export it: same sales, another way of writing them."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from pathlib import Path

from models.clv.sample import read_csv
from pipeline.contract import UserError

HEADER = ("Rechnungsnr", "Artikel", "Bezeichnung", "Menge", "Rechnungsdatum", "Einzelpreis", "Kundennr", "Land")
HOME, ABROAD = "Deutschland", "Österreich"
TOTAL = ("Summe", "", "", "", "", "", "", "")
"""The line that programs for offices put under a table; it is no sale."""


def write_european(source: Path, target: Path) -> None:
    """Copies a sample as cp1252 text with semicolons, decimal commas, day.month.year dates and German names.

    The sample's home market becomes one country and all others a second. A line with a total ends the file.

    Args:
      source: a sample as `.csv`.
      target: where the copy goes, `.csv`.

    Raises:
      UserError: one of the endings is not `.csv`.
    """
    for path in (source, target):
        if path.suffix != ".csv":
            raise UserError(
                expected="a sample, and its copy, as .csv", received=path.name, todo="choose a name that ends in .csv"
            )
    _, *rows = read_csv(source)
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\r\n").writerows([HEADER, *map(_rewritten, rows), TOTAL])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text.getvalue().encode("cp1252"))


def _rewritten(row: list[str]) -> list[str]:
    invoice, code, title, quantity, date, price, customer, country = row
    day = datetime.fromisoformat(date).strftime("%d.%m.%Y %H:%M")
    land = HOME if country == "United Kingdom" else ABROAD
    return [invoice, code, title, quantity, day, price.replace(".", ","), customer, land]
