from Models.spectrogram import InverseStft, Stft, inverse_stft, magnitudes, stft

import keras
import numpy as np
import pytest
from keras import ops
from models_oracle import excerpts, gradient, reloaded
from spectrogram_oracle import spectra

GRIDS = [(1024, 768), (1024, 256), (64, 48), (64, 31), (30, 7), (6, 4), (4, 1)]  # samples of frame and hop


def numbers(*tensors) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]


@pytest.mark.parametrize(("frame", "hop"), GRIDS)
@pytest.mark.parametrize("hops", [0.1, 1, 1.01, 4.6])
def test_every_sample_comes_back(frame, hop, hops):
    length = max(1, round(hops * hop))
    signals = excerpts(length, batch=2, channels=3)
    (back,) = numbers(inverse_stft(*stft(signals, frame, hop), frame, hop))
    np.testing.assert_allclose(back[:, :length], signals, atol=1e-5)
    np.testing.assert_allclose(back[:, length:], 0, atol=1e-5)
    assert back.shape[1] == -(-length // hop) * hop


@pytest.mark.parametrize(
    ("frame", "hop", "fft"), [*(grid + (None,) for grid in GRIDS), (600, 120, 1024), (240, 50, 512)]
)
def test_each_channel_is_transformed_as_scipy_does(frame, hop, fft):
    signals = excerpts(1234, batch=2, channels=2)
    real, imaginary = numbers(*stft(signals, frame, hop, fft))
    assert real.dtype == imaginary.dtype == np.float32
    for b in range(2):
        for c in range(2):
            expected = spectra(signals[b, :, c], frame, hop, fft)
            computed = real[b, ..., c] + 1j * imaginary[b, ..., c]
            np.testing.assert_allclose(computed, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("frame", "hop"), [(64, 48), (64, 16), (30, 7)])
def test_the_inverse_of_what_is_no_signals_spectrum_is_the_nearest_signal(frame, hop):
    """What it leaves is orthogonal to the spectrum of every signal; a bin within stands for two of a full transform."""
    real, imaginary = np.random.default_rng(0).normal(size=(2, 1, 5, frame // 2 + 1, 1)).astype(np.float32)
    imaginary[:, :, [0, -1]] = 0
    nearest = stft(inverse_stft(real, imaginary, frame, hop), frame, hop)
    left = [part - near for part, near in zip((real, imaginary), numbers(*nearest), strict=True)]
    twice = np.full((frame // 2 + 1, 1), 2.0)
    twice[[0, -1]] = 1
    assert np.sqrt(sum(np.sum(twice * part**2) for part in left)) > 1  # there is something left
    for seed in range(5):
        other = numbers(*stft(excerpts(5 * hop, seed=seed), frame, hop))
        product = sum(np.sum(twice * part * with_ / frame) for part, with_ in zip(left, other, strict=True))
        np.testing.assert_allclose(product, 0, atol=1e-4)


def test_frames_have_their_hops_in_their_middle():
    """An impulse in the middle of hop n is loudest in frame n, whose window is 1 there."""
    for n in range(4):
        impulse = np.zeros((1, 4 * 768, 1), np.float32)
        impulse[0, 768 * n + 384] = 1
        (loudness,) = numbers(magnitudes(*stft(impulse, 1024, 768)))
        np.testing.assert_allclose(loudness[0, n], 1, atol=1e-5)
        assert np.delete(loudness, n, axis=1).max() < 1e-5


# ---------------------------------------------------------------- slopes


def test_slopes_go_through_both_ways():
    """Forth and back is the identity, hence the slope of half the energy is the signal."""
    signals = excerpts(500, channels=2)
    slope = gradient(lambda x: ops.sum(ops.square(inverse_stft(*stft(x, 64, 48), 64, 48))) / 2, signals)
    np.testing.assert_allclose(slope, signals, atol=1e-5)


@pytest.mark.parametrize("loudness", [0.0, 1e-20, 1e-6, 1.0])
def test_slopes_of_magnitudes_are_finite(loudness):
    signals = np.full((1, 100, 1), loudness, np.float32)
    slope = gradient(lambda x: ops.sum(magnitudes(*stft(x, 64, 48))), signals)
    assert np.all(np.isfinite(slope)) and np.abs(slope).max() < 2 * 33 * 64


# ---------------------------------------------------------------- layers


def forth_and_back(length: int | None, frame: int = 64, hop: int = 48) -> keras.Model:
    signals = keras.Input((length, 2))
    spectrum = Stft(frame, hop, name="forth")(signals)
    return keras.Model(signals, [*spectrum, InverseStft(frame, hop, name="back")(*spectrum)])


@pytest.mark.parametrize("length", [None, 200])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_layers_compute_in_float32_compiled_and_of_any_length(length, precision):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(precision)
        model = forth_and_back(length)
    finally:
        keras.config.set_dtype_policy(before)
    frames = None if length is None else 5
    assert [tensor.shape for tensor in model.outputs] == [(None, frames, 33, 2)] * 2 + [
        (None, None if length is None else 240, 2)
    ]
    model.compile(jit_compile=True)
    signals = excerpts(200, batch=3, channels=2)
    real, imaginary, back = model.predict_on_batch(signals)
    for part, expected in zip((real, imaginary), numbers(*stft(signals, 64, 48)), strict=True):
        assert part.dtype == np.float32
        np.testing.assert_allclose(part, expected, atol=1e-5)
    np.testing.assert_allclose(back[:, :200], signals, atol=1e-5)


def test_layers_reload(tmp_path):
    model = forth_and_back(None, 30, 7)
    again = reloaded(model, tmp_path)
    assert again.get_layer("back").get_config() == model.get_layer("back").get_config()
    signals = excerpts(100, channels=2)
    for expected, tensor in zip(numbers(*model(signals)), numbers(*again(signals)), strict=True):
        np.testing.assert_array_equal(tensor, expected)
