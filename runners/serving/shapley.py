"""Shapley values of a game: what each player adds to the worth of a coalition, averaged over the orders of joining.

For explanations players are features, and a coalition's worth is what a model answers to the row whose features in the
coalition have their own values and all others those of a baseline. With n players and worth v, over all orders p,

    value(i) = mean of  v(those before i in p, and i) - v(those before i in p)

(Shapley 1953, "A value for n-person games"). All orders are as much work as all 2^n coalitions; for more features than
that allows, some orders are drawn: Castro, Gomez & Tejada 2009, "Polynomial calculation of the Shapley value based on
sampling", Computers & Operations Research 36(5); for models: Strumbelj & Kononenko 2014, "Explaining prediction models
and individual predictions with feature contributions", Knowledge and Information Systems 41(3). Each drawn order is
used backwards as well: who joined late joins early then, so that errors of the two cancel (Mitchell, Cooper, Frank &
Holmes 2022, "Sampling permutations for Shapley value estimation", JMLR 23(43)).
"""

from __future__ import annotations

from math import factorial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

LEAST_PATHS = 4
"""Two orders, each also backwards: from a single pair nobody can tell how far pairs are apart."""


class Shares(NamedTuple):
    """What each player adds, in the unit of the worths.

    Attributes:
      values: [games, players]; a game's add up to the worth of all players less that of none.
      errors: standard errors of the values, [games, players]; 0 where all coalitions were asked.
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]


class Plan(Protocol):
    """Which coalitions are asked, and how their worths are divided.

    Attributes:
      coalitions: who is in, [coalitions, players]: none in the first, all in the last.
    """

    coalitions: NDArray[np.bool_]

    def shares(self, worths: NDArray[Any]) -> Shares:
        """Returns the players' shares from the coalitions' worths, [games, coalitions]."""
        ...


def plan(players: int, paths: int, seed: int = 0) -> Plan:
    """Returns all coalitions where paths would pass through as many, counted at each pass; else those on sampled paths.

    Args:
      players: how many there are.
      paths: orders in which the players join, one by one; an odd number is rounded up.
      seed: of the orders. The same seed, the same coalitions, for whichever games.

    Raises:
      ValueError: fewer than `LEAST_PATHS` paths.
    """
    if paths < LEAST_PATHS:
        raise ValueError(f"expected at least {LEAST_PATHS} paths, received {paths}")
    if 2**players <= paths * (players - 1) + 2:
        return AllCoalitions(players)
    return SampledPaths(players, paths, seed)


class AllCoalitions:
    """Exact: all 2^players coalitions; player p is in those whose number has the bit p."""

    def __init__(self, players: int) -> None:
        self.coalitions = (np.arange(2**players)[:, None] >> np.arange(players) & 1).astype(bool)

    def shares(self, worths: NDArray[Any]) -> Shares:
        """As in `Plan`. Of n players' orders, |S|! (n - |S| - 1)! / n! have exactly the coalition S before a player."""
        worths = worths.astype(np.float64)
        players = self.coalitions.shape[1]
        odds = np.array([factorial(k) * factorial(players - 1 - k) / factorial(players) for k in range(players)])
        values = np.empty((len(worths), players))
        for player in range(players):
            before = np.flatnonzero(~self.coalitions[:, player])
            gains = worths[:, before + 2**player] - worths[:, before]
            values[:, player] = gains @ odds[self.coalitions[before].sum(axis=1)]
        return Shares(values, np.zeros_like(values))


class SampledPaths:
    """Orders that are drawn, each also backwards: the coalitions on their ways, each of them once."""

    def __init__(self, players: int, paths: int, seed: int) -> None:
        draw = np.random.Generator(np.random.PCG64(seed))
        orders = draw.permuted(np.tile(np.arange(players), ((paths + 1) // 2, 1)), axis=1)
        self._places = np.argsort(np.concatenate([orders, orders[:, ::-1]]), axis=1)
        """When a player joins, [paths, players]; the second half of the paths are the first ones backwards."""
        ways = self._places[:, None, :] < np.arange(players + 1)[:, None]
        self.coalitions, steps = np.unique(ways.reshape(-1, players), axis=0, return_inverse=True)
        self._steps = steps.reshape(ways.shape[:2])

    def shares(self, worths: NDArray[Any]) -> Shares:
        """As in `Plan`. Errors come from the scatter between the pairs of paths, which are drawn independently."""
        gains = np.diff(worths.astype(np.float64)[:, self._steps], axis=2)
        gains = np.take_along_axis(gains, self._places[None], axis=2)
        pairs = gains.reshape(len(gains), 2, -1, gains.shape[2]).mean(axis=1)
        return Shares(pairs.mean(axis=1), pairs.std(axis=1, ddof=1) / np.sqrt(pairs.shape[1]))
