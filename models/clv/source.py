"""Where the CLV examples come from: the raw columns, what the definition leaves out, and the cut-off."""

from __future__ import annotations

from datetime import date, timedelta
from typing import cast

from models.clv.settings import Features
from pipeline.contract import Ask, Column, Condition, Query, Settings, UserError

SOURCE = Query(
    sql="models.clv:features.sql",
    table="transactions",
    columns=(
        Column(name="invoice", source="InvoiceNo", type="string"),
        Column(name="date", source="InvoiceDate", type="timestamp"),
        Column(name="quantity", source="Quantity", type="integer"),
        Column(name="unit_price", source="UnitPrice", type="float"),
        Column(name="customer_id", source="CustomerID", type="string", required=False),
        Column(name="country", source="Country", type="string"),
    ),
    left_out=(
        Condition(name="no customer id", where="customer_id IS NULL"),
        Condition(name="cancelled or returned", where="customer_id IS NOT NULL AND quantity <= 0"),
    ),
    forbidden=(Condition(name="negative price", where="customer_id IS NOT NULL AND unit_price < 0"),),
    resolve="models.clv.source.resolve",
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
    features = cast(Features, settings.features)
    first, last = cast("tuple[date | None, date]", ask(SPAN))
    latest = last + timedelta(days=1 - features.horizon_days)
    cutoff = latest if features.cutoff == "auto" else features.cutoff
    if cutoff > latest:
        raise UserError(
            expected=f"transactions up to {cutoff + timedelta(days=features.horizon_days - 1)}, the last day of the "
            f"{features.horizon_days} days after the cut-off {cutoff}",
            received=f"transactions whose last day is {last}",
            todo=f"set features.cutoff to {latest} or earlier, or to auto",
        )
    if first is None or cutoff < first:
        raise UserError(
            expected=f"purchases (a customer id and quantity > 0) up to and including the cut-off {cutoff}",
            received=f"{f'purchases from {first} on' if first else 'no purchase at all'}; the last day is {last}",
            todo=f"bring more than {features.horizon_days} days of transactions, or set features.cutoff or "
            "features.horizon_days so that purchases lie before the cut-off",
        )
    return settings.model_copy(update={"features": features.model_copy(update={"cutoff": cutoff})})
