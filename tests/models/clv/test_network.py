"""The network and its loss against closed forms."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from models.clv import features, head, network
from models.clv.training_settings import Training

SETTINGS = Training().model_dump()


def _network(scale: float = 700.0) -> keras.Model:
    keras.utils.set_random_seed(1)
    return network.build(SETTINGS, numeric_size=3, country_size=4, scale=scale)


def _told(model: keras.Model, numeric: Any, before: float = 0.0) -> Any:
    rows = np.asarray(numeric, "float32")
    return model(
        {
            network.NUMERIC: rows,
            network.COUNTRY: np.zeros(len(rows), "int64"),
            network.BEFORE: np.full(len(rows), before, "float32"),
        }
    )


def _answers(model: keras.Model, numeric: Any, ceiling: float = 100_000.0) -> dict[str, Any]:
    told = network.answers(SETTINGS, ceiling=ceiling)(_told(model, numeric))
    return {name: keras.ops.convert_to_numpy(value) for name, value in told.items()}


def test_untrained_it_answers_the_same_for_everybody() -> None:
    told = keras.ops.convert_to_numpy(_told(_network(), [[0, 0, 0], [1, -2, 3]]))
    assert told.shape == (2, Training().members, head.PARAMETERS)
    middle = (head.SMALLEST_SIGMA + head.LARGEST_SIGMA) / 2
    np.testing.assert_allclose(told, np.broadcast_to([0.0, np.log(700.0), middle], told.shape), rtol=1e-5)


def test_it_can_tell_earlier_days_from_the_cutoff() -> None:
    model = _network()
    for layer in model.layers:
        if isinstance(layer, keras.layers.EinsumDense) and layer.output.shape[-1] == head.PARAMETERS:
            layer.set_weights([np.full_like(layer.get_weights()[0], 1.0), layer.get_weights()[1]])
    now, before, long_before = (np.asarray(_told(model, [[0, 0, 0]], at)) for at in (0.0, 1.0, 2.0))
    assert not np.allclose(now, before)
    assert not np.allclose(before, long_before)


def test_no_answer_is_negative_or_above_the_ceiling_and_they_are_in_order() -> None:
    model = _network()
    for layer in model.layers:
        if isinstance(layer, keras.layers.EinsumDense) and layer.output.shape[-1] == head.PARAMETERS:
            layer.set_weights([np.full_like(layer.get_weights()[0], 9.0), layer.get_weights()[1]])
    answers = _answers(model, np.random.default_rng(0).normal(0, 50, (200, 3)), ceiling=5_000.0)
    assert set(answers) == set(features.OUTPUTS) - {features.TOTAL}
    for name, values in answers.items():
        assert values.min() >= 0, name
        assert values.max() <= (1 if name == features.BUYS_AGAIN else 5_000.0 * (1 + 1e-6)), name
    assert answers[features.FUTURE].max() == pytest.approx(5_000.0)
    assert (answers[features.LOW] <= answers[features.MEDIAN]).all()
    assert (answers[features.MEDIAN] <= answers[features.HIGH]).all()


def test_a_point_forecast_is_an_interval_without_width() -> None:
    told = network.answers(Training(network="reference").model_dump(), ceiling=9.0)(np.array([[120.0], [-5.0]]))
    assert {name: np.asarray(values).tolist() for name, values in told.items()} == {
        features.FUTURE: [120.0, -5.0],
        features.MEDIAN: [120.0, -5.0],
        features.LOW: [120.0, -5.0],
        features.HIGH: [120.0, -5.0],
        features.BUYS_AGAIN: [1.0, 0.0],
    }


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


def _loss(label: Any, mean: Any, scale: float = 20.0, **settings: float) -> float:
    """Of a distribution that is nearly certain to buy, and whose logarithm hardly varies: a given mean."""
    sigma, mean = 0.3, np.asarray(mean, "float32")
    mu = np.log(np.maximum(mean, 1e-9)) - sigma**2 / 2
    answer = np.stack([np.full_like(mu, 30.0), mu, np.full_like(mu, sigma)], axis=-1)[:, None, :]
    loss = network.loss({**SETTINGS, "nll_weight": 0.0, **settings}, scale)
    return float(loss(np.asarray(label, "float32"), answer.astype("float32")))


def test_the_deviance_alone_is_least_at_the_mean_and_the_error_pulls_towards_the_median() -> None:
    label = np.array([0.0, 0.0, 0.0, 10.0, 90.0], "float32")
    constants = np.arange(1.0, 40.0, 0.5)

    def best(mae_weight: float) -> float:
        losses = [_loss(label, np.full(5, value), mae_weight=mae_weight) for value in constants]
        return float(constants[int(np.argmin(losses))])

    assert best(0.0) == pytest.approx(20.0)
    assert best(0.5) < 20.0


@pytest.mark.parametrize("mae_weight", [0.0, 1.0])
def test_the_loss_does_not_depend_on_the_unit_of_money(mae_weight: float) -> None:
    label, mean = np.array([0.0, 5.0, 70.0]), np.array([1.0, 9.0, 40.0])
    pounds = _loss(label, mean, scale=25.0, mae_weight=mae_weight)
    pence = _loss(100 * label, 100 * mean, scale=2500.0, mae_weight=mae_weight)
    assert pounds == pytest.approx(pence, rel=1e-5)


def test_means_of_zero_and_without_bound_have_a_finite_loss() -> None:
    assert np.isfinite(_loss([0.0, 9.0], [0.0, 0.0], mae_weight=1.0))
    assert np.isfinite(_loss([0.0, 9.0], [1e20, 1e30], mae_weight=1.0))


def test_all_three_parts_of_the_loss_add_up() -> None:
    rng = np.random.default_rng(3)
    label = np.where(rng.random(40) < 0.5, 0, rng.lognormal(5, 1, 40)).astype("float32")
    raw = rng.normal(0, 1, (40, 2, 3)).astype("float32")
    answer = head.stacked(head.from_raw(raw, 300.0))

    def value(**chosen: float) -> float:
        return float(network.loss({**SETTINGS, "nll_weight": 0.0, "mae_weight": 0.0, **chosen}, 300.0)(label, answer))

    deviance = value()
    likelihood, error = value(nll_weight=1.0) - deviance, value(mae_weight=1.0) - deviance
    assert value(nll_weight=0.3, mae_weight=0.7) == pytest.approx(deviance + 0.3 * likelihood + 0.7 * error, rel=1e-4)
    found = head.unstacked(answer)
    expected = keras.ops.mean(head.negative_log_likelihood(label[:, None], found))
    assert likelihood == pytest.approx(float(expected), rel=1e-4)
