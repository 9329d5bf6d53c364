from Models.band_split import BandMasks, BandSplit, band_split, band_split_lengths, band_widths

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models_oracle import excerpts, gradient, outputs, randomise, reloaded

TINY = {"features": 4, "depth": 1, "zones": 2, "bands": 3, "frame_samples": 32, "hop_samples": 16}
LABELS = np.array([[1, 0, 0], [0, 1, 1]], np.float32)
SAMPLES = 160


def tiny(**choices) -> keras.Model:
    channels = choices.pop("channels", 1)
    return randomise(band_split(3, channels, **(TINY | choices)))


@given(st.integers(1, 3000), st.integers(1, 8), st.integers(1, 30))
def test_bands_cover_all_bins_and_double_from_zone_to_zone(bins, zones, bands):
    widths = band_widths(bins, zones, bands)
    assert bands * sum(widths) >= bins > bands * (sum(widths) - 2**zones + 1)  # with the narrowest that do
    assert all(wide == 2 * narrow for narrow, wide in zip(widths, widths[1:], strict=False))


def test_lengths_are_whole_hops():
    assert band_split_lengths(16_384).output_samples(1) == 16_384
    lengths = band_split_lengths(1000, hop_samples=300)
    assert lengths.input_samples(lengths.output_samples(1000)) == 1200


def test_each_band_hears_its_own_bins_levelled_and_how_loud_they_are():
    layer = BandSplit([1, 2], bands=2, features=3)
    spectrum = excerpts(4, batch=2, channels=5 * 2).reshape(2, 4, 5, 2) * 0.3
    layer.build(spectrum.shape)
    randomise(layer)
    result = keras.ops.convert_to_numpy(layer(spectrum))
    padded = np.pad(spectrum, [(0, 0), (0, 0), (0, 1), (0, 0)])
    for band, (first, width) in enumerate([(0, 1), (1, 1), (2, 2), (4, 2)]):
        bins = padded[:, :, first : first + width].reshape(2, 4, -1)
        loud = np.mean(bins**2, axis=-1, keepdims=True) + 1e-6
        heard = np.concatenate([bins / np.sqrt(loud), np.log10(loud) / 10], axis=-1)
        kernel = keras.ops.convert_to_numpy(layer.kernels[band // 2])[band % 2]
        expected = heard @ kernel + keras.ops.convert_to_numpy(layer.bias)[band]
        np.testing.assert_allclose(result[:, :, band], expected, atol=1e-5)


def test_masks_of_one_give_the_mixture_back():
    model = band_split(2, 2, output="direct", **TINY)
    masks = next(layer for layer in model.layers if isinstance(layer, BandMasks))
    for kernel, bias in zip(masks.kernels, masks.biases, strict=True):
        kernel.assign(np.zeros(kernel.shape))
        real = np.tile([1, 1, 1, 1, 0, 0, 0, 0], bias.shape[1] // 8)  # 2 sources of 2 channels; then imaginary parts
        bias.assign(np.tile(real, (bias.shape[0], 1)))
    mixture = excerpts(SAMPLES, batch=2, channels=2)
    np.testing.assert_allclose(outputs(model, mixture), np.repeat(mixture[:, :, None], 2, axis=2), atol=1e-5)


@pytest.mark.parametrize("output", ["direct", "difference", "consistent"])
@pytest.mark.parametrize("channels", [1, 2])
def test_sources_are_as_long_as_the_mixture_and_sum_to_it(output, channels):
    mixture = excerpts(SAMPLES, batch=2, channels=channels)
    model = tiny(output=output, channels=channels, conditioning="film", places=["every", "output"])
    result = outputs(model, mixture, LABELS)
    assert result.shape == (2, SAMPLES, 3, channels) and result.dtype == np.float32
    if output == "consistent":
        np.testing.assert_allclose(result.sum(axis=2), mixture, atol=1e-5)
    for b, s in np.argwhere(LABELS == 0):
        assert not result[b, :, s].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "frames"),
    [("every", None), *((place, 5) for place in ("input", "encoder", "bottleneck", "decoder", "output"))],
)
def test_labels_of_one_example_never_reach_another_and_a_saved_model_is_the_same(place, frames, tmp_path):
    model = tiny(conditioning="film", places=[place], depth=2, shapes=frames and {"labels": (frames, LABELS.shape[1])})
    labels = LABELS if frames is None else np.repeat(LABELS[:, None], frames, axis=1)
    mixture = excerpts(SAMPLES, batch=2)
    together = outputs(model, mixture, labels)
    assert np.abs(together - outputs(model, mixture, labels[::-1])).max() > 1e-4  # labels matter
    for b in range(2):
        np.testing.assert_allclose(
            together[b : b + 1], outputs(model, mixture[b : b + 1], labels[b : b + 1]), atol=1e-5
        )
    np.testing.assert_array_equal(outputs(reloaded(model, tmp_path), mixture, labels), together)


def test_every_moment_hears_the_whole_excerpt():
    model = tiny(output="direct", depth=2)
    slopes = gradient(lambda x: keras.ops.sum(model({"mixture": x})[:, 80, 0]), excerpts(SAMPLES))
    assert np.count_nonzero(slopes) > 0.95 * SAMPLES


def test_half_precision_keeps_weights_and_sources_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny(conditioning="film", places=["every"])
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(weight.dtype == "float32" for weight in model.weights)
    mixture = excerpts(SAMPLES, batch=2)
    result, full = (
        outputs(model, mixture, LABELS),
        outputs(tiny(conditioning="film", places=["every"]), mixture, LABELS),
    )
    assert result.dtype == np.float32
    assert 1e-5 < np.abs(result - full).max() < 0.2 * np.abs(full).max()


@pytest.mark.slow
def test_a_compiled_step_moves_every_weight():
    keras.utils.set_random_seed(0)
    model = band_split(3, conditioning="film", places=["every"], **TINY)
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=True)
    before = model.get_weights()
    inputs = {"mixture": excerpts(SAMPLES, batch=2), "labels": LABELS}
    model.train_on_batch(inputs, np.zeros((2, SAMPLES, 3, 1), np.float32))
    for weight, old in zip(model.weights, before, strict=True):
        assert np.any(keras.ops.convert_to_numpy(weight) != old), weight.path
