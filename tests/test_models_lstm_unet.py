from Models.lstm_unet import lstm_unet, lstm_unet_lengths
from Models.recurrent import Recurrent

import keras
import numpy as np
import pytest
from models_oracle import assert_layer_contract, excerpts, gradient, outputs, randomise, reloaded

TINY = {"levels": 2, "filters": 3, "stride": 3, "units": 4}
LABELS = np.array([[1, 0, 0], [0, 1, 1]], np.float32)
SAMPLES = 90


def tiny(**choices) -> keras.Model:
    channels = choices.pop("channels", 1)
    return randomise(lstm_unet(3, channels, **(TINY | choices)))


def test_lengths_are_whole_strides_of_the_bottleneck():
    assert lstm_unet_lengths(16_384).output_samples(1) == 16_384
    lengths = lstm_unet_lengths(100, levels=3, stride=3)
    assert lengths.input_samples(lengths.output_samples(100)) == 108


def test_a_level_is_a_strided_convolution():
    """The first level beside numpy's: samples -stride .. 2 stride - 1 around each stride, zeros beyond the edges."""
    model, mixture = tiny(), excerpts(SAMPLES)
    kernel, bias = (np.asarray(weight, np.float64) for weight in model.get_layer("down_1").get_weights())
    found = keras.ops.convert_to_numpy(keras.Model(model.input, model.get_layer("down_1").output)({"mixture": mixture}))
    padded, taps = np.pad(mixture[0, :, 0], 3), kernel.reshape(9, 3)
    expected = [padded[3 * n : 3 * n + 9] @ taps + bias for n in range(SAMPLES // 3)]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def lstm_by_hand(features, kernel, recurrent, bias):
    """Gates in Keras's order: input, forget, cell, output. Source: Gers et al. 2000."""
    state = cell = np.zeros(recurrent.shape[0])
    said = []
    for heard in features:
        i, f, c, o = np.split(heard @ kernel + state @ recurrent + bias, 4)
        cell = cell / (1 + np.exp(-f)) + np.tanh(c) / (1 + np.exp(-i))
        state = np.tanh(cell) / (1 + np.exp(-o))
        said.append(state)
    return np.array(said)


def test_recurrent_layers_hear_both_ways(tmp_path):
    layer, features = Recurrent(5), excerpts(7, batch=2, channels=3)
    assert_layer_contract(layer, tmp_path, features)
    scale, *weights = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    forwards, backwards, (joined, bias) = weights[:3], weights[3:6], weights[6:]
    found = keras.ops.convert_to_numpy(layer(features))
    for heard, expected in zip(features.astype(np.float64), found, strict=True):
        levelled = heard / np.sqrt(np.mean(heard**2, axis=-1, keepdims=True) + 1e-6) * scale
        both = [lstm_by_hand(levelled, *forwards), lstm_by_hand(levelled[::-1], *backwards)[::-1]]
        np.testing.assert_allclose(expected, np.hstack(both) @ joined + bias, atol=1e-4)


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
        alone = outputs(model, mixture[b : b + 1], labels[b : b + 1])
        np.testing.assert_allclose(together[b : b + 1], alone, atol=1e-5)
    np.testing.assert_array_equal(outputs(reloaded(model, tmp_path), mixture, labels), together)


def test_every_moment_hears_the_whole_excerpt():
    model = tiny(output="direct")
    slopes = gradient(lambda x: keras.ops.sum(model({"mixture": x})[:, 40, 0]), excerpts(SAMPLES))
    assert np.count_nonzero(slopes) > 0.95 * SAMPLES


def test_half_precision_keeps_weights_and_sources_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny(conditioning="film", places=["every"])
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(weight.dtype == "float32" for weight in model.weights)
    mixture = excerpts(SAMPLES, batch=2)
    result = outputs(model, mixture, LABELS)
    full = outputs(tiny(conditioning="film", places=["every"]), mixture, LABELS)
    assert result.dtype == np.float32
    assert 1e-5 < np.abs(result - full).max() < 0.2 * np.abs(full).max()


@pytest.mark.slow
def test_a_compiled_step_moves_every_weight():
    keras.utils.set_random_seed(0)
    model = lstm_unet(3, conditioning="film", places=["every"], **TINY)
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=True)
    before = model.get_weights()
    inputs = {"mixture": excerpts(SAMPLES, batch=2), "labels": LABELS}
    model.train_on_batch(inputs, np.zeros((2, SAMPLES, 3, 1), np.float32))
    for weight, old in zip(model.weights, before, strict=True):
        assert np.any(keras.ops.convert_to_numpy(weight) != old), weight.path
