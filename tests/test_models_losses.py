from Models.lengths import Ladder
from Models.losses import LOSSES, loss
from Models.wave_unet import wave_unet

import keras
import numpy as np
import pytest
from keras import ops
from models_oracle import excerpts, gradient


def computed(name: str, sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(LOSSES[name](sources, estimates))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


SOURCES, ESTIMATES = noise(3, 50, 4, 2), noise(3, 50, 4, 2, seed=1)  # (B, T, S, C)


def by_hand(name: str, sources: np.ndarray, estimates: np.ndarray) -> float:
    """One example's loss, sample by sample, source by source, in float64."""
    sources, estimates = sources.astype(np.float64), estimates.astype(np.float64)
    error = sources - estimates
    if name == "mse":
        return sum(e**2 for e in error.flat) / error.size
    if name == "l1":
        return sum(abs(e) for e in error.flat) / error.size
    if name == "sum_squared":
        return sum(e**2 for e in error.flat)
    decibels = []
    for s in range(sources.shape[1]):
        energy = sum(x**2 for x in sources[:, s].flat)
        if energy < 1e-6:
            energy = sum(x**2 for x in sources.sum(axis=1).flat)
        ratio = sum(e**2 for e in error[:, s].flat) / (energy + 1e-6)
        decibels.append(10 * np.log10(ratio + 0.001))
    return sum(decibels) / len(decibels)


@pytest.mark.parametrize("name", LOSSES)
def test_each_example_by_hand(name):
    sources = SOURCES.copy()
    sources[1, :, 2] = 0  # one example with a silent source
    expected = [by_hand(name, *pair) for pair in zip(sources, ESTIMATES, strict=True)]
    np.testing.assert_allclose(computed(name, sources, ESTIMATES), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_keras_takes_the_mean_over_the_batch(name):
    expected = np.mean([by_hand(name, *pair) for pair in zip(SOURCES, ESTIMATES, strict=True)])
    np.testing.assert_allclose(float(loss(name)(SOURCES, ESTIMATES)), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_reduced_in_float32(name):
    half = ops.cast(ESTIMATES, "bfloat16")
    result = loss(name)(SOURCES, half)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    rounded = keras.ops.convert_to_numpy(ops.cast(half, "float32"))
    np.testing.assert_allclose(float(result), np.mean(computed(name, SOURCES, rounded)), rtol=1e-6)


# ---------------------------------------------------------------- log_energy


@pytest.mark.parametrize("gain", [0.0, 0.5, 0.9, 2.0, -1.0])
def test_log_energy_of_a_scaled_source_in_closed_form(gain):
    expected = 10 * np.log10((1 - gain) ** 2 + 0.001)
    np.testing.assert_allclose(computed("log_energy", SOURCES, gain * SOURCES), expected, atol=1e-4)


def test_log_energy_counts_no_better_than_30_db():
    assert computed("log_energy", SOURCES, SOURCES) == pytest.approx(-30)
    assert computed("log_energy", SOURCES, SOURCES * (1 + 1e-4)) == pytest.approx(-30, abs=1e-3)


def test_log_energy_of_a_soft_source_counts_as_much_as_of_a_loud_one():
    soft = SOURCES * np.array([1, 0.01, 1, 1])[:, None].astype(np.float32)
    np.testing.assert_allclose(
        computed("log_energy", soft, 0.5 * soft), computed("log_energy", SOURCES, 0.5 * SOURCES), atol=1e-3
    )


def test_log_energy_measures_a_silent_source_under_the_mixture():
    sources = np.zeros((1, 1000, 2, 1), np.float32)
    sources[0, :, 0] = noise(1000, 1)
    estimates = sources.copy()
    estimates[0, :, 1] = 0.1 * sources[0, ::-1, 0]  # a tenth of the mixture leaks: -20 dB
    expected = (-30 + 10 * np.log10(0.01 + 0.001)) / 2
    np.testing.assert_allclose(computed("log_energy", sources, estimates), [expected], atol=1e-3)
    assert computed("log_energy", sources, sources) == pytest.approx(-30)


def test_a_mixture_of_silence():
    silence = np.zeros((2, 100, 3, 1), np.float32)
    assert computed("log_energy", silence, silence) == pytest.approx(-30)
    assert np.all(computed("log_energy", silence, silence + 0.01) > 0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sources", [0.0, 1e-8, 1e-3, 1.0])
@pytest.mark.parametrize("estimates", [0.0, 1e-20, 1e-8, 1.0])
def test_gradients_are_finite_at_silence_and_near(name, sources, estimates):
    shape = (1, 100, 2, 1)
    slope = gradient(
        lambda x: ops.sum(LOSSES[name](np.full(shape, sources, np.float32), x)),
        np.full(shape, estimates, np.float32),
    )
    assert np.all(np.isfinite(slope))
    if abs(estimates - sources) > 1e-9:
        assert np.all(np.sign(slope) == np.sign(estimates - sources))
    if name == "log_energy":  # 10 log10(x^2 + f) is steepest where x^2 = f, hence never steeper than this
        energy = max(sources**2 * 100, 1e-6)
        assert np.linalg.norm(slope) < 10 / np.log(10) / np.sqrt(1e-3 * energy)


# ---------------------------------------------------------------- names, and models that are trained


def test_a_loss_that_there_is_not():
    with pytest.raises(ValueError, match="^expected a loss among mse, l1, sum_squared, log_energy. Received: mae$"):
        loss("mae")


@pytest.mark.parametrize("name", LOSSES)
def test_a_saved_loss_is_found_again(name):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss(name)))
    assert float(again(SOURCES, ESTIMATES)) == float(loss(name)(SOURCES, ESTIMATES))


def test_a_trained_model_reloads_with_its_loss_and_goes_on_exactly(tmp_path):
    ladder = Ladder(levels=1, down_size=3, up_size=3)
    keras.utils.set_random_seed(0)
    model = wave_unet(2, levels=1, filters=2, down_size=3, up_size=3)
    model.compile(keras.optimizers.Adam(1e-3), loss("log_energy"), jit_compile=False)
    samples = ladder.output_samples(30)
    mixture = excerpts(ladder.input_samples(samples), batch=2)
    sources = noise(2, samples, 2, 1)
    heard = keras.ops.convert_to_numpy(model({"mixture": mixture}))
    first = model.train_on_batch({"mixture": mixture}, sources)
    assert first == pytest.approx(np.mean(computed("log_energy", sources, heard)), rel=1e-4)

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    followed, expected = (
        [one.train_on_batch({"mixture": mixture}, sources) for _ in range(2)] for one in (again, model)
    )
    assert followed == expected and expected[1] < first
