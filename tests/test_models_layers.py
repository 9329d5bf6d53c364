from Models.layers import (
    Clip,
    Decimate,
    DownConv1D,
    GroupNorm,
    Interpolate,
    LowpassDecimate,
    LowpassInterpolate,
    SkipAndDecimate,
    lowpass,
)

import keras
import numpy as np
import pytest
import scipy.signal
from models_oracle import assert_layer_contract, excerpts, interpolated, levelled, lowpassed


def computed(layer, features, **choices):
    return keras.ops.convert_to_numpy(layer(features, **choices))


def weighted(layer, *weights):
    layer.build((None, None, 3))
    layer.set_weights(weights)
    return layer


# ---------------------------------------------------------------- rates without filters


@pytest.mark.parametrize("samples", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_decimate_keeps_the_first_sample_and_every_stride_th_after(samples, stride, padding):
    features = np.arange(2 * samples * 3, dtype=np.float32).reshape(2, samples, 3)
    kept = [[[features[b, t, k] for k in range(3)] for t in range(0, samples, stride)] for b in range(2)]
    np.testing.assert_array_equal(computed(Decimate(stride, padding), features), kept)


@pytest.mark.parametrize("samples", [1, 2, 3, 8])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_interpolate_is_linear_interpolation(samples, stride):
    features = excerpts(samples, batch=2, channels=3)
    valid, same = (computed(Interpolate(stride, padding), features) for padding in ("valid", "same"))
    assert valid.shape == (2, stride * (samples - 1) + 1, 3)
    places = np.arange(stride * samples) / stride
    for b in range(2):
        for k in range(3):
            expected = np.interp(places, np.arange(samples), features[b, :, k])  # holds the last sample
            np.testing.assert_allclose(same[b, :, k], expected, atol=1e-6)
            np.testing.assert_allclose(valid[b, :, k], expected[: valid.shape[1]], atol=1e-6)


def test_interpolate_of_a_line_and_of_an_impulse():
    line = np.linspace(-3, 4, 8, dtype=np.float32)[None, :, None]
    np.testing.assert_allclose(computed(Interpolate(), line)[0, :, 0], np.linspace(-3, 4, 15), atol=1e-6)
    impulse = np.eye(5, dtype=np.float32)[2][None, :, None]
    np.testing.assert_array_equal(computed(Interpolate(), impulse)[0, :, 0], [0, 0, 0, 0.5, 1, 0.5, 0, 0, 0])


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_learned_interpolation_begins_as_a_line_and_weighs_each_feature(stride, padding):
    features = excerpts(6, batch=2, channels=3)
    layer = Interpolate(stride, padding, learned=True)
    line = computed(Interpolate(stride, padding), features)
    np.testing.assert_allclose(computed(layer, features), line, atol=1e-6)
    (logits,) = layer.get_weights()
    assert logits.shape == (stride - 1, 3)
    random = np.random.default_rng(0).normal(0, 2, logits.shape)
    layer.set_weights([random])
    left = 1 / (1 + np.exp(-random))
    result = computed(layer, features)
    for b in range(2):
        expected = interpolated(features[b].astype(float), np.concatenate([np.ones((1, 3)), left]), padding == "same")
        np.testing.assert_allclose(result[b], expected, atol=1e-6)
    np.testing.assert_array_equal(result[:, ::stride], features)
    for sides in (np.minimum, np.maximum):  # a sample between two lies between them, whatever was learned
        edge = sides(features[:, :-1], features[:, 1:])
        between = result[:, 1 : 1 + stride * 5 : stride]
        np.testing.assert_array_equal(sides(between, edge), edge)


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("learned", [False, True])
def test_decimate_undoes_interpolate(stride, padding, learned):
    features = excerpts(9, batch=2, channels=3)
    up = Interpolate(stride, padding, learned)(features)
    np.testing.assert_array_equal(computed(Decimate(stride, padding), up), features)


# ---------------------------------------------------------------- rates with a fixed filter

FILTERS = [(2, 3), (2, 15), (3, 7), (4, 15), (4, 31)]


@pytest.mark.parametrize("stride, size", FILTERS)
def test_the_lowpass_is_scipys(stride, size):
    np.testing.assert_allclose(lowpass(size, stride), scipy.signal.firwin(size + 2, 1 / stride, window="hann")[1:-1])
    assert lowpass(size, stride).dtype == np.float32


@pytest.mark.parametrize("stride, size", FILTERS)
@pytest.mark.parametrize("samples", [31, 40])
def test_lowpass_decimation_is_filtering_and_then_decimation(stride, size, samples):
    features = excerpts(samples, batch=2, channels=3)
    valid, same = (computed(LowpassDecimate(stride, padding, size), features) for padding in ("valid", "same"))
    for b in range(2):
        wide = np.pad(features[b].astype(float), ((size // 2, size // 2), (0, 0)))
        np.testing.assert_allclose(valid[b], lowpassed(features[b], size, stride)[::stride], atol=1e-6)
        np.testing.assert_allclose(same[b], lowpassed(wide, size, stride)[::stride], atol=1e-6)


@pytest.mark.parametrize("stride, size", FILTERS)
def test_lowpass_interpolation_is_scipys_upfirdn(stride, size):
    features = excerpts(20, batch=2, channels=3)
    valid, same = (computed(LowpassInterpolate(stride, padding, size), features) for padding in ("valid", "same"))
    taps = scipy.signal.firwin(size + 2, 1 / stride, window="hann")[1:-1] * stride
    whole = scipy.signal.upfirdn(taps, features.astype(float), up=stride, axis=1)
    np.testing.assert_allclose(valid, whole[:, size - 1 : stride * 19 + 1], atol=1e-6)
    padded = np.pad(whole, ((0, 0), (0, stride), (0, 0)))
    np.testing.assert_allclose(same, padded[:, size // 2 : size // 2 + 20 * stride], atol=1e-6)


def sinusoid(frequency: float, samples: int = 2000) -> np.ndarray:
    """`frequency` in cycles a sample."""
    return np.sin(2 * np.pi * frequency * np.arange(samples) + 0.3).astype(np.float32)[None, :, None]


def level_db(signal: np.ndarray) -> float:
    """Against a sinusoid of full scale; the edges, which `same` padding reaches, left out."""
    return 10 * np.log10(2 * np.mean(signal[0, 30:-30, 0] ** 2))


@pytest.mark.parametrize("stride, size", [(2, 15), (4, 31)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_what_the_slow_side_cannot_hold_is_removed_and_the_rest_stays(stride, size, padding):
    nyquist = 0.5 / stride
    down, up = (layer(stride, padding, size) for layer in (LowpassDecimate, LowpassInterpolate))
    below, above = sinusoid(0.5 * nyquist), sinusoid(1.6 * nyquist)
    assert level_db(computed(down, below)) == pytest.approx(0, abs=0.5)
    assert level_db(computed(down, above)) < -20
    assert level_db(computed(Decimate(stride, padding), above)) == pytest.approx(0, abs=0.5)  # folded back, as loud
    lost = (below.shape[1] - computed(up, down(below)).shape[1]) // 2 if padding == "valid" else 0
    again, wanted = computed(up, down(below)), below[:, lost:]
    error = again[:, 100:1800] - wanted[:, 100:1800]  # no image above the slow side's range, and at its own moment
    assert 10 * np.log10(2 * np.mean(error**2)) < -25


@pytest.mark.parametrize("stride, size", FILTERS)
def test_a_constant_stays_a_constant(stride, size):
    features = np.ones((1, 50, 1), np.float32)
    np.testing.assert_allclose(computed(LowpassDecimate(stride, "valid", size), features), 1, atol=1e-6)
    mean = computed(LowpassInterpolate(stride, "valid", size), features).mean()
    np.testing.assert_allclose(mean, 1, atol=0.02)


# ---------------------------------------------------------------- a convolution of what is used alone


@pytest.mark.parametrize("samples", [25, 27])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("margin", [0, 2, 6, 8])
def test_a_down_convolution_gives_what_a_convolution_gives_to_the_skip_and_to_the_next_level(samples, size, margin):
    features = excerpts(samples, batch=2, channels=3)
    layer = DownConv1D(4, size, margin)
    kernel, bias = np.random.default_rng(0).normal(size=(size, 3, 4)), np.random.default_rng(1).normal(size=4)
    sparing = computed(weighted(layer, kernel, bias), features)
    plain = computed(weighted(keras.layers.Conv1D(4, size), kernel, bias), features)
    length = samples - size + 1
    skip, slower = map(keras.ops.convert_to_numpy, SkipAndDecimate(margin)(sparing))
    np.testing.assert_allclose(skip, plain[:, margin : length - margin], atol=1e-5)
    np.testing.assert_allclose(slower, plain[:, ::2], atol=1e-5)
    wanted = {*range(0, length, 2), *range(margin, length - margin)}
    assert abs(sparing.shape[1] - len(wanted)) <= 1  # and hardly more than that is computed


# ---------------------------------------------------------------- levels


@pytest.mark.parametrize("width, group", [(1, 1), (2, 2), (3, 3), (8, 8), (12, 12), (24, 8)])
def test_group_normalisation_is_numpys(width, group):
    features = 3 + 5 * excerpts(7, batch=2, channels=width)
    layer = GroupNorm()
    result = computed(layer, features)
    for b in range(2):
        np.testing.assert_allclose(result[b], levelled(features[b].astype(float)), atol=1e-4)
    means = result.reshape(2, 7, width // group, group).mean(axis=-1)
    np.testing.assert_allclose(means, 0, atol=1e-5)
    scale, shift = np.random.default_rng(0).normal(size=(2, width))
    layer.set_weights([scale, shift])
    np.testing.assert_allclose(computed(layer, features), result * scale + shift, atol=1e-5)


def test_a_moment_is_levelled_without_the_others():
    features = excerpts(9, batch=2, channels=16)
    layer, louder = GroupNorm(), features.copy()
    louder[0, 4] *= 100
    before, after = computed(layer, features), computed(layer, louder)
    same = np.ones((2, 9), bool)
    same[0, 4] = False
    np.testing.assert_array_equal(after[same], before[same])
    np.testing.assert_allclose(after[0, 4], before[0, 4], atol=1e-3)  # only louder, hence levelled to the same
    np.testing.assert_allclose(computed(layer, features[1:, 3:5]), before[1:, 3:5], atol=1e-6)


def test_clipping_waits_until_training_is_over():
    amplitudes = np.array([[[-3.0], [-1.0], [0.25], [1.0], [1.5]]], np.float32)
    np.testing.assert_array_equal(computed(Clip(), amplitudes)[0, :, 0], [-1, -1, 0.25, 1, 1])
    np.testing.assert_array_equal(computed(Clip(), amplitudes, training=True), amplitudes)


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize(
    "layer",
    [
        Decimate(),
        Decimate(3, "same"),
        Interpolate(),
        Interpolate(4, "same"),
        Interpolate(3, learned=True),
        Interpolate(2, "same", learned=True),
        LowpassDecimate(2, "valid", 5),
        LowpassDecimate(4, "same", 7),
        LowpassInterpolate(2, "valid", 5),
        LowpassInterpolate(4, "same", 7),
        DownConv1D(2, 3, 2),
        SkipAndDecimate(0),
        SkipAndDecimate(2),
        GroupNorm(),
        Clip(),
    ],
    ids=lambda layer: f"{layer.name}",
)
def test_the_layer_contract(layer, tmp_path):
    assert_layer_contract(layer, tmp_path, excerpts(9, batch=2, channels=3))
