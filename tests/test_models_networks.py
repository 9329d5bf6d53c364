"""Every conditioning: each method at each place, by labels that hold or that move."""

from functools import cache

from Models import networks
from Models.conditioning import METHODS, FiLM
from Models.lengths import Ladder
from Models.options import OUTPUTS, PLACES
from Models.wave_unet import wave_unet

import keras
import numpy as np
import pytest
from keras import ops
from models_oracle import excerpts, gradient, outputs, randomise, reloaded

SMALL = {"levels": 1, "filters": 2, "down_size": 3, "up_size": 3, "output": "direct"}
LADDER = Ladder(1, 3, 3)
SOURCES = LADDER.output_samples(40)
LENGTH, FRAMES = LADDER.input_samples(SOURCES), 8
MIXTURE = excerpts(LENGTH, batch=2)
LABELS = np.array([[1, 0, 0.5], [0, 1, 1]], np.float32)
MOVING = np.random.default_rng(5).uniform(0.1, 1, (2, FRAMES, 3)).astype(np.float32)


def small(method: str = "none", *places: str, frames: int | None = None, **choices) -> keras.Model:
    """Three sources, as it is before training."""
    return wave_unet(
        3,
        **(SMALL | choices),
        conditioning=method,
        places=places or ("bottleneck",),
        shapes={"labels": (frames, 3)} if frames else None,
    )


@cache
def plain() -> keras.Model:
    return randomise(small())


def take_over(model: keras.Model, other: keras.Model) -> None:
    """The weights of the layers of another model, whatever more there is.

    A kernel may have more rows than the other's: those that meet the zeros which `concat` appends stay as they are.
    """
    layers = [layer for layer in other.layers if layer.weights]
    listening = keras.Model(model.input, [model.get_layer(layer.name).input for layer in layers])
    labels = np.ones((1, *model.input["labels"].shape[1:]), np.float32)
    for layer, features in zip(layers, listening({"mixture": MIXTURE[:1], "labels": labels}), strict=True):
        kernel, bias = model.get_layer(layer.name).get_weights()
        rows = np.any(keras.ops.convert_to_numpy(features)[0] != 0, axis=0)
        kernel[:, rows], bias[:] = layer.get_weights()
        model.get_layer(layer.name).set_weights([kernel, bias])


def modulations(model: keras.Model, method: str) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if layer.name.endswith(f"_{method}")]


def assert_learns(model: keras.Model, method: str, labels: np.ndarray) -> None:
    """One step of training: a finite loss, and each modulation that has weights moves."""
    layers = [layer for layer in modulations(model, method) if layer.weights]
    before = [layer.get_weights() for layer in layers]
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    sources = excerpts(SOURCES, batch=2, channels=3)[..., None]
    assert np.isfinite(model.train_on_batch({"mixture": MIXTURE, "labels": labels}, sources))
    for layer, old in zip(layers, before, strict=True):
        assert any(np.any(new != start) for new, start in zip(layer.get_weights(), old, strict=True)), layer.name


def assert_examples_do_not_mix(model: keras.Model, labels: np.ndarray) -> None:
    together = outputs(model, MIXTURE, labels)
    for b in range(2):
        alone = outputs(model, MIXTURE[b : b + 1], labels[b : b + 1])[0]
        np.testing.assert_allclose(together[b], alone, atol=1e-5, err_msg=f"example {b}")


def assert_labels_stay_with_their_example(model: keras.Model, labels: np.ndarray) -> None:
    """The gradient of an example's sources by the other one's labels is zero exactly."""
    weights = np.random.default_rng(6).normal(size=(SOURCES, 3, 1)).astype(np.float32)
    mixture = ops.convert_to_tensor(MIXTURE)
    slopes = gradient(lambda given: ops.sum(model({"mixture": mixture, "labels": given})[1] * weights), labels)
    assert not slopes[0].any(), "example 1 depends on the labels of example 0"
    assert slopes[1].any()


def assert_moments_are_their_own(model: keras.Model) -> None:
    """What the first frame says holds until the second one's middle at most, and so at the other end."""
    labels = np.repeat(MOVING[:1], 3, axis=0)
    labels[1, 0] += 1
    labels[2, -1] += 1
    unchanged, *results = outputs(model, np.repeat(MIXTURE[:1], 3, axis=0), labels)
    last = int(1.5 * LENGTH / FRAMES) + LADDER.stride_samples  # in the mixture, where features still depend on it
    for result, direction in zip(results, (1, -1), strict=True):
        change = np.abs(result - unchanged).max(axis=(1, 2))[::direction]
        assert change[: last - 2 * LADDER.margin_samples].max() > 1e-4
        assert change[last:].max() < 1e-6
    assert last < SOURCES / 2


