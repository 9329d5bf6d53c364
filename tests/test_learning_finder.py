"""A range test: rates that rise as they should, losses as plain descent gives them, and what they suggest."""

import itertools

from Learning.finder import HIGHEST, LOWEST, Rising, range_test, suggestion

import keras
import numpy as np
import pytest
from scripts import call


def endless(*batch):
    return (batch for _ in itertools.count())


def test_the_rate_rises_evenly_on_a_logarithmic_axis():
    rising = Rising(25)
    rates = [float(keras.ops.convert_to_numpy(rising(step))) for step in range(25)]
    np.testing.assert_allclose(rates, np.geomspace(1e-6, 1, 25), rtol=1e-5)
    assert (LOWEST, HIGHEST) == (1e-6, 1.0)
    assert Rising.from_config(rising.get_config()).steps == 25


def test_losses_are_those_of_plain_descent():
    """One weight, loss (w x - y)^2: each step takes rate * 2 x (w x - y) off the weight."""
    steps, x, y = 40, 0.5, 3.0
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(Rising(steps)), "mse")
    told: list[int] = []
    batches = endless(np.full((2, 1), x, np.float32), np.full((2, 1), y, np.float32))
    found = range_test(model, batches, steps, told.append)
    weight, expected = 1.0, []
    for rate in np.geomspace(1e-6, 1, steps):
        expected.append((weight * x - y) ** 2)
        weight -= rate * 2 * x * (weight * x - y)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert told == list(range(1, steps + 1))


def test_it_ends_where_the_loss_is_no_number():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(Rising(60)), "mse")
    told: list[int] = []
    batches = endless(np.full((1, 1), 1e8, np.float32), np.zeros((1, 1), np.float32))
    found = range_test(model, batches, 60, told.append)
    assert np.isfinite(found[0]) and len(told) < 60
    assert np.isnan(found[len(told) - 1 :]).all() and np.isfinite(found[: len(told) - 1]).all()


@pytest.mark.parametrize("least", [1e-4, 1e-2])
def test_a_tenth_of_the_rate_of_the_least_loss(least):
    """A slow fall and a jump, after which no smoothed loss is less."""
    rates = np.geomspace(1e-6, 1, 121)
    losses = np.where(rates <= least * 1.001, 2 - np.arange(121) / 121, 50.0)
    rate, smoothed = suggestion(losses)
    assert rate == pytest.approx(least / 10)
    assert suggestion(np.where(rates <= least * 1.001, losses, np.nan))[0] == pytest.approx(least / 10)
    running = weight = 0.0
    for loss, mean in zip(losses, smoothed, strict=True):
        running, weight = 0.9 * running + 0.1 * loss, 0.9 * weight + 0.1
        assert mean == pytest.approx(running / weight)


def test_data_without_a_loss_are_one_line():
    with pytest.raises(ValueError, match="^the loss was no number before the learning rate rose"):
        suggestion(np.array([np.nan, 1.0]))


@pytest.mark.slow
def test_the_command_suggests_and_draws(place, capsys):
    words = ("demo", "data.sample_rate_hz=8000", "data.output_samples=500", "data.prepared=prepared")
    small = ("model.levels=2", "model.filters=2", "training.batch_size=2", "training.xla=false")
    assert call("Training.py", "find_learning_rate", "with", *words, *small) == 0
    assert "training.learning_rate=" in capsys.readouterr().out
    assert (place / "runs/learning_rate.png").stat().st_size > 1000
    assert [path.name for path in (place / "runs").glob("[!.]*")] == ["learning_rate.png"]
    assert call("Training.py", "find_learning_rate", "with", "demo", "data.prepared=nowhere") == 1
