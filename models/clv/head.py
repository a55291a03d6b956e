"""The head of the product's network: a zero-inflated lognormal distribution of the revenue after the cut-off.

A customer buys again with probability p, and whoever does spends a lognormal amount (Wang, Liu & Miao 2019, "A deep
probabilistic model for customer lifetime value prediction", arXiv:1912.07753, section 3.2):

    P(y = 0) = 1 - p,    log y | y > 0  ~  Normal(mu, sigma^2)

An ensemble answers the mixture of its members with equal weights. All functions are of Keras 3 and elementwise over
`[rows, members]`, unless they say otherwise; money is in the unit of `mu`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from keras import ops

PARAMETERS = 3
LARGEST_SIGMA = 3.0
"""With no limit, a few customers make sigma so large that exp(sigma^2 / 2) doubles the forecast of the whole shop."""
SMALLEST_SIGMA = 0.05
NEGLIGIBLE = 0.05
"""Share of those who buy whose smallest purchases a quantile counts as nothing: so close to the step at 0, it would be
a matter of rounding errors."""
PENNY = 0.01
HALVINGS = 24
"""Steps of the search for a quantile, which is then known to some 1e-6 of itself."""


class Distribution(NamedTuple):
    """Parameters of the distribution, each [rows, members].

    Attributes:
      logit: log(p / (1 - p)) of the probability p to buy again.
      mu: mean of the logarithm of what is then spent.
      sigma: its standard deviation.
    """

    logit: Any
    mu: Any
    sigma: Any


def from_raw(raw: Any, scale: float) -> Distribution:
    """Returns the distribution that three unbounded numbers stand for, [rows, members, 3].

    Args:
      raw: the numbers; zeros mean p = 1/2, mu = log(scale) and sigma in the middle of its range.
      scale: typical revenue, in the unit that the distribution is to have.
    """
    sigma = SMALLEST_SIGMA + (LARGEST_SIGMA - SMALLEST_SIGMA) * ops.sigmoid(raw[..., 2])
    return Distribution(raw[..., 0], raw[..., 1] + math.log(scale), sigma)


def stacked(distribution: Distribution) -> Any:
    """Returns a distribution as one tensor, [rows, members, 3], as networks answer it."""
    return ops.stack(distribution, axis=-1)


def unstacked(answer: Any) -> Distribution:
    """Returns the distribution that `stacked` stacked."""
    return Distribution(answer[..., 0], answer[..., 1], answer[..., 2])


def probability(distribution: Distribution) -> Any:
    """Returns p, the probability of any revenue."""
    return ops.sigmoid(distribution.logit)


def mean(distribution: Distribution, ceiling: float) -> Any:
    """Returns the mean, p exp(mu + sigma^2 / 2), at most `ceiling`."""
    log_mean = ops.log_sigmoid(distribution.logit) + distribution.mu + ops.square(distribution.sigma) / 2
    return ops.exp(ops.minimum(log_mean, math.log(ceiling)))


def negative_log_likelihood(label: Any, distribution: Distribution) -> Any:
    """Returns -log of the likelihood, less the terms that do not depend on the distribution.

    For y = 0 it is -log(1 - p); for y > 0 it is -log p + log sigma + ((log y - mu) / sigma)^2 / 2.

    Args:
      label: revenue, at least 0, of a shape that broadcasts to [rows, members].
      distribution: of each row.
    """
    logit, mu, sigma = distribution
    bought = ops.cast(label > 0, logit.dtype)
    z = (ops.log(ops.where(label > 0, label, 1.0)) - mu) / sigma
    spent = ops.log(sigma) + ops.square(z) / 2
    return ops.softplus(logit) + bought * (spent - logit)


def cumulative(log_money: Any, distribution: Distribution) -> Any:
    """Returns P(y <= exp(log_money)) of the mixture of the members, [rows, amounts].

    Args:
      log_money: [rows, amounts].
      distribution: [rows, members].
    """
    logit, mu, sigma = (ops.expand_dims(part, 1) for part in distribution)
    z = (ops.expand_dims(log_money, 2) - mu) / sigma
    normal = (1 + ops.erf(z / math.sqrt(2))) / 2
    return ops.mean(ops.sigmoid(-logit) + ops.sigmoid(logit) * normal, axis=2)


def quantiles(levels: Any, distribution: Distribution, ceiling: float) -> Any:
    """Returns quantiles of the mixture of the members, [rows, levels], from 0 to `ceiling`.

    Args:
      levels: probabilities that the revenue is at most the quantile, [rows, levels].
      distribution: [rows, members].
      ceiling: largest answer.
    """

    def halve(_: Any, ends: Any) -> Any:
        low, high = ends
        middle = (low + high) / 2
        below = cumulative(middle, distribution) < levels
        return ops.where(below, middle, low), ops.where(below, high, middle)

    ends = ops.full_like(levels, math.log(PENNY)), ops.full_like(levels, math.log(ceiling))
    _, high = ops.fori_loop(0, HALVINGS, halve, ends)
    buys = ops.mean(probability(distribution), axis=1, keepdims=True)
    return ops.where(1 - buys + NEGLIGIBLE * buys >= levels, 0.0, ops.exp(high))


def interval_levels(mass: float, distribution: Distribution) -> Any:
    """Returns the levels of the quantiles between which the revenue is with a probability of `mass`, [rows, 2].

    Both tails are equal as long as the probability of no revenue is no part of the lower one. Where that probability is
    a tail or more, the interval goes from 0 to the quantile `mass`. In between it changes without a step, and holds up
    to half a tail more than `mass`.
    """
    nothing = 1 - ops.mean(probability(distribution), axis=1)
    tail = ops.maximum((1 - mass) / 2 - nothing, 0.0)
    return ops.stack([tail, tail + mass], axis=1)
