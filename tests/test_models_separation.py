import itertools

from Models.checkpoints import load_network
from Models.conditioning import at_moments
from Models.lengths import Ladder, Padded, Positions
from Models.separation import separate
from Models.wave_unet import wave_unet, wave_unet_lengths

import keras
import numpy as np
import pytest
from models_oracle import outputs, randomise

pytestmark = pytest.mark.slow

LADDER = Ladder(levels=3, down_size=5, up_size=3)
STRIDE = LADDER.stride_samples
LABELS = np.array([1, 0, 1], np.float32)
KNOWN = {"labels": LABELS}


SIZES = {"levels": 3, "filters": 2, "down_size": 5, "up_size": 3}


def eager(model):
    """Not compiled, which would take longer than the few windows of a test."""
    model.compile(run_eagerly=True, jit_compile=False)
    return model


def separator(**choices):
    channels = choices.pop("channels", 1)
    return eager(randomise(wave_unet(3, channels, **SIZES, **choices)))


PLAIN, CONDITIONED = separator(), separator(conditioning="film", places=["every"])
PLAIN.compile()  # many tests use these
CONDITIONED.compile()


def track(samples: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(7).uniform(-1, 1, (samples, channels)).astype(np.float32)


def whole(model, mixture: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """One forward pass over the whole track, silence before and after it: (T, S, C)."""
    sources = LADDER.output_samples(len(mixture))
    margin = LADDER.margin_samples
    padded = np.pad(mixture, ((margin, LADDER.input_samples(sources) - len(mixture) - margin), (0, 0)))
    inputs = [padded[None]] if labels is None else [padded[None], labels[None]]
    return outputs(model, *inputs)[0, : len(mixture)]


def cut(mixture: np.ndarray, *lengths: int) -> list[np.ndarray]:
    """Blocks of these lengths, over and over."""
    ends = itertools.accumulate(itertools.cycle(lengths))
    ends = list(itertools.takewhile(lambda end: end < len(mixture), ends))
    return np.split(mixture, ends)


def joined(*arguments, **keywords) -> np.ndarray:
    return np.concatenate(list(separate(*arguments, **keywords)))


WINDOW = 5 * STRIDE


@pytest.mark.parametrize(
    "samples",
    [1, 5, STRIDE - 1, STRIDE, STRIDE + 1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW - 1, 3 * WINDOW, 3 * WINDOW + 1],
)
@pytest.mark.parametrize("known", [True, False])
def test_it_is_one_forward_pass_over_the_whole_track(samples, known):
    mixture = track(samples)
    result = joined(PLAIN, LADDER, [mixture], samples=samples if known else None, window_samples=WINDOW)
    assert result.shape == (samples, 3, 1) and result.dtype == np.float32
    np.testing.assert_allclose(result, whole(PLAIN, mixture), atol=1e-5)


@pytest.mark.parametrize("window_samples", [1, STRIDE, STRIDE + 1, 50, 10_000])
def test_the_window_does_not_matter(window_samples):
    mixture = track(203)
    result = joined(CONDITIONED, LADDER, [mixture], KNOWN, window_samples=window_samples)
    np.testing.assert_allclose(result, whole(CONDITIONED, mixture, LABELS), atol=1e-5)


@pytest.mark.parametrize("lengths", [(1,), (7, 0, 1), (STRIDE,), (WINDOW - 1,), (WINDOW + 1, 3), (150,), (10_000,)])
def test_the_blocks_do_not_matter(lengths):
    mixture = track(203)
    result = joined(CONDITIONED, LADDER, iter(cut(mixture, *lengths)), KNOWN, window_samples=WINDOW)
    np.testing.assert_array_equal(result, joined(CONDITIONED, LADDER, [mixture], KNOWN, window_samples=WINDOW))


@pytest.mark.parametrize("numbers", [(1, 1, 1), (2, 9, 3), (4, 3, 5), (3, 1, 7)])
def test_any_ladder(numbers):
    levels, down_size, up_size = numbers
    ladder = Ladder(*numbers)
    sizes = {"levels": levels, "filters": 2, "down_size": down_size, "up_size": up_size}
    model = eager(randomise(wave_unet(2, **sizes, output="direct")))
    mixture = track(100)
    sources, margin = ladder.output_samples(100), ladder.margin_samples
    padded = np.pad(mixture, ((margin, ladder.input_samples(sources) - 100 - margin), (0, 0)))
    expected = outputs(model, padded[None])[0, :100]
    result = joined(model, ladder, cut(mixture, 13), window_samples=2 * ladder.stride_samples)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_stereo():
    model, mixture = separator(channels=2, conditioning="film"), track(150, channels=2)
    result = joined(model, LADDER, cut(mixture, 40), KNOWN, window_samples=WINDOW)
    np.testing.assert_allclose(result, whole(model, mixture, LABELS), atol=1e-5)


def test_a_mono_separator_separates_each_channel_on_its_own():
    mixture = track(150, channels=3)
    result = joined(CONDITIONED, LADDER, cut(mixture, 40), KNOWN, window_samples=WINDOW)
    assert result.shape == (150, 3, 3)
    for c in range(3):
        alone = joined(CONDITIONED, LADDER, [mixture[:, c : c + 1]], KNOWN, window_samples=WINDOW)
        np.testing.assert_allclose(result[:, :, c : c + 1], alone, atol=1e-5)


def test_a_stereo_separator_is_given_mono_on_both_channels():
    model, mono = separator(channels=2), track(150)
    result = joined(model, LADDER, [mono], window_samples=WINDOW)
    expected = whole(model, np.repeat(mono, 2, axis=1))
    assert result.shape == (150, 3, 1)
    np.testing.assert_allclose(result[..., 0], (expected[..., 0] + expected[..., 1]) / 2, atol=1e-5)
    np.testing.assert_allclose(result.sum(axis=1), mono, atol=1e-5)


def test_a_stereo_separator_and_three_channels():
    with pytest.raises(ValueError, match="expected a mixture of 1 or 2 channels. Received: 3 channels"):
        joined(separator(channels=2), LADDER, [track(50, channels=3)])


def test_sources_that_sum_to_the_mixture_do_so_to_the_last_sample():
    mixture = track(157)
    result = joined(CONDITIONED, LADDER, [mixture], KNOWN, window_samples=WINDOW)
    np.testing.assert_allclose(result.sum(axis=1), mixture, atol=1e-6)


@pytest.mark.parametrize("strides", [1, 2, 9])
def test_a_later_track_gives_later_sources(strides):
    mixture, delay = track(150), strides * STRIDE
    later = np.concatenate([np.zeros((delay, 1), np.float32), mixture])
    sources, later_sources = (joined(PLAIN, LADDER, [x], window_samples=WINDOW) for x in (mixture, later))
    margin = LADDER.margin_samples  # at the track's beginning both are given silence before it
    np.testing.assert_allclose(later_sources[delay:], sources, atol=1e-5)
    assert np.abs(later_sources[delay : delay + margin]).max() > 0.01


def test_a_delay_between_two_strides_changes_the_sources():
    mixture = track(150)
    later = np.concatenate([np.zeros((STRIDE // 2, 1), np.float32), mixture])
    sources, later_sources = (joined(PLAIN, LADDER, [x], window_samples=WINDOW) for x in (mixture, later))
    assert np.abs(later_sources[STRIDE // 2 :] - sources).max() > 1e-2  # why windows advance by whole strides


def test_an_endless_stream_is_separated_as_it_comes():
    block = track(10)
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield block

    stream = separate(PLAIN, LADDER, endless(), window_samples=WINDOW)
    sources = np.concatenate(list(itertools.islice(stream, 30)))
    assert len(sources) == 30 * WINDOW
    assert 10 * taken <= len(sources) + 2 * LADDER.margin_samples + WINDOW  # no more is taken than is needed
    np.testing.assert_allclose(sources[:200], whole(PLAIN, np.tile(block, (40, 1)))[:200], atol=1e-5)


@pytest.mark.parametrize("blocks", [[], [track(0)], [track(0), track(0)]])
def test_a_track_without_samples(blocks):
    assert list(separate(PLAIN, LADDER, blocks)) == []


def test_a_short_track_of_known_length_takes_a_short_window():
    lengths = []

    class Listening:
        input = PLAIN.input
        inputs = PLAIN.inputs

        def predict_on_batch(self, inputs):
            lengths.append(inputs["mixture"].shape[1])
            return PLAIN.predict_on_batch(inputs)

    joined(Listening(), LADDER, [track(20)], samples=20, window_samples=100 * STRIDE)
    longest = LADDER.input_samples(LADDER.output_samples(100 * STRIDE))
    assert len(lengths) == 1 and lengths[0] < longest / 4


def test_doubles_are_taken_too():
    mixture = track(60)
    expected = joined(PLAIN, LADDER, [mixture])
    double = joined(PLAIN, LADDER, [mixture.astype(np.float64)])
    assert double.dtype == np.float32
    np.testing.assert_array_equal(double, expected)


def test_labels_reach_the_separator():
    mixture = track(60)
    result = joined(CONDITIONED, LADDER, [mixture], KNOWN)
    other = joined(CONDITIONED, LADDER, [mixture], {"labels": 1 - LABELS})
    assert np.abs(result - other).max() > 1e-3


def test_a_conditioned_separator_wants_labels():
    with pytest.raises(ValueError, match="conditioned: expected labels. Received: none"):
        list(separate(CONDITIONED, LADDER, [track(10)]))


def test_a_checkpoint_separates_compiled(tmp_path):
    CONDITIONED.save(tmp_path / "model.keras")
    mixture = track(60)
    result = joined(load_network(tmp_path / "model.keras"), LADDER, [mixture], KNOWN)
    np.testing.assert_allclose(result, whole(CONDITIONED, mixture, LABELS), atol=1e-5)


@pytest.mark.parametrize(
    "choices",
    [
        {"resampling": "learned", "activation": "linear"},
        {"output": "consistent", "highpass_samples": 16},
        {"resampling": "strided", "resampling_size": 7, "stride": 3, "levels": 2, "output": "consistent"},
        {"resampling": "lowpass", "resampling_size": 7, "depth": 2, "residual": True, "levels": 2},
        {"normalisation": "group", "filters": 4, "separate": True, "levels": 2},
    ],
    ids=str,
)
def test_any_separator_without_padding_is_one_forward_pass(choices):
    choices = {**SIZES, **choices}
    model, lengths = eager(randomise(wave_unet(2, **choices))), wave_unet_lengths(1, **choices)
    mixture = track(150)
    sources, margin = lengths.output_samples(150), lengths.margin_samples
    padded = np.pad(mixture, ((margin, lengths.input_samples(sources) - 150 - margin), (0, 0)))
    result = joined(model, lengths, cut(mixture, 31), window_samples=3 * lengths.stride_samples)
    np.testing.assert_allclose(result, outputs(model, padded[None])[0, :150], atol=1e-5)


# ---------------------------------------------------------------- separators with padding

PADDED = Padded(32, 8)
OVERLAP, HOP = 8, 24
WITH_PADDING = separator(padding="same", output="direct", conditioning="film", places=["every"])
WITH_PADDING.compile()
TRACKS = [1, OVERLAP - 1, HOP, 31, 32, 33, 3 * HOP - 1, 3 * HOP, 3 * HOP + OVERLAP, 150]


class Scaling:
    """The mixture once more, and half of it; or, where `placed`, how far into its window each sample lies."""

    def __init__(self, placed: bool = False):
        self.placed, self.input, self.inputs = placed, PLAIN.input, PLAIN.inputs

    def predict_on_batch(self, inputs):
        mixture = inputs["mixture"]
        if self.placed:
            mixture = np.broadcast_to(np.arange(mixture.shape[1], dtype=np.float32)[:, None], mixture.shape)
        return np.stack([mixture, mixture / 2], axis=2)


def faded(mixture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Windows a hop apart, each faded in over its beginning and out over its end, and summed: (T, S, C).

    The first begins with the track, and the last is the first that reaches its end: there they do not fade.
    """
    windows = max(1, -(-(len(mixture) - OVERLAP) // HOP))
    padded = np.pad(mixture, ((0, windows * HOP + OVERLAP - len(mixture)), (0, 0)))
    summed = np.zeros((len(padded), 3, 1))
    for first in range(0, windows * HOP, HOP):
        inputs = {"mixture": padded[None, first : first + 32], "labels": labels[None]}
        sources = WITH_PADDING.predict_on_batch(inputs)[0].astype(np.float64)
        for n in range(OVERLAP):
            weight = (n + 0.5) / OVERLAP
            sources[n] *= weight if first else 1
            sources[HOP + n] *= 1 - weight if first + HOP < windows * HOP else 1
        summed[first : first + 32] += sources
    return summed[: len(mixture)]


def test_a_padded_model_has_these_lengths():
    assert wave_unet_lengths(30, **SIZES, padding="same") == PADDED
    assert PADDED.overlap_samples == OVERLAP and PADDED.samples - OVERLAP == HOP


@pytest.mark.parametrize("samples", TRACKS)
def test_padded_windows_are_cross_faded(samples):
    mixture = track(samples)
    result = joined(WITH_PADDING, PADDED, [mixture], KNOWN)
    assert result.shape == (samples, 3, 1) and result.dtype == np.float32
    np.testing.assert_allclose(result, faded(mixture, LABELS), atol=1e-5)


@pytest.mark.parametrize("lengths", [PADDED, Padded(16, 8), Padded(8, 8), Padded(30, 1), Padded(4, 4)])
@pytest.mark.parametrize("samples", TRACKS)
def test_the_fades_of_two_windows_sum_to_one(samples, lengths):
    mixture = track(samples)
    result = joined(Scaling(), lengths, cut(mixture, 13))
    assert result.shape == (samples, 2, 1)
    np.testing.assert_allclose(result[:, 0], mixture, atol=1e-7)
    np.testing.assert_allclose(result[:, 1], mixture / 2, atol=1e-7)


def test_a_fade_goes_evenly_from_one_window_to_the_next():
    places = joined(Scaling(placed=True), PADDED, [track(100)])[:, 0, 0]
    np.testing.assert_array_equal(places[:HOP], np.arange(HOP))
    old, new = np.arange(HOP, 32), np.arange(OVERLAP)
    weights = (np.arange(OVERLAP) + 0.5) / OVERLAP
    np.testing.assert_allclose(places[HOP:32], (1 - weights) * old + weights * new, atol=1e-5)
    np.testing.assert_array_equal(places[32 : 2 * HOP], np.arange(OVERLAP, HOP))


@pytest.mark.parametrize("lengths", [(1,), (7, 0, 1), (HOP,), (31,), (33, 3), (10_000,)])
@pytest.mark.parametrize("window_samples, known", [(1, True), (1 << 18, False)])
def test_neither_blocks_nor_the_wanted_window_matter_to_a_padded_separator(lengths, window_samples, known):
    mixture = track(150)
    blocks, samples = iter(cut(mixture, *lengths)), 150 if known else None
    result = joined(WITH_PADDING, PADDED, blocks, KNOWN, samples=samples, window_samples=window_samples)
    np.testing.assert_array_equal(result, joined(WITH_PADDING, PADDED, [mixture], KNOWN))


def test_padded_sources_sum_to_the_mixture_to_the_last_sample():
    model, mixture = separator(padding="same", output="consistent", channels=2), track(157, channels=2)
    result = joined(model, PADDED, cut(mixture, 40))
    assert result.shape == (157, 3, 2)
    np.testing.assert_allclose(result.sum(axis=1), mixture, atol=1e-6)


def test_a_padded_mono_separator_separates_each_channel_on_its_own():
    mixture = track(100, channels=2)
    result = joined(WITH_PADDING, PADDED, cut(mixture, 40), KNOWN)
    for c in range(2):
        alone = joined(WITH_PADDING, PADDED, [mixture[:, c : c + 1]], KNOWN)
        np.testing.assert_allclose(result[:, :, c : c + 1], alone, atol=1e-5)


@pytest.mark.parametrize("blocks", [[], [track(0)], [track(0), track(0)]])
def test_a_track_without_samples_and_a_padded_separator(blocks):
    assert list(separate(WITH_PADDING, PADDED, blocks, KNOWN)) == []


class ContextAtMoments(keras.layers.Layer):
    """Emits a context as a conditioning layer interpolates it at each sample."""

    def call(self, mixture, context):
        return at_moments(context, keras.ops.shape(mixture)[1], Positions())[:, :, None]

    def compute_output_shape(self, mixture_shape, context_shape):
        return *mixture_shape[:2], 1, 1


@pytest.mark.parametrize("lengths", [LADDER, Padded(600)], ids=["margins", "overlaps"])
def test_each_window_is_given_what_moves_in_time_as_it_is_there(lengths):
    mixture, ramp = keras.Input((None, 1), name="mixture"), keras.Input((None, 1), name="ramp")
    emitted, margin = ContextAtMoments()(mixture, ramp), lengths.margin_samples
    model = eager(keras.Model({"mixture": mixture, "ramp": ramp}, emitted[:, margin : -margin or None]))
    samples, frames = 5_000, 200
    given = {"ramp": np.arange(frames, dtype=np.float32)[:, None]}
    received = joined(model, lengths, [track(samples)], given, samples=samples, window_samples=700)[:, 0, 0]
    expected = (np.arange(samples) + 0.5) * frames / samples - 0.5
    middle = slice(50, -50)  # zero beyond the track's ends
    assert np.abs(received - expected)[middle].max() < 1.01
    with pytest.raises(ValueError, match="expected the length of the track with ramp"):
        joined(model, lengths, [track(samples)], given)
