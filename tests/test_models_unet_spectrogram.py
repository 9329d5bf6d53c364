import itertools
from functools import partial

import Config
from Models import networks
from Models.conditioning import METHODS
from Models.losses import LOSSES
from Models.options import PLACES
from Models.separation import separate
from Models.unet_spectrogram import _Blocks, unet_spectrogram, unet_spectrogram_lengths

import keras
import numpy as np
import pytest
from models_oracle import excerpts, outputs, reloaded
from spectrogram_oracle import unet_spectrogram_by_hand

pytestmark = pytest.mark.slow

GRID = {"levels": 2, "frame_samples": 32, "hop_samples": 24}
LENGTH = 192  # eight frames, two at the bottleneck
small = partial(unet_spectrogram, filters=2, **GRID)


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    """Every weight drawn anew, also those that are 0 or 1 at first; variances stay positive."""
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(draw.uniform(0.5, 2, weight.shape))
        else:
            weight.assign(draw.normal(0, 0.3, weight.shape))
    return model


def with_masks(model: keras.Model, *openings: float) -> keras.Model:
    """The masks of each source (and channel) constant: 0 or 1, whatever the mixture is."""
    last = [layer for layer in model.layers if layer.name.startswith("masks")]
    sizes = [len(layer.get_weights()[1]) for layer in last]
    biases = np.split(np.where(openings, 50.0, -50.0), np.cumsum(sizes)[:-1])
    for layer, bias in zip(last, biases, strict=True):
        layer.set_weights([0 * layer.get_weights()[0], bias])
    return model


# ---------------------------------------------------------------- the published network


def test_parameters_of_the_published_size():
    """25 weights for each pair of features, 4 of normalisation for each feature; sigmoids with a bias and without."""
    widths = [1, 16, 32, 64, 128, 256, 512]
    down = sum(25 * before * after + 4 * after for before, after in itertools.pairwise(widths))
    joined = [512, 2 * 256, 2 * 128, 2 * 64, 2 * 32]
    up = sum(25 * before * after + 4 * after for before, after in zip(joined, [256, 128, 64, 32, 16], strict=True))
    one = down + up + (25 * 2 * 16 + 1)
    assert one == 9_824_817
    assert unet_spectrogram(2).count_params() == 2 * one
    assert unet_spectrogram(2, output="difference").count_params() == one
    assert unet_spectrogram(4, separate=False).count_params() == one + 3 * (25 * 2 * 16 + 1)
    assert unet_spectrogram(2, 2, separate=False).count_params() == one + 25 * 16 + 3 * (25 * 2 * 16 + 1)


@pytest.mark.parametrize("name", ["unet_spectrogram", "unet_spectrogram_l1"])
def test_presets_are_the_published_baselines(name):
    """Numbers of the configuration published with arXiv 1806.03185; it calls 768 * 127 + 1024 samples 128 frames."""
    preset = Config.resolve(Config.Training, Config.PRESETS, [name], {})
    assert (preset.data.sample_rate_hz, preset.data.channels, preset.training.batch_size) == (8_192, 1, 4)
    assert preset.data.sources == ("accompaniment", "vocals")
    assert preset.training.loss == {"unet_spectrogram": "mse", "unet_spectrogram_l1": "magnitudes"}[name]
    lengths = networks.lengths(preset.data.output_samples, **preset.model.model_dump())
    assert (lengths.samples, lengths.margin_samples) == (128 * 768, 0)
    model = networks.built(2, 1, **preset.model.model_dump())
    assert model.count_params() == 2 * 9_824_817
    assert model.get_layer("stft").compute_output_shape((1, lengths.samples, 1))[0] == (1, 128, 513, 1)


@pytest.mark.parametrize("wanted", [1, LENGTH - 1, LENGTH, LENGTH + 1, 1000])
def test_lengths_halve_as_often_as_the_network_does(wanted):
    lengths = unet_spectrogram_lengths(wanted, **GRID, filters=3)
    assert wanted <= lengths.samples < wanted + 96 and lengths.samples % (24 * 4) == 0
    model = small(2)
    assert outputs(model, excerpts(lengths.samples)).shape == (1, lengths.samples, 2, 1)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"levels": 1}, "^'levels' must be greater than or equal to 2; received 1$"),
        (
            {"levels": 5, "frame_samples": 32, "hop_samples": 24},
            r"of 2\^\(levels \+ 1\), not 32 with levels=5$",
        ),
        ({"frame_samples": 1_088}, r"of 2\^\(levels \+ 1\), not 1088 with levels=6$"),
        ({"hop_samples": 769}, "at most three quarters of it, not 1024 and 769$"),
    ],
)
def test_frames_that_do_not_halve_or_would_not_come_back(choices, message):
    for build in (partial(unet_spectrogram, 2), partial(unet_spectrogram_lengths, 100)):
        with pytest.raises(ValueError, match=message):
            build(**choices)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
