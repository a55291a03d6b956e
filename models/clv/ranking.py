"""The ranked list: one row a customer, who is expected to spend most at the top.

Sorted, and cut into deciles, by the predicted future: what was spent is spent, whatever a shop does next, and it is the
order of the future that the model gate bounds (`future_spearman`, `future_gini`). Imports no TensorFlow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.clv import features

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DORMANT_DAYS = 250
COOLING_DAYS = 90
"""More days than these since the last purchase, and a customer is dormant, or cooling.

In UCI Online Retail at 2011-09-01, 53 % of those who cool buy again within the horizon, and 76 % of the active ones; a
limit of twice the customer's own mean gap tells them apart no better (54 % and 74 %).
"""
SEGMENTS = ("active", "cooling", "one purchase only", "dormant")
BETWEEN_COUNTRIES = "; "


class _Customers(NamedTuple):
    """Arrays, one entry a customer: id, countries, money, days since the last purchase, days with a purchase."""

    name: NDArray[Any]
    countries: NDArray[Any]
    past: Floats
    future: Floats
    since: Integers
    purchases: Integers


def rank(table: pa.Table) -> pa.Table:
    """Returns the list, the greatest predicted future first; equals by total, then by customer.

    Args:
      table: rows of the feature table, one a customer and country, with `features.FUTURE` as the model answered it.

    Returns:
      `customer`; `countries`, the one with most purchases first; `past`, `future` (predicted) and `total`, in whole
      pence as the features are; `decile` of the future, 1 for the top tenth; `segment`, see `segments`;
      `days_since_last_purchase`; `purchases`, days with a purchase, in each country.
    """
    customers = _merged(table)
    future = _pence(customers.future)
    total = _pence(customers.past + future)
    order = np.lexsort((customers.name, -total, -future))
    return pa.table(
        {
            "customer": customers.name[order],
            "countries": customers.countries[order],
            "past": _pence(customers.past)[order],
            "future": future[order],
            "total": total[order],
            "decile": deciles(len(order)),
            "segment": pa.array(segments(customers.since, customers.purchases)[order]).dictionary_encode(),
            "days_since_last_purchase": customers.since[order],
            "purchases": customers.purchases[order],
        }
    )


def deciles(customers: int) -> Integers:
    """Returns the decile of each place of a list, 1 for the first tenth: tenths differ by one customer at most."""
    found: Integers = np.arange(customers) * 10 // customers + 1
    return found


def segments(since: Integers, purchases: Integers) -> NDArray[Any]:
    """Returns the segment of each customer.

    Whoever has not bought for more than `DORMANT_DAYS` is dormant. Of the others, those who bought on one day only are
    a segment of their own, since nobody can say yet whether they come back; the rest is cooling after `COOLING_DAYS`,
    and active up to then.

    Args:
      since: days since the last purchase.
      purchases: days with a purchase.
    """
    tests = [since > DORMANT_DAYS, purchases == 1, since > COOLING_DAYS]
    return np.select(tests, ["dormant", "one purchase only", "cooling"], "active").astype(object)


def _merged(table: pa.Table) -> _Customers:
    """One row a customer.

    The label, and so the prediction, is the customer's revenue in all countries: the rows of a customer predict the
    same thing, and their mean, not their sum, is the answer. Their weights are 1 together, as in the metrics.
    """
    rows = {name: np.asarray(table.column(name).to_pylist()) for name in _NUMBERS}
    names, owner = np.unique(_texts(table, features.CUSTOMER), return_inverse=True)
    weight = rows[features.WEIGHT]
    since = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(since, owner, rows["days_since_last_purchase"])
    return _Customers(
        name=names,
        countries=_countries(_texts(table, features.COUNTRY), rows["n_purchases"], owner, len(names)),
        past=np.bincount(owner, weight * rows[features.PAST]),
        future=np.bincount(owner, weight * rows[features.FUTURE]),
        since=since,
        purchases=np.bincount(owner, rows["n_purchases"]).astype(np.int64),
    )


_NUMBERS = (features.WEIGHT, features.PAST, features.FUTURE, "n_purchases", "days_since_last_purchase")


def _texts(table: pa.Table, name: str) -> NDArray[Any]:
    return np.array(table.column(name).to_pylist(), object)


def _countries(country: NDArray[Any], purchases: Integers, owner: Integers, customers: int) -> NDArray[Any]:
    found: list[list[str]] = [[] for _ in range(customers)]
    for row in np.lexsort((country, -purchases)):
        found[owner[row]].append(country[row])
    return np.array([BETWEEN_COUNTRIES.join(names) for names in found], object)


def _pence(money: Floats) -> Floats:
    """Whole pence: what is shown decides the order, and not the last bits of a float."""
    rounded: Floats = np.round(money, 2) + 0.0  # -0.0 becomes 0.0.
    return rounded
