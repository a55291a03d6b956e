"""A generated sample of shop transactions, for demonstrations and tests: no person or shop is behind it.

The file has the columns and the habits of UCI Online Retail, so that the whole pipeline can run where the real
data set is not at hand. Customer ids start at 100001 and invoices at 800001, outside UCI's ranges.

Customers follow a buy-till-you-die process. While alive, customer i buys at a rate of lambda_i a day and stops
for good at a rate of mu_i, both gamma-distributed over customers (Pareto/NBD: Schmittlein, Morrison & Colombo
1987, "Counting your customers", Management Science 33(1), pp. 1-24; Fader, Hardie & Lee 2005, "RFM and CLV: using
iso-value curves for customer base analysis", Journal of Marketing Research 42(4), pp. 415-430). The value of an invoice
is gamma-distributed around the customer's own mean, which is inverse-gamma-distributed (gamma-gamma model: Fader &
Hardie 2013, "The gamma-gamma model of monetary value", note 025, brucehardie.com). So recency, frequency and spend
say something about the future, and a rule that knows nothing of drop-out expects too much.
"""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import UserError

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
FIRST_DAY = "2010-12-01"
DAYS = 374
"""The last day is 2011-12-09, as in UCI's file."""
CUSTOMERS = 4_000
FIRST_CUSTOMER = 100_001
FIRST_INVOICE = 800_001
SPOILT_EVERY = 50

# fmt: off
_COUNTRIES = {
    "United Kingdom": 0.900, "Germany": 0.022, "France": 0.020, "EIRE": 0.008, "Spain": 0.008, "Belgium": 0.007,
    "Switzerland": 0.006, "Portugal": 0.005, "Italy": 0.005, "Finland": 0.004, "Austria": 0.004, "Norway": 0.003,
    "Netherlands": 0.003, "Australia": 0.002, "Sweden": 0.002, "Japan": 0.001,
}
"""Shares of customers, in UCI's spelling."""
_ARTICLES = {
    "TEA TOWEL": 295, "EGG CUP": 125, "LUNCH BOX": 195, "CAKE STAND": 1095, "CANDLE HOLDER": 165, "PHOTO FRAME": 255,
    "DOOR MAT": 795, "PAPER CHAIN KIT": 85, "PENCIL CASE": 145, "WALL CLOCK": 645, "MUG": 235, "CUSHION COVER": 415,
    "NAPKINS, PACK OF 20": 75, "GARDEN LANTERN": 375, "STORAGE JAR": 325, "HOT WATER BOTTLE": 465,
}
"""Articles and their prices in pence; each comes in every colour at the same price."""
# fmt: on
_COLOURS = ("RED", "BLUE", "GREEN", "PINK", "IVORY", "SPOTTY", "VINTAGE", "SILVER")

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = dict[str, list[Any]]


class _Invoices(NamedTuple):
    """Arrays, one entry an invoice: days since the first day, customer (-1 = unknown), money, country's index."""

    time: Floats
    customer: Integers
    value: Floats
    country: Integers


class _Lines(NamedTuple):
    """Arrays, one entry a line: index of its invoice, index of its product, units."""

    invoice: Integers
    product: Integers
    quantity: Integers


