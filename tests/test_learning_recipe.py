"""How the weights change: schedules by their formulas, and Adam, clipping, accumulation and averages in plain numpy."""

from Learning.options import Fit
from Learning.recipe import Warmup, optimizer

import keras
import numpy as np
import pytest

RATE = 0.01


def rate_at(recipe: keras.optimizers.Optimizer, step: int) -> float:
    recipe.build([keras.Variable(np.zeros(1, np.float32))])
    recipe.iterations.assign(step)
    return float(keras.ops.convert_to_numpy(recipe.learning_rate))


@pytest.mark.parametrize("step", [0, 1, 9, 10, 500, 999, 1_000])
def test_the_rate_follows_its_formula(step):
    rise = min(1, (step + 1) / 10)
    cosine = (1 + np.cos(np.pi * step / 1_000)) / 2
    expected = {
        "constant": RATE,
        "plateau": RATE,  # until the loop lowers it
        "exponential": RATE * 0.5 ** (step / 200),
        "cosine": RATE * cosine,
    }
    for decay, rate in expected.items():
        keys = {"steps": 1_000, "validate_every": 500, "decay": decay, "decay_rate": 0.5, "decay_steps": 200}
        fit = Fit(**keys, learning_rate=RATE)
        assert rate_at(optimizer(fit), step) == pytest.approx(rate, rel=1e-5, abs=1e-9)
        assert rate_at(optimizer(fit, RATE / 10), step) == pytest.approx(rate / 10, rel=1e-5, abs=1e-9)
        if decay != "plateau":
            warmed = rate_at(optimizer(Fit(**keys, learning_rate=RATE, warmup_steps=10)), step)
            assert warmed == pytest.approx(rise * rate, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("inner", [RATE, keras.optimizers.schedules.CosineDecay(RATE, 50)])
def test_a_warm_up_is_kept_by_keras(inner):
    kept = keras.saving.serialize_keras_object(Warmup(inner, 7))
    again = keras.saving.deserialize_keras_object(kept)
    for step in (0, 3, 20):
        values = [float(keras.ops.convert_to_numpy(each(step))) for each in (Warmup(inner, 7), again)]
        assert values[0] == values[1]


def by_hand(batches, weights, rate, decay=0.0, clip=0.0, accumulate=1, ema=0.0):
    """Adam (Kingma and Ba 2015) on the mean squared error of x w, in float64.

    Returns:
        The weights, their average, and the length of each gradient before it was clipped.
    """
    lengths = []
    first, second, average = np.zeros_like(weights), np.zeros_like(weights), None
    for step in range(len(batches) // accumulate):
        gradients = []
        for x, y in batches[step * accumulate : (step + 1) * accumulate]:
            gradients.append(2 * x.T @ (x @ weights - y) / y.size)
        gradient = np.mean(gradients, axis=0)
        lengths.append(np.linalg.norm(gradient))
        if clip:
            gradient = gradient * min(1, clip / np.linalg.norm(gradient))
        weights = weights - rate * decay * weights
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        weights = weights - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
        average = weights if average is None else ema * average + (1 - ema) * weights
    return weights, average, lengths


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adamw", "weight_decay": 0.3},
        {"clip_norm": 4.5},
        {"accumulate": 3},
        {"ema": 0.8},
    ],
    ids=str,
)
def test_weights_change_as_by_hand(settings):
    random = np.random.default_rng(0)
    batches = [(random.normal(size=(4, 3)), random.normal(size=(4, 2))) for _ in range(12)]
    weights = random.normal(size=(4, 2))  # the last row is the bias
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights([weights[:3], weights[3]])
    xla = keras.backend.backend() == "jax"  # TensorFlow would take most of the time to compile a dozen steps
    model.compile(optimizer(Fit(learning_rate=RATE, **settings)), "mse", jit_compile=xla)
    for x, y in batches:
        model.train_on_batch(x.astype(np.float32), y.astype(np.float32))
    names = {"weight_decay": "decay", "clip_norm": "clip", "accumulate": "accumulate", "ema": "ema"}
    told = {names[key]: value for key, value in settings.items() if key in names}
    with_bias = [(np.column_stack([x, np.ones(4)]), y) for x, y in batches]
    expected, average, lengths = by_hand(with_bias, weights, RATE, **told)
    np.testing.assert_allclose(np.vstack(model.get_weights()), expected, atol=1e-4)
    assert np.abs(expected - weights).min() > 1e-3
    if "clip_norm" in settings:  # some are too long and some are not, or Adam would not feel it
        assert min(lengths) < settings["clip_norm"] < sorted(lengths)[-3]
    if "ema" in settings:
        model.optimizer.finalize_variable_values(model.trainable_variables)
        np.testing.assert_allclose(np.vstack(model.get_weights()), average, atol=1e-4)
        assert np.abs(average - expected).max() > 1e-3
