"""The last stage of every network: silence stays silence, and sources have no offset of their own."""

from Models import networks
from Models.options import OUTPUTS
from Models.outputs import Highpass
from Models.separation import separate

import keras
import numpy as np
import pytest
from models_oracle import assert_layer_contract, excerpts, outputs, randomise

pytestmark = pytest.mark.slow

WAVE = {"network": "wave_unet", "levels": 2, "filters": 3, "down_size": 5, "up_size": 3, "resampling_size": 5}
SPECTRAL = {"frame_samples": 32, "hop_samples": 24}
SEPARATORS = {
    "wave_unet": WAVE,
    "linear": {**WAVE, "activation": "linear", "resampling": "learned", "separate": True, "normalisation": "group"},
    "same": {**WAVE, "padding": "same"},
    "same_linear": {**WAVE, "padding": "same", "activation": "linear", "resampling": "strided", "residual": True},
    "lstm_unet": {"network": "lstm_unet", "levels": 2, "filters": 3, "units": 4},
    "unet_spectrogram": {"network": "unet_spectrogram", "levels": 2, "filters": 2, **SPECTRAL},
    "band_split": {"network": "band_split", "features": 4, "depth": 1, "zones": 2, "bands": 2, **SPECTRAL},
}
LABELLED = [
    {},
    {"conditioning": "film", "places": ["every"]},
    {"conditioning": "additive", "places": ["every", "output"]},
]
LABELS = np.array([1, 0.5, 1], np.float32)

each_separator = pytest.mark.parametrize("name", SEPARATORS)
each_output = pytest.mark.parametrize("output", OUTPUTS)


def built(name: str, **choices) -> keras.Model:
    """Three sources, every weight random, biases too."""
    return randomise(networks.built(3, choices.pop("channels", 1), **SEPARATORS[name], **choices))


def lengths_of(name: str, wanted: int = 200, **choices):
    return networks.lengths(wanted, **SEPARATORS[name], **choices)


def window(name: str, wanted: int = 200, **choices) -> int:
    """Samples of a mixture for about so many of the sources."""
    lengths = lengths_of(name, wanted, **choices)
    return lengths.input_samples(lengths.output_samples(wanted))


def separated(model: keras.Model, mixture: np.ndarray) -> np.ndarray:
    return outputs(model, mixture, *([np.repeat(LABELS[None], len(mixture), axis=0)] * ("labels" in model.input)))


# ---------------------------------------------------------------- silence


@each_separator
@pytest.mark.parametrize(("output", "highpass_samples"), [("direct", 8), ("difference", 0), ("consistent", 0)])
def test_silence_gives_silence_whatever_the_weights(name, output, highpass_samples):
    for labelled in LABELLED:
        silence = np.zeros((2, window(name, highpass_samples=highpass_samples), 2), np.float32)
        model = built(name, channels=2, output=output, highpass_samples=highpass_samples, **labelled)
        assert not separated(model, silence).any()


@pytest.mark.parametrize(  # each network, and each output
    ("name", "output"), [*zip(SEPARATORS, 3 * OUTPUTS, strict=False)]
)
def test_a_track_is_silent_where_it_has_been_silent_for_a_while_and_nowhere_else(name, output):
    model, lengths = built(name, output=output, highpass_samples=8), lengths_of(name, highpass_samples=8)
    model.compile(run_eagerly=True, jit_compile=False)
    track = np.zeros((1600, 1), np.float32)
    track[:400], track[1200:] = excerpts(400)[0], excerpts(400, seed=2)[0]
    sources = np.concatenate(list(separate(model, lengths, [track], samples=len(track), window_samples=300)))
    assert not sources[700:900].any()
    assert sources[:400].any(axis=(1, 2)).all() and sources[1200:].any(axis=(1, 2)).all()


