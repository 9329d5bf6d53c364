from Models.lengths import Ladder
from Models.losses import LOSSES, loss, per_example
from Models.options import terms
from Models.wave_unet import wave_unet

import keras
import numpy as np
import pytest
from keras import ops
from models_oracle import excerpts, gradient
from spectrogram_oracle import spectra

WAVEFORM = ["mse", "l1", "sum_squared", "log_energy"]  # losses that fall wherever an estimate nears its source


def computed(name: str, sources: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(LOSSES[name](sources, estimates))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


SOURCES, ESTIMATES = noise(3, 900, 4, 2), noise(3, 900, 4, 2, seed=1)  # (B, T, S, C)


YAMAMOTO = [(600, 120, 1024), (1200, 240, 2048), (240, 50, 512)]  # frame, hop, transform; table 1 of the paper


def _magnitudes(signals: np.ndarray, *grid: int) -> np.ndarray:
    """(T, S, C) -> (S, C, frames, bins)."""
    return np.array([[np.abs(spectra(channel, *grid)) for channel in source.T] for source in signals.swapaxes(0, 1)])


def _distance(sources, estimates, silent, *grid) -> float:
    heard, guessed = _magnitudes(sources, *grid), _magnitudes(estimates, *grid)
    mixture = _magnitudes(sources.sum(axis=1, keepdims=True), *grid)[0]
    distances = []
    for source, estimate, none in zip(heard, guessed, silent, strict=True):
        convergence = np.linalg.norm(source - estimate) / np.linalg.norm(mixture if none else source)
        logarithms = np.log(np.maximum(source, 1e-7**0.5)) - np.log(np.maximum(estimate, 1e-7**0.5))
        distances.append(convergence + np.mean(np.abs(logarithms)))
    return np.mean(distances)


def _negative_si_sdr(source, estimate, mixture=None) -> float:
    """Le Roux et al. 2019, by a least-squares fit; under the mixture where there is no source."""
    factor = np.linalg.lstsq(source.reshape(-1, 1), estimate.ravel(), rcond=None)[0][0] if mixture is None else 0
    target = factor * source if mixture is None else mixture
    return 10 * np.log10(np.sum((estimate - factor * source) ** 2) / np.sum(target**2) + 0.001)


def by_hand(name: str, sources: np.ndarray, estimates: np.ndarray) -> float:
    """One example's loss, sample by sample, source by source, frame by frame, in float64."""
    sources, estimates = sources.astype(np.float64), estimates.astype(np.float64)
    error = sources - estimates
    mixture = sources.sum(axis=1)
    silent = [sum(x**2 for x in sources[:, s].flat) < 1e-6 for s in range(sources.shape[1])]
    if name == "si_sdr":
        beside = [mixture if none else None for none in silent]
        return np.mean([_negative_si_sdr(sources[:, s], estimates[:, s], beside[s]) for s in range(len(silent))])
    if name == "magnitudes":
        return np.mean(np.abs(_magnitudes(sources, 1024, 768, 1024) - _magnitudes(estimates, 1024, 768, 1024)))
    if name == "multi_resolution_stft":
        return np.mean([_distance(sources, estimates, silent, *grid) for grid in YAMAMOTO])
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
    np.testing.assert_allclose(computed(name, sources, ESTIMATES), expected, rtol=2e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_keras_takes_the_mean_over_the_batch(name):
    expected = np.mean([by_hand(name, *pair) for pair in zip(SOURCES, ESTIMATES, strict=True)])
    np.testing.assert_allclose(float(loss(name)(SOURCES, ESTIMATES)), expected, rtol=2e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_reduced_in_float32(name):
    half = ops.cast(ESTIMATES, "bfloat16")
    rounded = computed(name, SOURCES, keras.ops.convert_to_numpy(ops.cast(half, "float32")))
    of_each, mean = per_example(name, SOURCES, half), loss(name)(SOURCES, half)
    assert {keras.backend.standardize_dtype(result.dtype) for result in (of_each, mean)} == {"float32"}
    np.testing.assert_allclose(keras.ops.convert_to_numpy(of_each), rounded, rtol=1e-6)
    np.testing.assert_allclose(float(mean), np.mean(rounded), rtol=1e-6)


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
    if name in WAVEFORM and abs(estimates - sources) > 1e-9:
        assert np.all(np.sign(slope) == np.sign(estimates - sources))
    if name == "log_energy":  # 10 log10(x^2 + f) is steepest where x^2 = f, hence never steeper than this
        energy = max(sources**2 * 100, 1e-6)
        assert np.linalg.norm(slope) < 10 / np.log(10) / np.sqrt(1e-3 * energy)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_at_perfect_estimates_beside_a_silent_source(name):
    sources = noise(2, 900, 3, 1)
    sources[0, :, 1] = 0
    assert np.all(np.isfinite(gradient(lambda x: ops.sum(LOSSES[name](sources, x)), sources)))


# ---------------------------------------------------------------- si_sdr


@pytest.mark.parametrize("decibels", [-10, 0, 20])
@pytest.mark.parametrize("gain", [0.01, 1, -3])
def test_si_sdr_of_a_source_and_an_orthogonal_error_in_closed_form(decibels, gain):
    moments = np.arange(1000) / 1000
    source = np.sin(2 * np.pi * 50 * moments)
    error = np.sin(2 * np.pi * 70 * moments) * 10 ** (-decibels / 20)
    sources, estimates = (x[None, :, None, None].astype(np.float32) for x in (source, gain * (source + error)))
    expected = 10 * np.log10(10 ** (-decibels / 10) + 0.001)
    np.testing.assert_allclose(computed("si_sdr", sources, estimates), expected, atol=0.01)


def test_si_sdr_of_silence_is_none_and_of_the_source_the_best():
    np.testing.assert_allclose(computed("si_sdr", SOURCES, 0 * SOURCES), 0, atol=0.01)
    np.testing.assert_allclose(computed("si_sdr", SOURCES, SOURCES / 5), -30, atol=0.01)


@pytest.mark.parametrize("name", ["log_energy", "si_sdr"])
def test_what_leaks_into_a_silent_source_is_measured_under_the_mixture(name):
    sources = np.stack([noise(1, 1000, 1), np.zeros((1, 1000, 1), np.float32)], axis=2)
    leaking = np.stack([sources[:, :, 0], 0.1 * sources[:, ::-1, 0]], axis=2)  # a tenth: -20 dB
    expected = (-30 + 10 * np.log10(0.01 + 0.001)) / 2
    np.testing.assert_allclose(computed(name, sources, leaking), [expected], atol=0.01)
    np.testing.assert_allclose(computed(name, sources, sources), -30, atol=0.01)


# ---------------------------------------------------------------- spectra


@pytest.mark.parametrize("gain", [0.5, 1, 3])
def test_losses_on_magnitudes_of_a_scaled_source_in_closed_form(gain):
    """The sign is no matter; a gain moves every magnitude in proportion, and every logarithm by its own."""
    expected = abs(1 - gain) + abs(np.log(gain))
    np.testing.assert_allclose(computed("multi_resolution_stft", SOURCES, -gain * SOURCES), expected, atol=1e-4)
    silence = computed("magnitudes", SOURCES, 0 * SOURCES)
    np.testing.assert_allclose(computed("magnitudes", SOURCES, -gain * SOURCES), abs(1 - gain) * silence, atol=1e-4)


def test_a_silent_source_wants_silence_of_magnitudes():
    sources = SOURCES * np.array([1, 0, 1, 1], np.float32)[:, None]
    for name in ("magnitudes", "multi_resolution_stft"):
        measured = [computed(name, sources, sources + leak * noise(*sources.shape)) for leak in (0, 1e-3, 0.1)]
        assert np.all(measured[0] < 1e-4) and np.all(np.diff(measured, axis=0) > 1e-3)


# ---------------------------------------------------------------- sums by name


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("l1", [(1, "l1")]),
        ("l1+0.5*multi_resolution_stft", [(1, "l1"), (0.5, "multi_resolution_stft")]),
        ("1e-3*si_sdr+2.*mse+.5*l1", [(1e-3, "si_sdr"), (2, "mse"), (0.5, "l1")]),
    ],
)
def test_weighted_sums_by_name(expression, expected):
    assert terms(expression) == expected
    summed = sum(weight * computed(name, SOURCES, ESTIMATES) for weight, name in expected)
    np.testing.assert_allclose(ops.convert_to_numpy(per_example(expression, SOURCES, ESTIMATES)), summed, rtol=1e-6)
    np.testing.assert_allclose(float(loss(expression)(SOURCES, ESTIMATES)), np.mean(summed), rtol=1e-5)


WRONG = ["mae", "", "l1+", "+l1", "0*l1", "-1*l1", "1e999*l1", "l1*0.5", "l1 + mse", "2l1", "a*l1", "1.2.*l1"]


@pytest.mark.parametrize("expression", WRONG)
def test_a_loss_that_there_is_not(expression):
    known = ", ".join(LOSSES)
    with pytest.raises(ValueError) as error:
        loss(expression)
    unknown = f"'loss' must be among {known}, or a weighted sum like l1+0.5*si_sdr"
    weighed = "'loss' must weigh losses by positive numbers, like l1+0.5*si_sdr, and not by "
    assert str(error.value).startswith((unknown, weighed))
    assert str(error.value).endswith(f"; received {expression!r}") or "; did you mean " in str(error.value)


@pytest.mark.parametrize("expression", [*LOSSES, "l1+0.5*si_sdr"])
def test_a_saved_loss_is_found_again(expression):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss(expression)))
    assert float(again(SOURCES, ESTIMATES)) == float(loss(expression)(SOURCES, ESTIMATES))


def test_a_trained_model_reloads_with_its_loss_and_goes_on_exactly(tmp_path):
    ladder = Ladder(levels=1, down_size=3, up_size=3)
    keras.utils.set_random_seed(0)
    model = wave_unet(2, levels=1, filters=2, down_size=3, up_size=3)
    model.compile(keras.optimizers.Adam(1e-3), loss("log_energy+0.5*l1"), jit_compile=False)
    samples = ladder.output_samples(30)
    mixture = excerpts(ladder.input_samples(samples), batch=2)
    sources = noise(2, samples, 2, 1)
    heard = keras.ops.convert_to_numpy(model({"mixture": mixture}))
    first = model.train_on_batch({"mixture": mixture}, sources)
    expected = computed("log_energy", sources, heard) + 0.5 * computed("l1", sources, heard)
    assert first == pytest.approx(np.mean(expected), rel=1e-4)

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    followed, expected = (
        [one.train_on_batch({"mixture": mixture}, sources) for _ in range(2)] for one in (again, model)
    )
    assert followed == expected and expected[1] < first
