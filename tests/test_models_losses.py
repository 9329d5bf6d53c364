from Models import options
from Models.losses import LOSSES, Objective, per_example
from Models.options import terms
from Options import checked

import keras
import numpy as np
import pytest
from keras import ops
from models_oracle import gradient
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


SIGNALS = [name for name in LOSSES if name != "bce"]  # losses of signals (B, T, S, C)


@pytest.mark.parametrize("name", SIGNALS)
def test_each_example_by_hand(name):
    sources = SOURCES.copy()
    sources[1, :, 2] = 0  # one example with a silent source
    expected = [by_hand(name, *pair) for pair in zip(sources, ESTIMATES, strict=True)]
    np.testing.assert_allclose(computed(name, sources, ESTIMATES), expected, rtol=2e-5)


@pytest.mark.parametrize("name", SIGNALS)
def test_sources_that_do_not_count_are_as_if_they_were_not_there(name):
    """What is estimated of them is no matter; an example in which none counts costs nothing."""
    sources = SOURCES * np.array([1, 1, 1, 0], np.float32)[:, None]  # padding is silent
    counted = np.array([[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], np.float32)
    sources[1, :, 0] = 0
    found = keras.ops.convert_to_numpy(LOSSES[name](sources, ESTIMATES, counted))
    for example, there in enumerate([slice(0, 3), slice(1, 3)]):
        expected = by_hand(name, sources[example, :, there], ESTIMATES[example, :, there])
        assert found[example] == pytest.approx(expected, rel=2e-5)
    assert found[2] == 0


def test_binary_cross_entropy_by_hand():
    truth, guessed = np.array([[1, 0, 1, 0]], np.float32), np.array([[0.8, 0.1, 0.5, 1.0]], np.float32)
    expected = -np.log([0.8, 0.9, 0.5])
    with_padding = np.array([[1, 1, 1, 0]], np.float32)
    found = keras.ops.convert_to_numpy(LOSSES["bce"](truth, guessed, with_padding))
    np.testing.assert_allclose(found, [expected.mean()], rtol=1e-6)
    np.testing.assert_allclose(computed("bce", truth, guessed), [(expected.sum() - np.log(1e-6)) / 4], rtol=0.01)


def objective(expression: str, example: dict, outputs: dict, present_only: bool = False) -> np.ndarray:
    return keras.ops.convert_to_numpy(Objective(expression, present_only)(example, outputs))


@pytest.mark.parametrize("name", SIGNALS)
def test_a_loss_is_reduced_in_float32(name):
    half = ops.cast(ESTIMATES, "bfloat16")
    rounded = computed(name, SOURCES, keras.ops.convert_to_numpy(ops.cast(half, "float32")))
    found = objective(name, {"sources": SOURCES, "weight": np.ones(3, np.float32)}, {"sources": half})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rounded, rtol=1e-6)


def test_an_objective_is_a_weighted_sum_over_named_outputs_times_the_examples_weight():
    example = {"sources": SOURCES, "present": np.eye(3, 4, dtype=np.float32), "weight": np.array([1, 0, 2], np.float32)}
    outputs = {"sources": ESTIMATES, "present": np.full((3, 4), 0.25, np.float32)}
    entropy = (-np.log(0.25) - 3 * np.log(0.75)) / 4
    expected = (computed("l1", SOURCES, ESTIMATES) + 0.5 * entropy) * [1, 0, 2]
    np.testing.assert_allclose(objective("l1(sources)+0.5*bce(present)", example, outputs), expected, rtol=1e-5)
    shown = objective("l1", example, outputs, present_only=True)
    of_one = np.abs(SOURCES - ESTIMATES).mean(axis=(1, 3))[range(3), range(3)]  # example n has source n alone
    np.testing.assert_allclose(shown, of_one * [1, 0, 2], rtol=1e-5)


@pytest.mark.parametrize("expression, received", [("bce(masks)", "masks"), ("l1+bce(labels)", "labels")])
def test_a_loss_of_what_is_not_estimated_is_one_line(expression, received):
    example = {"sources": SOURCES, "labels": SOURCES, "weight": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match=f"expected losses of what is estimated, sources. Received: {received}"):
        per_example(expression, example, {"sources": ESTIMATES})


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
        ("l1", [(1, "l1", "sources")]),
        ("l1+0.5*multi_resolution_stft", [(1, "l1", "sources"), (0.5, "multi_resolution_stft", "sources")]),
        (
            "1e-3*si_sdr+2.*mse+.5*l1(sources)",
            [(1e-3, "si_sdr", "sources"), (2, "mse", "sources"), (0.5, "l1", "sources")],
        ),
    ],
)
def test_weighted_sums_by_name(expression, expected):
    assert terms(expression) == expected
    summed = sum(weight * computed(name, SOURCES, ESTIMATES) for weight, name, _ in expected)
    found = per_example(expression, {"sources": SOURCES}, {"sources": ESTIMATES})
    np.testing.assert_allclose(ops.convert_to_numpy(found), summed, rtol=1e-6)


WRONG = [
    "mae",
    "",
    "l1+",
    "+l1",
    "0*l1",
    "-1*l1",
    "1e999*l1",
    "l1*0.5",
    "l1 + mse",
    "2l1",
    "a*l1",
    "1.2.*l1",
    "l1()",
    "l1(sources",
]


@pytest.mark.parametrize("expression", WRONG)
def test_a_loss_that_there_is_not(expression):
    known = ", ".join(LOSSES)
    with pytest.raises(ValueError) as error:
        checked(options.Objective, {"loss": expression})
    unknown = f"'loss' must be among {known}, or a weighted sum like l1+0.5*si_sdr"
    weighed = "'loss' must weigh losses by positive numbers, like l1+0.5*si_sdr, and not by "
    assert str(error.value).startswith((unknown, weighed))
    assert str(error.value).endswith(f"; received {expression!r}") or "; did you mean " in str(error.value)