CONDITIONED = [(method, place) for method in METHODS for place in PLACES if place != "output"]


@pytest.mark.slow
@pytest.mark.parametrize("method, place", [*CONDITIONED, ("film", "output"), ("outer", "output")])
def test_every_method_at_every_place(method, place, tmp_path):
    static, moving = small(method, place), small(method, place, frames=FRAMES)
    assert len(modulations(static, method)) == {"every": 3, "output": 0}.get(place, 1)
    for model, labels in ((static, LABELS), (moving, MOVING)):
        if method != "outer" or place == "output":  # before training it is the plain network
            take_over(model, plain())
            given = np.ones_like(labels) if place == "output" else labels
            np.testing.assert_allclose(outputs(model, MIXTURE, given), outputs(plain(), MIXTURE), atol=1e-6)
    assert_learns(static, method, LABELS)
    randomise(static)
    for layer in (layer for layer in static.layers if layer.weights):
        moving.get_layer(layer.name).set_weights(layer.get_weights())
    holding = np.repeat(LABELS[:, None], FRAMES, axis=1)
    np.testing.assert_allclose(outputs(moving, MIXTURE, holding), outputs(static, MIXTURE, LABELS), atol=2e-5)
    assert_examples_do_not_mix(static, LABELS)
    assert_labels_stay_with_their_example(static, LABELS)
    assert_labels_stay_with_their_example(moving, MOVING)
    assert_moments_are_their_own(moving)
    again = reloaded(moving, tmp_path)
    np.testing.assert_array_equal(outputs(again, MIXTURE, MOVING), outputs(moving, MIXTURE, MOVING))


@pytest.mark.parametrize("method", METHODS)
def test_the_gate_is_the_same_whatever_the_method(method):
    gated = small(method, "output")
    assert [layer.name for layer in gated.layers if layer.weights] == [
        layer.name for layer in plain().layers if layer.weights
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("output", ["direct", "consistent"])
def test_what_is_absent_is_silent_where_the_gate_stands(method, output):
    model = randomise(small(method, "every", "output", output=output))
    result = outputs(model, MIXTURE, LABELS)
    for b, s in np.ndindex(LABELS.shape):
        assert result[b, :, s].any() == (LABELS[b, s] > 0)


class ScrambledFiLM(FiLM):
    """As the original did it: row (b, t) receives the labels of example (b * T + t) mod B."""

    def received(self, context, features):
        batch, samples, _ = ops.shape(features)
        return ops.reshape(ops.tile(context, (samples, 1)), (batch, samples, context.shape[-1]))


@pytest.mark.parametrize("place", ["bottleneck", "every"])
def test_labels_scrambled_over_the_batch_would_be_noticed(place, monkeypatch):
    monkeypatch.setitem(METHODS, "film", ScrambledFiLM)
    model = randomise(small("film", place))
    with pytest.raises(AssertionError, match="example"):
        assert_examples_do_not_mix(model, LABELS)
    with pytest.raises(AssertionError, match="depends on the labels of example 0"):
        assert_labels_stay_with_their_example(model, LABELS)


# ---------------------------------------------------------------- networks by name


def test_a_separator_is_built_by_name():
    model = networks.built(3, 1, network="wave_unet", **SMALL, conditioning="film", places=["every"])
    assert model.name == "wave_unet" and set(model.input) == {"mixture", "labels"}
    assert networks.lengths(40, network="wave_unet", **SMALL).input_samples(SOURCES) == LENGTH


SPECTRAL = {"frame_samples": 32, "hop_samples": 24}
SIZES = {
    "wave_unet": {"levels": 1, "filters": 2, "down_size": 3, "up_size": 3},
    "band_split": {"features": 4, "depth": 1, "zones": 2, "bands": 2, **SPECTRAL},
    "lstm_unet": {"levels": 2, "filters": 3},
    "unet_spectrogram": {"levels": 2, "filters": 2, **SPECTRAL},
}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("network", SIZES)
def test_labels_reach_the_sources_through_features_unless_they_gate(network, output):
    """Features do not depend on them before training, so then nothing may. A comparison of places rests on this."""
    choices = {"network": network, **SIZES[network]}
    lengths = networks.lengths(100, **choices)
    mixture = np.repeat(excerpts(lengths.input_samples(lengths.output_samples(100))), 2, axis=0)
    for places, gated in ((["input", "every"], False), (["every", "output"], True)):
        model = networks.built(3, 1, **choices, output=output, conditioning="film", places=places)
        one, other = outputs(model, mixture, LABELS)
        assert (np.abs(one - other).max() > 1e-4) == gated
