"""Where the CLV examples come from: the raw columns, what the definition leaves out, and the cut-off."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Literal, cast

from models.clv import features
from models.clv.settings import COLUMNS, Features
from pipeline.contract import Ask, Column, Condition, Query, Settings, UserError

# fmt: off
ALSO = {
    "invoice": (
        "invoice", "invoice id", "order", "order id", "order no", "receipt", "transaction", "Rechnungsnummer",
        "Rechnung", "Rechnungs-Nr.", "Belegnummer", "Bestellnummer", "facture", "factura",
    ),
    "date": (
        "order date", "timestamp", "day", "created at", "purchased at", "Rechnungsdatum", "Datum", "Bestelldatum",
        "Belegdatum", "Kaufdatum", "date de facture", "fecha",
    ),
    "quantity": ("qty", "units", "pieces", "Menge", "Anzahl", "Stück", "quantité", "cantidad"),
    "unit_price": ("price", "price each", "Preis", "Einzelpreis", "Stückpreis", "prix unitaire", "precio"),
    "customer_id": (
        "customer", "customer no", "client", "client id", "user id", "Kunde", "Kundennummer", "Kunden-Nr.", "KdNr",
        "numéro client", "cliente",
    ),
    "country": ("nation", "ship country", "Land", "Lieferland", "pays", "país"),
}
"""What other shops call the columns, for the doctor's proposals."""
# fmt: on


def _column(name: str, kind: Literal["string", "integer", "float", "timestamp"], **more: Any) -> Column:
    return Column(name=name, source=COLUMNS[name], type=kind, also=ALSO[name], **more)


SOURCE = Query(
    sql="models.clv:features.sql",
    table="transactions",
    columns=(
        _column("invoice", "string"),
        _column("date", "timestamp"),
        _column("quantity", "integer"),
        _column("unit_price", "float"),
        _column("customer_id", "string", required=False),
        # What UCI itself writes where it knows no country.
        _column("country", "string", absent="Unspecified"),
    ),
    left_out=(
        Condition(name="no customer id", where="customer_id IS NULL"),
        Condition(name="cancelled or returned", where="customer_id IS NOT NULL AND quantity <= 0"),
    ),
    forbidden=(Condition(name="negative price", where="customer_id IS NOT NULL AND unit_price < 0"),),
    splits={"train": "TRAIN", "eval": "VALIDATE", "test": "TEST", features.EARLIER: "EARLIER"},
    learnt_besides=(features.EARLIER,),
    resolve="models.clv.source.resolve",
    latest={
        "cutoff": "(SELECT CAST(DATE_SUB(DATE(MAX(date)), INTERVAL @horizon_days - 1 DAY) AS DATE) FROM transactions)"
    },
)

SPAN = """
SELECT
  DATE(MIN(IF(customer_id IS NOT NULL AND quantity > 0, date, NULL))) AS first_purchase,
  DATE(MAX(date)) AS last_day
FROM transactions
"""


def resolve(settings: Settings, ask: Ask) -> Settings:
    """Returns the settings with a cut-off that the data can serve: `auto` becomes last day + 1 - horizon.

    The label is the revenue on days d with cutoff < d < cutoff + horizon, so the last day that it needs is
    cutoff + horizon - 1.

    Raises:
      UserError: the data ends before the label does, or holds no purchase up to the cut-off.
    """
    asked = cast(Features, settings.features)
    first, last = cast("tuple[date | None, date]", ask(SPAN))
    latest = last + timedelta(days=1 - asked.horizon_days)
    cutoff = latest if asked.cutoff == "auto" else asked.cutoff
    if cutoff > latest:
        raise UserError(
            expected=f"transactions up to {cutoff + timedelta(days=asked.horizon_days - 1)}, the last day of the "
            f"{asked.horizon_days} days after the cut-off {cutoff}",
            received=f"transactions whose last day is {last}",
            todo=f"set features.cutoff to {latest} or earlier, or to auto",
        )
    if first is None or cutoff < first:
        raise UserError(
            expected=f"purchases (a customer id and quantity > 0) up to and including the cut-off {cutoff}",
            received=f"{f'purchases from {first} on' if first else 'no purchase at all'}; the last day is {last}",
            todo=f"bring more than {asked.horizon_days} days of transactions, or set features.cutoff or "
            "features.horizon_days so that purchases lie before the cut-off",
        )
    return settings.model_copy(update={"features": asked.model_copy(update={"cutoff": cutoff})})