def write_sample(path: Path, seed: int = 7, customers: int = CUSTOMERS) -> None:
    """Writes a sample of transactions as `.csv`, `.csv.gz` or `.parquet`, by the path's ending.

    The same seed gives the same rows, byte by byte in a `.csv`, whichever line of numpy is installed.

    Args:
      path: file to write, its folder included; an existing one is replaced.
      seed: of every random choice.
      customers: how many customers to draw; all of them buy at least once.

    Raises:
      UserError: the ending is none of the three.
    """
    if not path.name.endswith((".csv", ".csv.gz", ".parquet")):
        raise UserError(
            expected="a file name ending in .csv, .csv.gz or .parquet",
            received=path.name,
            todo="choose one of these endings",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = generate(seed, customers)
    if path.suffix == ".parquet":
        _write_parquet(path, columns)
    else:
        _write_csv(path, [COLUMNS, *zip(*columns.values(), strict=True)])


def spoil(source: Path, target: Path) -> None:
    """Copies a sample and gives every 50th row that has a customer id a negative price.

    It is what an export does that books corrections as negative prices: every row still parses, and averages
    over a customer hide it, so only a rule on raw rows can see it. The data gate must refuse the copy.

    Args:
      source: a sample as `.csv` or `.csv.gz`.
      target: where the spoilt copy goes, `.csv` or `.csv.gz`.

    Raises:
      UserError: one of the endings is neither `.csv` nor `.csv.gz`.
    """
    for path in (source, target):
        if not path.name.endswith((".csv", ".csv.gz")):
            raise UserError(
                expected="a sample to spoil, and its copy, as .csv or .csv.gz",
                received=path.name,
                todo="write the sample as .csv first",
            )
    header, *rows = read_csv(source)
    price, customer = header.index("UnitPrice"), header.index("CustomerID")
    for row in [row for row in rows if row[customer]][::SPOILT_EVERY]:
        row[price] = f"-{row[price]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    _write_csv(target, [header, *rows])


def read_csv(path: Path) -> list[list[str]]:
    """Returns the lines of a sample, header included, from `.csv` or `.csv.gz`."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def generate(seed: int, customers: int) -> Columns:
    """Returns the sample as columns, rows in the order of time; an unknown customer is None."""
    # PCG64's stream is fixed by numpy (NEP 19), and the draws below are those that numpy 1.26 and 2 share.
    draw = np.random.Generator(np.random.PCG64(seed))
    known = _purchases(draw, customers)
    invoices = _joined(known, _till_sales(draw, len(known.time) // 3))
    return _columns(*_with_cancellations(draw, invoices, _basket(draw, invoices)))


def _purchases(draw: np.random.Generator, customers: int) -> _Invoices:
    """Invoices of customers who are known by an id: a first one each, and repeats until they stop for good."""
    first = DAYS * draw.random(customers) ** 1.6  # most customers are there before the last quarter
    rate = draw.standard_gamma(2.0, customers) / 55  # purchases a day; on average one in 27.5 days
    lifetime = draw.standard_exponential(customers) / (draw.standard_gamma(1.0, customers) / 220)
    active = np.minimum(lifetime, DAYS - first)
    repeats = draw.poisson(rate * active)
    buyer = np.repeat(np.arange(customers), repeats)
    time = first[buyer] + active[buyer] * draw.random(len(buyer))
    kept = draw.random(len(buyer)) < _season(time)
    who = np.concatenate([np.arange(customers), buyer[kept]])
    mean_value = 1_050 / draw.standard_gamma(8.0, customers)  # inverse gamma with mean 150
    value = mean_value[who] * draw.standard_gamma(4.0, len(who)) / 4
    country = _countries(draw, customers)[who, draw.integers(0, 2, len(who))]
    return _Invoices(np.concatenate([first, time[kept]]), who, value, country)


def _season(time: Floats) -> Floats:
    """Share of repeat purchases that happen: 1 on day 347 (mid-November), .7 half a year from it.

    Thinning of a Poisson process: Lewis & Shedler 1979, Naval Research Logistics Quarterly 26(3), pp. 403-413.
    """
    share: Floats = 0.85 + 0.15 * np.cos(2 * np.pi * (time - 347) / 365)
    return share


def _countries(draw: np.random.Generator, customers: int) -> Integers:
    """Two countries a customer, [customers, 2]: the same twice, but for one customer in 100."""
    shares = np.cumsum(list(_COUNTRIES.values()))
    home, other = np.searchsorted(shares[:-1], draw.random((2, customers)))
    moved = draw.random(customers) < 0.01
    return np.stack([home, np.where(moved, np.maximum(other, 1), home)], axis=1)


def _till_sales(draw: np.random.Generator, count: int) -> _Invoices:
    """Invoices without a customer id: all at home, spread over the days, smaller than the others."""
    value = 100 * draw.standard_gamma(2.0, count) / 2
    return _Invoices(DAYS * draw.random(count), np.full(count, -1), value, np.zeros(count, np.int64))


def _joined(first: _Invoices, second: _Invoices) -> _Invoices:
    return _Invoices(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


def _basket(draw: np.random.Generator, invoices: _Invoices) -> _Lines:
    """One to about eight lines an invoice, in quantities that bring it near its value."""
    lines = 1 + draw.poisson(2.0, len(invoices.time))
    invoice = np.repeat(np.arange(len(lines)), lines)
    product = draw.integers(0, len(_COLOURS) * len(_ARTICLES), len(invoice))
    pounds = (invoices.value / lines)[invoice] * (0.5 + draw.random(len(invoice)))
    units = np.rint(pounds / (_prices()[product] / 100)).astype(np.int64)
    return _Lines(invoice, product, np.maximum(units, 1))


def _with_cancellations(
    draw: np.random.Generator, invoices: _Invoices, lines: _Lines
) -> tuple[_Invoices, _Lines, NDArray[np.bool_]]:
    """Adds for one known invoice in 50 another, within a week, that takes all of its lines back."""
    later = invoices.time + 7 * draw.random(len(invoices.time))
    hit = (invoices.customer >= 0) & (draw.random(len(later)) < 0.02) & (later < DAYS)
    cancelled = np.cumsum(hit) - 1 + len(hit)  # index of the invoice that cancels it
    back = hit[lines.invoice]
    taken = _Lines(cancelled[lines.invoice[back]], lines.product[back], -lines.quantity[back])
    extra = _Invoices(later[hit], invoices.customer[hit], invoices.value[hit], invoices.country[hit])
    joined = _Lines(*(np.concatenate(pair) for pair in zip(lines, taken, strict=True)))
    return _joined(invoices, extra), joined, np.arange(len(hit) + hit.sum()) >= len(hit)


def _columns(invoices: _Invoices, lines: _Lines, cancels: NDArray[np.bool_]) -> Columns:
    """Numbers the invoices in the order of time and spells the lines out as UCI's columns."""
    order = np.argsort(invoices.time, kind="stable")
    rank = np.argsort(order, kind="stable")
    lines = _Lines(*(column[np.argsort(rank[lines.invoice], kind="stable")] for column in lines))
    names = [f"{'C' if c else ''}{FIRST_INVOICE + r}" for r, c in zip(rank.tolist(), cancels.tolist(), strict=True)]
    ids = [FIRST_CUSTOMER + c if c >= 0 else None for c in invoices.customer.tolist()]
    dates, countries = _dates(invoices.time), list(_COUNTRIES)
    codes, titles = _products()
    owner, product = lines.invoice.tolist(), lines.product.tolist()
    columns = (
        [names[i] for i in owner],
        [codes[p] for p in product],
        [titles[p] for p in product],
        lines.quantity.tolist(),
        [dates[i] for i in owner],
        (_prices()[lines.product] / 100).tolist(),
        [ids[i] for i in owner],
        [countries[c] for c in invoices.country[lines.invoice].tolist()],
    )
    return dict(zip(COLUMNS, columns, strict=True))


def _dates(time: Floats) -> list[Any]:
    """Whole minutes between 8:00 and 18:00 of the day, as datetimes."""
    day, hour = np.divmod(time, 1.0)
    minutes = 1440 * day.astype(np.int64) + 480 + (600 * hour).astype(np.int64)
    dates: list[Any] = (np.datetime64(FIRST_DAY, "s") + 60 * minutes.astype("timedelta64[s]")).tolist()
    return dates


def _prices() -> Integers:
    return np.repeat(np.array(list(_ARTICLES.values())), len(_COLOURS))


def _products() -> tuple[list[str], list[str]]:
    """Stock codes, with a letter for each colour but the first, and descriptions."""
    letters = ["", *"BCDEFGH"]
    codes = [f"{30_001 + article}{letter}" for article in range(len(_ARTICLES)) for letter in letters]
    return codes, [f"{colour} {article}" for article in _ARTICLES for colour in _COLOURS]


def _write_csv(path: Path, rows: list[Any]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    data = text.getvalue().encode()
    # mtime=0: the time of writing in gzip's header would make two equal samples differ.
    path.write_bytes(gzip.compress(data, compresslevel=6, mtime=0) if path.suffix == ".gz" else data)


def _write_parquet(path: Path, columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
