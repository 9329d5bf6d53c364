"""Separators of parts: any number of them, each asked for by its label, whatever the network."""

from Models import networks
from Models.checkpoints import load_network
from Models.separation import separate

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.slow

CLASSES = 5
SMALL = {
    "wave_unet": {"levels": 2, "filters": 4},
    "lstm_unet": {"levels": 2, "filters": 4, "units": 4},
    "band_split": {"features": 4, "depth": 1, "zones": 2, "bands": 2, "frame_samples": 64, "hop_samples": 16},
    "unet_spectrogram": {"levels": 2, "filters": 4, "frame_samples": 64, "hop_samples": 16},
}


def built(network: str, output: str = "consistent", channels: int = 1) -> tuple[keras.Model, networks.Lengths]:
    """A separator whose labels matter: all weights are random."""
    options = {"network": network, "output": output, "conditioning": "film", "places": ("every", "output")}
    options |= SMALL[network]
    separator = networks.built(CLASSES, channels, targets="parts", **options)
    random = np.random.default_rng(1)
    for weight in separator.trainable_variables:  # and not running variances
        weight.assign(0.4 * random.standard_normal(weight.shape))
    return separator, networks.lengths(300, **options)


def asked(separator: keras.Model, mixture: np.ndarray, classes: list[list[int]]) -> np.ndarray:
    """Estimates (B, T, S, C) of parts of these classes; -1 is a place where there is none."""
    labels = np.array([[np.eye(CLASSES)[of] if of >= 0 else np.ones(CLASSES) for of in row] for row in classes])
    present = np.array(classes) >= 0
    inputs = {"mixture": mixture, "labels": labels.astype(np.float32), "present": present.astype(np.float32)}
    return keras.ops.convert_to_numpy(separator(inputs))


def noise(lengths: networks.Lengths, batch: int = 1, channels: int = 1) -> np.ndarray:
    samples = lengths.input_samples(lengths.output_samples(300))
    return 0.3 * np.random.default_rng(0).standard_normal((batch, samples, channels)).astype(np.float32)


@pytest.mark.parametrize("network", SMALL)
def test_parts_of_one_label_get_equal_estimates_and_others_get_others(network):
    separator, lengths = built(network)
    first, second, third = np.moveaxis(asked(separator, noise(lengths), [[2, 2, 4]])[0], 1, 0)
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert np.abs(first - third).max() > 1e-3


@pytest.mark.parametrize("network", SMALL)
def test_places_without_a_part_are_silent_and_change_nothing(network):
    separator, lengths = built(network)
    mixture = noise(lengths, batch=2)
    padded = asked(separator, mixture, [[0, -1, 3, -1], [1, 2, -1, -1]])
    assert not padded[0, :, [1, 3]].any() and not padded[1, :, 2:].any()
    for example, classes, places in ((0, [0, 3], [0, 2]), (1, [1, 2], [0, 1])):
        alone = asked(separator, mixture[example : example + 1], [classes])[0]
        np.testing.assert_allclose(padded[example][:, places], alone, atol=1e-5)


@pytest.mark.parametrize("network", SMALL)
def test_parts_come_in_the_order_in_which_they_are_asked_for(network):
    separator, lengths = built(network, channels=2)
    mixture = noise(lengths, channels=2)
    there, back = asked(separator, mixture, [[0, 1, 4]]), asked(separator, mixture, [[4, 1, 0]])
    np.testing.assert_allclose(there, back[:, :, ::-1], atol=1e-5)


@pytest.mark.parametrize("network", SMALL)
def test_consistent_parts_sum_to_the_mixture_and_direct_ones_are_what_each_would_be_alone(network):
    separator, lengths = built(network)
    mixture, margin = noise(lengths), lengths.margin_samples
    summed = asked(separator, mixture, [[0, 2, -1]]).sum(axis=2)
    np.testing.assert_allclose(summed, mixture[:, margin : mixture.shape[1] - margin], atol=1e-4)
    direct, _ = built(network, "direct")
    together = asked(direct, mixture, [[0, 2]])
    np.testing.assert_allclose(together[:, :, 1:], asked(direct, mixture, [[2]]), atol=1e-5)


def test_a_checkpoint_separates_any_number_of_parts(tmp_path):
    separator, lengths = built("wave_unet")
    separator.save(tmp_path / "parts.keras")
    loaded = load_network(tmp_path / "parts.keras")
    track = 0.3 * np.random.default_rng(2).standard_normal((1_000, 1)).astype(np.float32)
    for classes in ([3], [0, 0, 4]):
        known = {"labels": np.eye(CLASSES, dtype=np.float32)[classes], "present": np.ones(len(classes), np.float32)}
        both = [
            np.concatenate(list(separate(model, lengths, [track], known, window_samples=400)))
            for model in (separator, loaded)
        ]
        assert both[0].shape == (1_000, len(classes), 1)
        np.testing.assert_allclose(*both, atol=1e-5)
