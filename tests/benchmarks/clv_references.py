"""What the CLV model is compared with: rules, gradient boosting, and the classic model of purchases.

Each is a `cross_validation.Candidate`. Their libraries come with `make references`, not with `make setup`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from cross_validation import MEAN, Answer, Candidate, Floats, Table, folds, rows_of

from models.clv import features
from models.clv.naive import naive

LAST_HORIZON = "revenue_of_last_horizon"
"""A column that the command adds to the feature table."""

TWEEDIE_POWERS = (1.1, 1.3, 1.5)
LEAVES = (4, 12)
SMALLEST_LEAVES = (20, 50)
RATES = (0.03, 0.1)
ROUNDS = (25, 50, 100, 200, 400)
INNER_FOLDS = 3
HINDSIGHT = {
    "objective": "tweedie",
    "tweedie_variance_power": 1.5,
    "num_leaves": 4,
    "min_data_in_leaf": 20,
    "learning_rate": 0.05,
}
Setting = Mapping[str, Any]


def rule(fitted: Table, held_out: Table, seed: int, *, horizon: int) -> Answer:
    """The naive rule of the gates: revenue goes on at the rate so far."""
    return {MEAN: naive(held_out, {"horizon_days": horizon}) - held_out[features.PAST]}


def past(fitted: Table, held_out: Table, seed: int) -> Answer:
    """The past revenue as the total: nobody buys again."""
    return {MEAN: np.zeros(len(held_out[features.PAST]))}


def last_horizon(fitted: Table, held_out: Table, seed: int) -> Answer:
    """The horizon before the cut-off once more."""
    return {MEAN: held_out[LAST_HORIZON]}


def boosting(fitted: Table, held_out: Table, seed: int, *, grid: Callable[[], Iterator[Setting]]) -> Answer:
    """LightGBM with the setting of a grid whose error is least in cross-validation inside the training rows.

    Ke et al. 2017, "LightGBM: A highly efficient gradient boosting decision tree", NeurIPS 30. It sees the numbers of
    the feature table as they are, since trees ask for their order only, and the country as a category.
    """
    setting, rounds = _tuned(fitted, list(grid()), seed)
    model = _boosted(fitted, setting, rounds, seed)
    return {MEAN: model.predict(_inputs(held_out, fitted))}


def hindsight(fitted: Table, held_out: Table, seed: int) -> Answer:
    """LightGBM with a setting that was picked for being good on the held-out rows of docs/clv-model.md's very folds.

    No one could have known it before: harder to beat than honest tuning.
    """
    return {MEAN: _boosted(fitted, HINDSIGHT, 200, seed).predict(_inputs(held_out, fitted))}


def _tuned(fitted: Table, grid: list[Setting], seed: int) -> tuple[Setting, int]:
    """Returns the setting and the number of trees with the least mean absolute error over inner folds."""
    errors = np.zeros((len(grid), len(ROUNDS)))
    for fold in folds(fitted[features.CUSTOMER], INNER_FOLDS, 1, seed):
        inner, asked = rows_of(fitted, fold.fitted), rows_of(fitted, fold.held_out)
        inputs, label = _inputs(asked, inner), asked[features.FUTURE_LABEL]
        for at, setting in enumerate(grid):
            model = _boosted(inner, setting, max(ROUNDS), seed)
            predicted = [model.predict(inputs, num_iteration=rounds) for rounds in ROUNDS]
            errors[at] += [np.abs(label - one).sum() for one in predicted]
    best, rounds = np.unravel_index(errors.argmin(), errors.shape)
    return grid[int(best)], ROUNDS[int(rounds)]


def _boosted(fitted: Table, setting: Setting, rounds: int, seed: int) -> Any:
    import lightgbm

    # One thread and no choice of layout by the clock: the same seed gives the same trees.
    fixed = {"num_threads": 1, "deterministic": True, "force_row_wise": True, "verbose": -1, "seed": seed}
    data = lightgbm.Dataset(
        _inputs(fitted, fitted), fitted[features.FUTURE_LABEL], categorical_feature=[len(features.NUMERIC_INPUTS)]
    )
    return lightgbm.train({**fixed, **setting}, data, num_boost_round=rounds)


def _inputs(rows: Table, fitted: Table) -> Floats:
    """[rows, numbers + 1]: the country comes last, as its place among those of the training rows, NaN if unseen."""
    known, country = np.unique(fitted[features.COUNTRY].astype(str)), rows[features.COUNTRY].astype(str)
    place = np.where(np.isin(country, known), np.searchsorted(known, country), np.nan)
    return np.column_stack([*(rows[name].astype("float64") for name in features.NUMERIC_INPUTS), place])


def tweedie_grid() -> Iterator[Setting]:
    """Yields settings with the Tweedie deviance, which estimates the mean."""
    for power in TWEEDIE_POWERS:
        for setting in _shapes():
            yield {**setting, "objective": "tweedie", "tweedie_variance_power": power}


def absolute_grid() -> Iterator[Setting]:
    """Yields settings with the absolute error, which estimates the median: far below the mean where many spend 0."""
    for setting in _shapes():
        yield {**setting, "objective": "regression_l1"}


def _shapes() -> Iterator[Setting]:
    for leaves, smallest, rate in product(LEAVES, SMALLEST_LEAVES, RATES):
        yield {"num_leaves": leaves, "min_data_in_leaf": smallest, "learning_rate": rate}


def bg_nbd(fitted: Table, held_out: Table, seed: int, *, horizon: int) -> Answer:
    """BG/NBD for how often a customer buys, Gamma-Gamma for how much.

    Fader, Hardie & Lee 2005, "Counting your customers the easy way: an alternative to the Pareto/NBD model", Marketing
    Science 24(2), 275-284; Fader & Hardie 2013, "The Gamma-Gamma model of monetary value". Both at the most probable
    parameters. The mean of a day is that of all days with a purchase, the first one included, as the feature table has
    it.
    """
    from pymc_marketing.clv import BetaGeoModel, GammaGammaModel

    logging.getLogger("pymc").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bought = BetaGeoModel(data=_purchases(fitted))
        bought.fit(method="map", progressbar=False)
        spent = GammaGammaModel(data=_spending(fitted))
        spent.fit(method="map", progressbar=False)
        days = np.squeeze(bought.expected_purchases(data=_purchases(held_out), future_t=horizon).to_numpy())
        money = np.squeeze(spent.expected_customer_spend(data=_spending(held_out)).to_numpy())
    # A row is a customer in a country, and the label is over all countries.
    _, customer = np.unique(held_out[features.CUSTOMER].astype(str), return_inverse=True)
    return {MEAN: np.bincount(customer, days * money)[customer]}


def _purchases(rows: Table) -> Any:
    """Repeat purchases, age at the last one and age at the cut-off, in days, of customers in a country."""
    import pandas as pd

    age = rows["customer_age"].astype("float64")
    return pd.DataFrame(
        {
            "customer_id": np.arange(age.size),
            "frequency": rows[features.FREQUENCY].astype("float64") - 1,
            "recency": age,
            "T": age + rows[features.RECENCY].astype("float64"),
        }
    )


def _spending(rows: Table) -> Any:
    """Days with a purchase, and their mean revenue."""
    import pandas as pd

    # A gift has no price, and the gamma distribution no 0.
    mean = np.maximum(rows[features.AVERAGE].astype("float64"), 0.01)
    frequency = rows[features.FREQUENCY].astype("float64")
    return pd.DataFrame({"customer_id": np.arange(mean.size), "frequency": frequency, "monetary_value": mean})


def candidates(horizon: int) -> dict[str, Candidate]:
    """Returns the references by name.

    Args:
      horizon: days that the label spans.
    """
    return {
        "rule": partial(rule, horizon=horizon),
        "past": past,
        "last-horizon": last_horizon,
        "bg-nbd": partial(bg_nbd, horizon=horizon),
        "boosting-l1": partial(boosting, grid=absolute_grid),
        "boosting-tweedie": partial(boosting, grid=tweedie_grid),
        "boosting-hindsight": hindsight,
    }
