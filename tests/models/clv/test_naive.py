"""The naive rule against figures worked out by hand."""

from __future__ import annotations

import numpy as np

from models.clv.naive import naive


def test_a_customer_goes_on_at_the_rate_so_far() -> None:
    inputs = {"past_monetary_value": np.array([182.0, 0.0]), "tenure_days": np.array([182, 200])}
    np.testing.assert_allclose(naive(inputs, {"horizon_days": 91}), [182 + 91, 0])


def test_a_short_tenure_counts_as_the_horizon() -> None:
    inputs = {"past_monetary_value": np.array([100.0, 100.0, 100.0]), "tenure_days": np.array([0, 1, 91])}
    np.testing.assert_allclose(naive(inputs, {"horizon_days": 91}), [200, 200, 200])