def test_sources_by_hand(channels, size):
    model = randomised(small(2, channels, size=size))
    mixture = excerpts(LENGTH, channels=channels)
    expected = unet_spectrogram_by_hand(model, mixture[0], levels=2, sources=2, frame=32, hop=24)
    assert np.abs(expected[:, 0] - expected[:, 1]).max() > 0.1
    np.testing.assert_allclose(outputs(model, mixture)[0], expected, atol=1e-4)


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize("separate", [True, False])
def test_open_masks_give_back_the_mixture_and_closed_ones_silence(separate):
    model = with_masks(small(3, separate=separate), 1, 0, 1)
    mixture = excerpts(LENGTH, batch=2)
    sources = outputs(model, mixture)
    for s, opening in enumerate([1, 0, 1]):
        np.testing.assert_allclose(sources[:, :, s], opening * mixture, atol=1e-5)


@pytest.mark.parametrize("separate", [True, False])
def test_each_channel_has_a_mask_of_its_own(separate):
    openings = [[1, 0], [1, 1], [0, 1]]  # of each source's channels
    model = with_masks(small(3, 2, separate=separate), *np.ravel(openings))
    mixture = excerpts(LENGTH, channels=2)
    np.testing.assert_allclose(outputs(model, mixture), mixture[:, :, None] * openings, atol=1e-5)


@pytest.mark.parametrize("output", ["difference", "consistent"])
@pytest.mark.parametrize("channels", [1, 2])
def test_sources_sum_to_the_mixture(output, channels):
    model = randomised(small(3, channels, output=output))
    mixture = excerpts(LENGTH, batch=2, channels=channels)
    np.testing.assert_allclose(outputs(model, mixture).sum(axis=2), mixture, atol=1e-5)


def test_a_whole_track_window_by_window():
    """Windows of one length overlap and are cross-faded; open masks show that nothing is lost in between."""
    model = with_masks(small(2), 1, 0)
    model.compile(jit_compile=True)
    track = excerpts(5 * LENGTH + 17)[0]
    lengths = unet_spectrogram_lengths(LENGTH, **GRID)
    assert 0 < lengths.overlap_samples < LENGTH / 2
    sources = np.concatenate(list(separate(model, lengths, [track], samples=len(track))))
    np.testing.assert_allclose(sources, np.stack([track, 0 * track], axis=1), atol=1e-5)


# ---------------------------------------------------------------- labels

LABELS = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]], np.float32)
EVERYWHERE = [("film", [place]) for place in PLACES] + [(method, PLACES) for method in METHODS]


@pytest.mark.parametrize(("method", "places"), EVERYWHERE)
def test_labels_are_used_and_never_reach_another_example(method, places, tmp_path):
    model = randomised(small(3, separate=False, output="consistent", conditioning=method, places=places))
    mixture = np.repeat(excerpts(LENGTH), 3, axis=0)
    sources = outputs(model, mixture, LABELS)
    for b, alone in enumerate(LABELS):
        np.testing.assert_allclose(outputs(model, mixture[:1], alone[None])[0], sources[b], atol=1e-5)
    assert np.abs(sources[0] - sources[1]).max() > 1e-3
    if "output" in places:
        np.testing.assert_array_equal(np.abs(sources).max(axis=(1, 3)) > 0, LABELS > 0)
    np.testing.assert_array_equal(outputs(reloaded(model, tmp_path), mixture, LABELS), sources)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("outer", "concat")])
def test_at_first_the_conditioned_network_is_the_plain_one(method):
    plain = randomised(small(3))
    conditioned = small(3, conditioning=method, places=["input", "every"])
    for layer in plain.layers:
        if layer.weights:
            conditioned.get_layer(layer.name).set_weights(layer.get_weights())
    mixture = excerpts(LENGTH, batch=3)
    np.testing.assert_allclose(outputs(conditioned, mixture, LABELS), outputs(plain, mixture), atol=1e-6)


def test_at_first_appended_labels_say_nothing():
    model = small(3, conditioning="concat", places=["input", "every"])
    mixture = np.repeat(excerpts(LENGTH), 3, axis=0)
    sources = outputs(model, mixture, LABELS)
    np.testing.assert_array_equal(sources[1:], sources[:-1])


def test_labels_that_stay_as_they_are_may_come_as_moving_ones():
    choices = {"output": "consistent", "conditioning": "film", "places": ["every", "output"]}
    static = randomised(small(3, **choices))
    moving = small(3, shapes={"labels": (5, 3)}, **choices)
    moving.set_weights(static.get_weights())
    mixture = excerpts(LENGTH, batch=3)
    frames = np.repeat(LABELS[:, None], 5, axis=1)
    np.testing.assert_allclose(outputs(moving, mixture, frames), outputs(static, mixture, LABELS), atol=1e-5)


