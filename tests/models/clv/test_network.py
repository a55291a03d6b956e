"""The network and its loss against closed forms."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from models.clv import network
from models.clv.training_settings import Training


def _network(scale: float = 700.0, ceiling: float = 100_000.0) -> keras.Model:
    keras.utils.set_random_seed(1)
    settings = Training().model_dump()
    return network.build(settings, numeric_size=3, country_size=4, scale=scale, ceiling=ceiling)


def _answers(model: keras.Model, numeric: Any) -> Any:
    rows = np.asarray(numeric, "float32")
    return keras.ops.convert_to_numpy(model({network.NUMERIC: rows, network.COUNTRY: np.zeros(len(rows), "int64")}))


def test_untrained_it_answers_the_mean_for_everybody() -> None:
    np.testing.assert_allclose(
        _answers(_network(), [[0, 0, 0], [1, -2, 3]]), np.full((2, Training().members), 700.0), rtol=1e-6
    )


def test_no_answer_is_negative_or_above_the_ceiling() -> None:
    model = _network(ceiling=5_000.0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.EinsumDense) and layer.output.shape[-1] == 1:
            layer.set_weights([np.full_like(layer.get_weights()[0], 9.0), layer.get_weights()[1]])
    answers = _answers(model, np.random.default_rng(0).normal(0, 50, (200, 3)))
    assert answers.min() >= 0
    assert answers.max() == pytest.approx(5_000.0)
    assert np.isfinite(answers).all()


@pytest.mark.parametrize("power", [1.2, 1.5, 1.8])
def test_the_deviance_is_least_at_the_label_and_its_slope_is_the_error_over_the_variance(power: float) -> None:
    label, step = 3.0, 1e-5
    at = np.linspace(1.0, 6.0, 501)
    values = network.tweedie_deviance(label, at, power)
    assert at[values.argmin()] == pytest.approx(label)
    slope = (network.tweedie_deviance(label, 5 + step, power) - network.tweedie_deviance(label, 5 - step, power)) / (
        2 * step
    )
    assert slope == pytest.approx((5 - label) / 5**power, rel=1e-6)


def test_the_deviance_alone_is_least_at_the_mean_and_the_error_pulls_towards_the_median() -> None:
    label = np.array([0.0, 0.0, 0.0, 10.0, 90.0], "float32")

    def best(mae_weight: float) -> float:
        loss = network.revenue_loss(scale=20.0, power=1.5, mae_weight=mae_weight)
        constants = np.arange(1.0, 40.0, 0.5)
        losses = [float(loss(label, np.full((5, 1), value, "float32"))) for value in constants]
        return float(constants[int(np.argmin(losses))])

    assert best(0.0) == pytest.approx(20.0)
    assert best(0.5) < 20.0


def test_the_loss_does_not_depend_on_the_unit_of_money() -> None:
    label, prediction = np.array([0.0, 5.0, 70.0], "float32"), np.array([[1.0], [9.0], [40.0]], "float32")
    pounds = network.revenue_loss(scale=25.0, power=1.5, mae_weight=1.0)(label, prediction)
    pence = network.revenue_loss(scale=2500.0, power=1.5, mae_weight=1.0)(100 * label, 100 * prediction)
    assert float(pounds) == pytest.approx(float(pence), rel=1e-5)


def test_a_prediction_of_zero_has_a_finite_loss() -> None:
    loss = network.revenue_loss(scale=25.0, power=1.5, mae_weight=1.0)
    assert np.isfinite(float(loss(np.array([0.0, 9.0], "float32"), np.zeros((2, 1), "float32"))))