def test_without_padding_it_is_the_network_itself_but_where_all_that_it_takes_is_silent():
    model, lengths = built("wave_unet", output="direct"), lengths_of("wave_unet")
    mixture = np.zeros((1, window("wave_unet", 400), 1), np.float32)
    mixture[0, [150, 170], 0] = 0.5, 1e-30
    emitted, result = (
        outputs(keras.Model(model.input, x), mixture) for x in (model.get_layer("muted").input[0], model.output)
    )
    sounding = np.zeros(result.shape[1], bool)
    for sample in np.flatnonzero(mixture):
        sounding[max(0, sample - 2 * lengths.margin_samples) : sample + 1] = True
    assert 0 < sounding.sum() < 0.7 * len(sounding) and np.abs(emitted[:, ~sounding]).min() > 1e-3
    np.testing.assert_array_equal(result, np.where(sounding[None, :, None, None], emitted, 0))


# ---------------------------------------------------------------- offsets


def triangle(samples: int) -> np.ndarray:
    """Two running means, one after the other."""
    return np.minimum(np.arange(1, 2 * samples), np.arange(2 * samples - 1, 0, -1)) / samples**2


@pytest.mark.parametrize("samples", [2, 4, 32])
@pytest.mark.parametrize("padded", [False, True])
def test_the_mean_of_the_neighbourhood_goes(samples, padded, tmp_path):
    layer, emitted = Highpass(samples, padded), excerpts(80, batch=2, channels=6).reshape(2, 80, 3, 2)
    assert_layer_contract(layer, tmp_path, emitted)
    reach = samples - 1
    around = np.pad(emitted, [(0, 0), (reach, reach), (0, 0), (0, 0)], "symmetric") if padded else emitted
    means = np.apply_along_axis(np.convolve, 1, around.astype(np.float64), triangle(samples), "valid")
    expected = (emitted if padded else emitted[:, reach:-reach]) - means
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(emitted)), expected, atol=1e-6)


@pytest.mark.parametrize("padded", [False, True])
def test_a_constant_leaves_nothing_at_all(padded):
    constants = np.tile(np.pi * excerpts(6).reshape(1, 1, 6, 1), (1, 90, 1, 1))
    assert not keras.ops.convert_to_numpy(Highpass(32, padded)(constants)).any()


@pytest.mark.parametrize("samples", [1, 3, 24, -4])
def test_a_mean_of_which_there_are_no_halves(samples):
    with pytest.raises(ValueError, match=f"^'highpass_samples' must be .*; received {samples}$"):
        built("wave_unet", highpass_samples=samples)


@each_separator
def test_a_mean_longer_than_what_is_emitted(name):
    if SEPARATORS[name].get("padding", "valid") == "valid" and name in ("wave_unet", "linear"):
        assert lengths_of(name, 20, highpass_samples=256).output_samples(20) < 40  # it emits more than is wanted
    else:
        with pytest.raises(ValueError, match="excerpts of at least highpass_samples, 256. Received: "):
            lengths_of(name, 20, highpass_samples=256)


@each_separator
@each_output
def test_the_sources_of_any_weights_have_the_mixtures_offset_in_even_shares_or_none(name, output):
    """A burst in silence without padding, so that all of it is seen; else a whole window of noise."""
    shares = {"direct": [0, 0, 0], "difference": [0, 0, 1], "consistent": [1 / 3, 1 / 3, 1 / 3]}[output]
    offsets = {}
    for highpass_samples in (0, 16):
        lengths = lengths_of(name, 400, highpass_samples=highpass_samples)
        samples = lengths.input_samples(lengths.output_samples(400))
        mixture = 0.2 + excerpts(samples) / 10
        if lengths.margin_samples:
            edge = 2 * lengths.margin_samples + 20
            mixture[:, :edge] = mixture[:, -edge:] = 0
        model = built(name, output=output, highpass_samples=highpass_samples)
        offset = separated(model, mixture).sum(axis=1)[0, :, 0] - mixture.sum() * np.array(shares)
        offsets[highpass_samples] = np.abs(offset).max() / samples
    assert offsets[16] < 1e-5 < 1e-4 < offsets[0]