def test_each_moment_of_the_bottleneck_receives_the_labels_of_its_own():
    """With labels for each frame of the spectrum a feature stands in the middle of one frame and receives it alone."""
    model = randomised(small(1, conditioning="film", shapes={"labels": (8, 1)}))
    bottleneck = keras.Model(model.input, model.get_layer("bottleneck_of_1_film").output)
    mixture = excerpts(LENGTH)
    labels = np.zeros((1, 8, 1), np.float32)
    silent = outputs(bottleneck, mixture, labels)
    for frame in range(8):
        labels[:] = 0
        labels[0, frame] = 1
        change = np.abs(outputs(bottleneck, mixture, labels) - silent).max(axis=(0, 2, 3))
        np.testing.assert_array_equal(change > 1e-4, [frame == 3, frame == 7])


# ---------------------------------------------------------------- precision, training


def test_half_precision_leaves_float32_outside(tmp_path):
    single = randomised(small(2, conditioning="film", places=["every"]))
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        half = small(2, conditioning="film", places=["every"])
    finally:
        keras.config.set_dtype_policy(before)
    half.set_weights(single.get_weights())
    mixture, labels = excerpts(LENGTH, batch=2), np.eye(2, dtype=np.float32)
    sources = outputs(half, mixture, labels)
    assert sources.dtype == np.float32 and {weight.dtype for weight in half.weights} == {"float32"}
    assert half.get_layer("down_1_of_1").compute_dtype == "bfloat16"
    np.testing.assert_allclose(sources, outputs(single, mixture, labels), atol=0.05)
    np.testing.assert_array_equal(outputs(reloaded(half, tmp_path), mixture, labels), sources)
    np.testing.assert_allclose(outputs(with_masks(half, 1, 0), mixture, labels)[:, :, 0], mixture, atol=1e-5)


@pytest.mark.parametrize(("expression", "compiled"), [("mse", True), ("magnitudes", False)])
def test_training_lowers_the_loss_and_moves_the_statistics(expression, compiled):
    keras.utils.set_random_seed(0)
    model = small(2, separate=False, conditioning="film")
    model.compile(keras.optimizers.Adam(1e-2), LOSSES[expression], jit_compile=compiled)
    sources = np.stack([excerpts(LENGTH, 4), 0.1 * excerpts(LENGTH, 4, seed=2)], axis=2)
    inputs = {"mixture": sources.sum(axis=2), "labels": np.ones((4, 2), np.float32)}
    before = model.get_weights()
    losses = [model.train_on_batch(inputs, sources) for _ in range(8)]
    assert np.all(np.isfinite(losses)) and losses[-1] < losses[0]
    for weight, was in zip(model.weights, before, strict=True):
        assert np.all(np.isfinite(weight.numpy())) and np.any(weight.numpy() != was), weight.path


def test_dropout_is_of_training_alone_and_of_the_three_deepest_blocks():
    model = randomised(unet_spectrogram(1, levels=5, filters=1, frame_samples=64, hop_samples=48))
    mixture = {"mixture": excerpts(48 * 32)}
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in model.layers) == 3
    assert isinstance(model.get_layer("up_2_of_1_relu")._outbound_nodes[0].operation, keras.layers.Concatenate)
    passes = [keras.ops.convert_to_numpy(model(mixture, training=training)) for training in (False, False, True, True)]
    np.testing.assert_array_equal(passes[0], passes[1])
    assert np.abs(passes[2] - passes[3]).max() > 1e-6


# ---------------------------------------------------------------- where frames stand


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_features_stand_where_the_middle_of_their_filters_was(size):
    """A filter that takes its middle alone: positions halve as the features do, here as numbers in them."""
    frames = 16
    moments = 24 * np.arange(frames) + 11.5  # the middle of the hop of each frame, in samples
    features = np.broadcast_to(moments[None, :, None, None], (1, frames, frames, 1)).astype(np.float32)
    kernel = np.zeros((size, size, 1, 1))
    for i in {(size - 1) // 2, size // 2}:  # an even one has two in the middle
        kernel[i, (size - 1) // 2] = 1 / (1 + (size % 2 == 0))
    blocks = _Blocks(None, size, 24, "")
    for level in range(4):
        positions = blocks.positions(level)
        expected = positions.start + positions.step * np.arange(features.shape[1])
        np.testing.assert_allclose(keras.ops.convert_to_numpy(features)[0, :, 0, 0], expected, atol=1e-3)
        assert expected[-1] + 1 + positions.end == 24 * frames
        features = keras.ops.conv(features, kernel.astype(np.float32), strides=2, padding="same")
