"""The ranked list: one row a customer, who is expected to spend most at the top.

Sorted, and cut into deciles, by the predicted future: what was spent is spent, whatever a shop does next, and it is the
order of the future that the model gate bounds (`future_spearman`, `future_gini`). Imports no TensorFlow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
_NUMBERS = (features.WEIGHT, features.PAST, features.FUTURE, "n_purchases", "days_since_last_purchase")
_SAID = {"low": (features.LOW, 2), "high": (features.HIGH, 2), "buys_again": (features.BUYS_AGAIN, 4)}
"""Columns of the list that the model answers beside the mean: which output, and how many digits are shown."""


class _Customers(NamedTuple):
    """One entry a customer, sorted by id.

    Attributes:
      name: the id.
      countries: as they are shown.
      past: revenue so far.
      future: predicted revenue.
      said: what else the model says, by column of the list.
      since: days since the last purchase.
      purchases: days with a purchase.
    """

    name: pa.Array
    countries: pa.Array
    past: Floats
    future: Floats
    said: dict[str, Floats]
    since: Integers
    purchases: Integers


def rank(table: pa.Table) -> pa.Table:
    """Returns the list, the greatest predicted future first; equals by total, then by customer.

    Args:
      table: rows of the feature table, one a customer and country, with `features.OUTPUTS` as the model answered them.
        An older version answers no more than `features.FUTURE` and the total: then the columns of the rest are missing.

    Returns:
      `customer`; `countries`, the one with most purchases first; `past`, `future` (predicted), `low` and `high` (ends
      of its interval) and `total`, in whole pence as the features are; `buys_again`, the probability of any
      revenue in the horizon; `decile` of the future, 1 for the top tenth; `segment`, see `segments`;
      `days_since_last_purchase`; `purchases`, days with a purchase, in each country.
    """
    customers = _merged(table)
    future = _pence(customers.future)
    total = _pence(customers.past + future)
    order = np.lexsort((-total, -future))  # Stable: equals stay sorted by customer.
    return pa.table(
        {
            "customer": customers.name.take(pa.array(order)),
            "countries": customers.countries.take(pa.array(order)),
            "past": _pence(customers.past)[order],
            "future": future[order],
            **{name: values[order] for name, values in customers.said.items()},
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
    rows = {name: table.column(name).to_numpy() for name in _NUMBERS}
    names, owner = _coded(table, features.CUSTOMER)
    weight = rows[features.WEIGHT]
    said = {
        name: _rounded(_sums(owner, weight * table.column(output).to_numpy()), digits)
        for name, (output, digits) in _SAID.items()
        if output in table.column_names
    }
    since = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(since, owner, rows["days_since_last_purchase"])
    return _Customers(
        name=names,
        countries=_countries(*_coded(table, features.COUNTRY), rows["n_purchases"], owner, len(names)),
        past=_sums(owner, weight * rows[features.PAST]),
        future=_sums(owner, weight * rows[features.FUTURE]),
        said=said,
        since=since,
        purchases=_sums(owner, rows["n_purchases"]).astype(np.int64),
    )


def _sums(owner: Integers, values: NDArray[Any]) -> Floats:
    """The sum of a column by customer."""
    sums: Any = np.bincount(owner, values)
    return np.asarray(sums, np.float64)


def _coded(table: pa.Table, name: str) -> tuple[pa.Array, Integers]:
    """The different texts of a column, sorted, and for each row which it has: Arrow is much faster at texts."""
    encoded = table.column(name).combine_chunks().dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary)
    places = np.empty(len(order), np.int64)
    places[order.to_numpy()] = np.arange(len(order))
    return encoded.dictionary.take(order), places[encoded.indices.to_numpy()]


def _countries(names: pa.Array, country: Integers, purchases: Integers, owner: Integers, customers: int) -> pa.Array:
    known = names.to_pylist()
    found: list[list[str]] = [[] for _ in range(customers)]
    for row in np.lexsort((country, -purchases)):
        found[owner[row]].append(known[country[row]])
    return pa.array([BETWEEN_COUNTRIES.join(each) for each in found])


def _pence(money: Floats) -> Floats:
    """Whole pence: what is shown decides the order, and not the last bits of a float."""
    return _rounded(money, 2)


def _rounded(values: Floats, digits: int) -> Floats:
    rounded: Floats = np.round(values, digits) + 0.0  # -0.0 becomes 0.0.
    return rounded
