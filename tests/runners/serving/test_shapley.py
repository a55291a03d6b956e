"""Shapley values against the axioms that define them, and against the definition itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runners.serving.shapley import AllCoalitions, SampledPaths, Shares, plan

Game = Callable[[NDArray[Any]], NDArray[Any]]
"""Worth of each coalition, [coalitions] from [coalitions, players]."""

METHODS = [pytest.param(50, id="exact"), pytest.param(4, id="sampled"), pytest.param(7, id="sampled, an odd number")]


def shares(game: Game, players: int, paths: int, seed: int = 0) -> Shares:
    planned = plan(players, paths, seed)
    return planned.shares(game(planned.coalitions)[None])


def by_definition(game: Game, players: int) -> NDArray[Any]:
    """The mean over all orders of what a player adds to those before."""
    orders = list(permutations(range(players)))
    values = np.zeros(players)
    for order in orders:
        members = np.zeros((players + 1, players))
        for place, player in enumerate(order):
            members[place + 1 :, player] = 1
        values[list(order)] += np.diff(game(members))
    return values / len(orders)


def tangled(members: NDArray[Any]) -> NDArray[Any]:
    """Five players who help and hinder each other."""
    first, second, third, fourth, fifth = np.asarray(members, float).T
    worths: NDArray[Any] = 3 * first + second * third - 2 * first * fourth + 4 * second * fourth * fifth + 7
    worths += fifth * (1 - third)
    return worths


def test_exact_values_are_those_of_the_definition() -> None:
    planned = plan(5, paths=50)
    assert isinstance(planned, AllCoalitions)
    found = shares(tangled, 5, paths=50)
    np.testing.assert_allclose(found.values[0], by_definition(tangled, 5), atol=1e-12)
    assert not found.errors.any()


def test_all_coalitions_are_asked_only_where_paths_would_cost_as_much() -> None:
    """37 paths of 8 players: an empty and a full coalition, and 7 on each path in between, are 261."""
    assert isinstance(plan(8, paths=37), AllCoalitions)
    sampled = plan(8, paths=36)
    assert isinstance(sampled, SampledPaths)
    assert len(sampled.coalitions) <= 36 * 7 + 2
    assert len(np.unique(sampled.coalitions, axis=0)) == len(sampled.coalitions)


def test_a_single_player_gets_all() -> None:
    assert shares(lambda members: 5.0 * members[:, 0], 1, paths=4).values.tolist() == [[5.0]]


@pytest.mark.parametrize("paths", METHODS)
@pytest.mark.parametrize("players", [5, 12])
def test_none_and_all_are_the_first_and_the_last(paths: int, players: int) -> None:
    coalitions = plan(players, paths).coalitions
    assert not coalitions[0].any()
    assert coalitions[-1].all()


# --- axioms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paths", METHODS)
def test_what_all_add_is_what_the_whole_is_worth(paths: int) -> None:
    total = tangled(np.ones((1, 5))) - tangled(np.zeros((1, 5)))
    np.testing.assert_allclose(shares(tangled, 5, paths).values.sum(axis=1), total, atol=1e-12)


@pytest.mark.parametrize("paths", METHODS)
def test_who_adds_nothing_gets_nothing(paths: int) -> None:
    found = shares(lambda members: tangled(members * [1, 1, 1, 0, 1]), 5, paths)
    assert (found.values[0, 3], found.errors[0, 3]) == (0, 0)


@pytest.mark.parametrize("paths", METHODS)
def test_a_sum_is_divided_as_it_is_made(paths: int) -> None:
    found = shares(lambda members: members @ [1.0, -2.0, 4.0, 8.0, 0.5] + 3, 5, paths)
    np.testing.assert_allclose(found.values, [[1, -2, 4, 8, 0.5]], atol=1e-12)
    np.testing.assert_allclose(found.errors, 0, atol=1e-12)


@pytest.mark.parametrize("paths", METHODS)
def test_products_of_two_are_exact_on_any_paths_as_each_is_gone_backwards_too(paths: int) -> None:
    found = shares(lambda members: members[:, 0] * members[:, 1] + 6 * members[:, 2] * members[:, 4], 5, paths)
    np.testing.assert_allclose(found.values, [[0.5, 0.5, 3, 0, 3]], atol=1e-12)


def test_those_who_are_alike_get_the_same() -> None:
    found = shares(lambda members: members.sum(axis=1) ** 3.0, 5, paths=50)
    np.testing.assert_allclose(found.values, np.full((1, 5), 25.0), atol=1e-10)


def test_games_are_divided_one_by_one() -> None:
    planned = plan(5, paths=6, seed=3)
    worths = np.stack([tangled(planned.coalitions), 2 * tangled(planned.coalitions)])
    np.testing.assert_allclose(planned.shares(worths).values[1], 2 * planned.shares(worths[:1]).values[0])


# --- sampling --------------------------------------------------------------------------------------------


def crowd(members: NDArray[Any]) -> NDArray[Any]:
    """Twelve players, of whom many are needed for much."""
    worths: NDArray[Any] = np.exp(np.asarray(members, float) @ np.linspace(-0.2, 0.6, 12))
    return worths


def crowd_exactly() -> NDArray[Any]:
    planned = AllCoalitions(12)
    values: NDArray[Any] = planned.shares(crowd(planned.coalitions)[None]).values[0]
    return values


def test_sampled_values_are_as_near_as_their_errors_say() -> None:
    exact = crowd_exactly()
    off, errors = zip(*((each.values[0] - exact, each.errors[0]) for each in drawn(crowd, 20, seeds=100)), strict=True)
    spread, told = np.std(off, axis=0), np.sqrt(np.mean(np.square(errors), axis=0))
    np.testing.assert_allclose(told, spread, rtol=0.3)
    assert np.abs(np.mean(off, axis=0)).max() < 4 * spread.max() / np.sqrt(100)


def test_more_paths_are_nearer() -> None:
    exact = crowd_exactly()
    few, many = (np.mean([np.linalg.norm(each.values[0] - exact) for each in drawn(crowd, n, 20)]) for n in (6, 96))
    assert many < few / 3  # a sixteenth of the variance, a quarter of the error


def drawn(game: Game, paths: int, seeds: int) -> list[Shares]:
    return [shares(game, 12, paths, seed) for seed in range(seeds)]


def test_the_same_seed_draws_the_same_paths_and_another_seed_others() -> None:
    first, again, other = (shares(crowd, 12, 10, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)


def test_a_single_pair_of_paths_is_refused_as_it_has_no_error() -> None:
    with pytest.raises(ValueError, match="at least 4 paths, received 3"):
        plan(12, paths=3)
