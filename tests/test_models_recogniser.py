"""The recogniser: what its bands are, and that loudness, neighbours in a batch and blocks of a stream do not count."""

from Models import networks
from Models.losses import Objective, playing
from Models.recogniser import LogSpectrogram, log_bands, recogniser, recogniser_lengths
from Models.recognition import recognise
from Models.spectrogram import Stft

import keras
import numpy as np
import pytest
from models_oracle import excerpts, randomise, reloaded

SMALL = {"frame_samples": 64, "hop_samples": 32, "octaves": 3, "bands": 4, "levels": 2, "filters": 4}


def probabilities(model: keras.Model, mixture: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model({"mixture": mixture})["playing"])


@pytest.mark.parametrize(("frame_samples", "octaves", "bands"), [(256, 3, 4), (1024, 6, 16), (2048, 10, 24)])
def test_bands_are_averages_an_octave_apart(frame_samples, octaves, bands):
    filters = log_bands(frame_samples, octaves, bands)
    assert filters.shape == (frame_samples // 2 + 1, octaves * bands)
    assert filters.min() >= 0
    np.testing.assert_allclose(filters.sum(axis=0), 1, rtol=1e-6)
    centres = np.arange(len(filters)) @ filters
    expected = frame_samples // 2 * 2.0 ** (np.arange(1 - octaves * bands, 1) / bands)
    resolved = expected > 8 * bands  # where a band covers several bins
    assert resolved[-bands:-1].any()
    np.testing.assert_allclose(centres[:-1][resolved[:-1]], expected[:-1][resolved[:-1]], rtol=0.02)


def test_a_tone_is_loudest_in_its_band_and_an_octave_higher_a_whole_octave_of_bands_above():
    peaks = []
    for bin_number in (64, 128, 256):
        tone = np.sin(2 * np.pi * bin_number / 1024 * np.arange(4096)).astype(np.float32)[None, :, None]
        bands = LogSpectrogram(1024, 4, 8)(*Stft(1024, 256)(tone))
        peaks.append(int(np.argmax(keras.ops.convert_to_numpy(bands)[0, 8, :, 0])))
    assert peaks == [7, 15, 23]  # half of the rate, bin 512, is band 31


def test_how_loud_an_excerpt_is_does_not_count_and_silence_is_finite():
    model = randomise(recogniser(3, **SMALL))
    mixture = excerpts(512, batch=2)
    np.testing.assert_allclose(probabilities(model, 0.05 * mixture), probabilities(model, mixture), atol=1e-4)
    assert np.isfinite(probabilities(model, np.zeros((1, 512, 1), np.float32))).all()


def test_an_example_does_not_depend_on_the_others_of_its_batch_and_a_checkpoint_is_exact(tmp_path):
    model = randomise(recogniser(3, 2, **SMALL))
    mixture = excerpts(512, batch=3, channels=2)
    together = probabilities(model, mixture)
    assert together.shape == (3, 3) and together.std() > 1e-3
    np.testing.assert_allclose(
        np.concatenate([probabilities(model, one[None]) for one in mixture]), together, atol=1e-6
    )
    np.testing.assert_array_equal(probabilities(reloaded(model, tmp_path), mixture), together)


def test_in_bfloat16_it_emits_float32_and_keeps_its_weights_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = recogniser(3, **SMALL)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output["playing"].dtype == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_a_stream_is_recognised_window_by_window_however_it_comes():
    model = randomise(recogniser(3, **SMALL))
    alone = keras.Model(model.input, model.output["playing"])
    lengths = recogniser_lengths(200, **SMALL)
    assert lengths.output_samples(1) == 224  # whole hops
    stream = excerpts(500, channels=2)[0]
    whole = list(recognise(alone, lengths, [stream]))
    assert [samples for _, samples in whole] == [224, 224, 52]
    mono = np.pad(stream.mean(axis=1), (0, 172)).reshape(3, 224, 1)
    np.testing.assert_allclose([found for found, _ in whole], probabilities(model, mono), atol=1e-6)
    for found, expected in zip(recognise(alone, lengths, np.split(stream, [7, 230, 300])), whole, strict=True):
        np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
        assert found[1] == expected[1]
    stereo = keras.Model((two := recogniser(3, 2, **SMALL)).input, two.output["playing"])
    with pytest.raises(ValueError, match="1 or 2 channels. Received: 3"):
        list(recognise(stereo, lengths, [excerpts(224, channels=3)[0]]))


def test_a_source_plays_from_60_dB_below_full_scale_on():
    sources = np.zeros((1, 1000, 3, 2), np.float32)
    sources[0, :, 1], sources[0, :, 2] = 1.01e-3, 0.99e-3
    np.testing.assert_array_equal(playing(sources), [[0, 1, 0]])


def test_its_loss_is_of_what_plays_in_the_sources_of_an_example():
    sources = np.zeros((1, 100, 2, 1), np.float32)
    sources[0, :, 1] = 0.1
    example = {"sources": sources, "present": np.ones((1, 2), np.float32), "weight": np.float32([2])}
    found = Objective("bce(playing)")(example, {"playing": np.float32([[0.2, 0.4]])})
    np.testing.assert_allclose(found, [-(np.log(0.8) + np.log(0.4))], rtol=1e-5)


def test_it_is_a_network_like_the_others():
    built = networks.built(4, 2, network="recogniser", **SMALL)
    assert built.output["playing"].shape == (None, 4)
    assert networks.lengths(100, network="recogniser", **SMALL).input_samples(128) == 128
    with pytest.raises(ValueError, match="hop_samples of at most three quarters"):
        recogniser(2, frame_samples=64, hop_samples=60)
