"""The zero-inflated lognormal distribution against scipy's lognormal, closed forms and simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from models.clv import head

P, MU, SIGMA = 0.7, 5.0, 0.8
LOGNORMAL = stats.lognorm(SIGMA, scale=np.exp(MU))
CEILING = 1e6


def distribution(p: Any = P, mu: Any = MU, sigma: Any = SIGMA) -> head.Distribution:
    """Of rows with one member each, or of [rows, members]."""
    p, mu, sigma = np.broadcast_arrays(p, mu, sigma)
    shape = (-1, p.shape[-1] if p.ndim == 2 else 1)
    logit = np.log(p / (1 - p))
    return head.Distribution(*(np.reshape(part, shape).astype("float32") for part in (logit, mu, sigma)))


def first(tensor: Any) -> float:
    return float(np.asarray(tensor).ravel()[0])


def quantile(level: float, told: head.Distribution, ceiling: float = CEILING) -> float:
    return first(head.quantiles(np.full((len(told.mu), 1), level, "float32"), told, ceiling))


def interval(told: head.Distribution) -> Any:
    """Low and high ends, [rows] each."""
    return np.asarray(head.quantiles(head.interval_levels(0.8, told), told, CEILING)).T


def test_the_mean_is_the_lognormals_times_the_probability() -> None:
    assert first(head.mean(distribution(), CEILING)) == pytest.approx(P * LOGNORMAL.mean(), rel=1e-5)
    assert first(head.probability(distribution())) == pytest.approx(P)
    assert first(head.mean(distribution(), 50.0)) == pytest.approx(50.0)


def test_the_likelihood_is_that_of_the_mixture_of_a_step_and_a_density() -> None:
    labels = np.array([0.0, 3.0, 150.0, 9000.0])
    told = np.asarray(head.negative_log_likelihood(labels[:, None].astype("float32"), distribution([P] * 4)))[:, 0]
    expected = np.concatenate([[-np.log(1 - P)], -np.log(P) - LOGNORMAL.logpdf(labels[1:])])
    # Terms that do not depend on the distribution are left out.
    left_out = np.concatenate([[0.0], np.log(labels[1:]) + np.log(2 * np.pi) / 2])
    np.testing.assert_allclose(told, expected - left_out, rtol=1e-5)


def test_the_likelihood_of_all_labels_is_one() -> None:
    def density(y: float) -> float:
        told = first(head.negative_log_likelihood(np.asarray([[y]], "float32"), distribution()))
        return float(np.exp(-told) / y / np.sqrt(2 * np.pi))

    spent, _ = integrate.quad(density, 1e-6, LOGNORMAL.ppf(1 - 1e-7), points=[50, 150, 500], limit=200)
    nothing = np.exp(-first(head.negative_log_likelihood(np.asarray([[0]], "float32"), distribution())))
    assert spent + nothing == pytest.approx(1, abs=1e-4)


def test_the_likelihood_is_greatest_at_the_parameters_of_the_data() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(40_000) < P, LOGNORMAL.rvs(40_000, random_state=1), 0)[:, None].astype("float32")
    values = {
        (p, mu, sigma): float(np.mean(head.negative_log_likelihood(labels, distribution(p, mu, sigma))))
        for p in (P - 0.05, P, P + 0.05)
        for mu in (MU - 0.1, MU, MU + 0.1)
        for sigma in (SIGMA - 0.1, SIGMA, SIGMA + 0.1)
    }
    assert min(values, key=lambda key: values[key]) == (P, MU, SIGMA)


@pytest.mark.parametrize("level", [0.4, 0.5, 0.8, 0.9, 0.99])
def test_a_quantile_is_that_of_the_lognormal_at_what_the_zeros_leave(level: float) -> None:
    expected = LOGNORMAL.ppf((level - (1 - P)) / P)
    assert quantile(level, distribution()) == pytest.approx(expected, rel=1e-4)
    assert first(head.cumulative(np.asarray([[np.log(expected)]], "float32"), distribution())) == pytest.approx(
        level, abs=1e-5
    )


def test_a_quantile_is_zero_up_to_the_zeros_and_the_least_of_the_purchases_and_at_most_the_ceiling() -> None:
    at_the_step = 1 - P + P * head.NEGLIGIBLE
    assert quantile(at_the_step - 0.001, distribution()) == 0
    smallest = LOGNORMAL.ppf(head.NEGLIGIBLE)
    assert quantile(at_the_step + 0.001, distribution()) == pytest.approx(smallest, rel=0.02)
    assert quantile(0.999, distribution(), 400.0) == pytest.approx(400.0)


def test_an_ensemble_is_the_mixture_of_its_members() -> None:
    p, mu, sigma = np.array([[0.2, 0.9]]), np.array([[3.0, 6.0]]), np.array([[0.5, 1.0]])
    told = distribution(p, mu, sigma)
    rng = np.random.default_rng(2)
    member = rng.integers(0, 2, 400_000)
    drawn = np.exp(rng.normal(mu[0][member], sigma[0][member])) * (rng.random(member.size) < p[0][member])
    for level in (0.5, 0.75, 0.9):
        assert quantile(level, told) == pytest.approx(np.quantile(drawn, level), rel=0.02)
    assert np.mean(head.mean(told, CEILING)) == pytest.approx(drawn.mean(), rel=0.01)


@pytest.mark.parametrize(("p", "holds"), [(0.2, 0.8), (0.6, 0.8), (0.9, 0.8), (0.95, 0.85), (0.98, 0.8), (0.9999, 0.8)])
def test_the_interval_holds_its_mass(p: float, holds: float) -> None:
    low, high = (first(end) for end in interval(distribution(p)))
    below = 1 - p + p * LOGNORMAL.cdf(high)
    above = p * LOGNORMAL.cdf(low) + (1 - p) * (low > 0)
    assert below - above == pytest.approx(max(holds, 1 - p), abs=0.001)
    assert (low > 0) == (p > 0.95)


def test_the_interval_changes_without_a_step() -> None:
    _, high = interval(distribution(np.linspace(0.85, 0.99, 800)))
    assert np.abs(np.diff(high) / high[1:]).max() < 0.01


def test_raw_numbers_become_a_distribution_whose_sigma_is_bounded() -> None:
    told = head.from_raw(np.asarray([[[0, 0, 0], [2, 1, 40], [-2, -1, -40]]], "float32"), 100.0)
    np.testing.assert_allclose(told.logit[0], [0, 2, -2])
    np.testing.assert_allclose(told.mu[0], np.log(100.0) + np.array([0, 1, -1]), rtol=1e-6)
    middle = (head.SMALLEST_SIGMA + head.LARGEST_SIGMA) / 2
    np.testing.assert_allclose(told.sigma[0], [middle, head.LARGEST_SIGMA, head.SMALLEST_SIGMA], rtol=1e-6)
    np.testing.assert_array_equal(head.unstacked(head.stacked(told)).mu, told.mu)
