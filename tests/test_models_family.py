"""The family of the Wave-U-Net: few variants in which each choice meets each other one, and what holds for all."""

import itertools
from collections.abc import Iterator
from functools import cache

from Models.conditioning import METHODS
from Models.lengths import Ladder, Lengths
from Models.options import WaveUNet
from Models.wave_unet import ladder_of, wave_unet, wave_unet_lengths

import keras
import numpy as np
import pytest
from keras import ops
from models_oracle import excerpts, gradient, outputs, randomise, reloaded, wave_unet_by_hand

pytestmark = pytest.mark.slow

SIZES = {"levels": 2, "filters": 4, "down_size": 5, "up_size": 3, "resampling_size": 11}
PLACES = [("bottleneck",), ("input", "decoder"), ("encoder", "output"), ("every",)]
LABELS = np.array([[1, 0.2], [0.3, 0.8]], np.float32)


def pairwise(**choices: list) -> Iterator[dict]:
    """Few combinations of these choices in which each value of one meets each value of every other."""
    combinations = [tuple(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
    met = {combination: set(itertools.combinations(combination, 2)) for combination in combinations}
    missing = set().union(*met.values())
    while missing:
        best = max(combinations, key=lambda combination: len(met[combination] & missing))
        missing -= met[best]
        yield dict(best)


VARIANTS = list(
    pairwise(
        resampling=["linear", "learned", "lowpass", "strided"],
        output=["direct", "difference", "consistent"],
        padding=["valid", "same"],
        stride=[2, 4],
        depth=[1, 2],
        residual=[False, True],
        normalisation=["none", "group"],
        growth=["add", "double"],
        activation=["tanh", "linear"],
        separate=[False, True],
        channels=[1, 2],
    )
)
for number, variant in enumerate(VARIANTS):
    method = ["none", *METHODS][number % 8]
    variant.update(SIZES, conditioning=method, places=PLACES[number // 2 % 4], slope=[0.2, 0.1][number % 2])

each_variant = pytest.mark.parametrize("number", range(len(VARIANTS)))


def built(number: int) -> keras.Model:
    choices = {**VARIANTS[number]}
    return randomise(wave_unet(2, choices.pop("channels"), **choices))


model_of = cache(built)  # for tests that change nothing


def lengths_of(number: int, wanted: int = 20) -> Lengths:
    choices = {**VARIANTS[number]}
    del choices["channels"]
    return wave_unet_lengths(wanted, **choices)


def ladder(number: int) -> Ladder:
    """How far the filters reach, whatever the padding."""
    names = ("levels", "down_size", "up_size", "stride", "depth", "resampling", "resampling_size")
    return ladder_of(WaveUNet(**{name: VARIANTS[number][name] for name in names}))


def inputs(number: int, input_samples: int | None = None) -> list[np.ndarray]:
    """A mixture of two examples, and labels where the model has them."""
    lengths = lengths_of(number)
    length = input_samples or lengths.input_samples(lengths.output_samples(20))
    mixture = excerpts(length, batch=2, channels=VARIANTS[number]["channels"])
    return [mixture] if VARIANTS[number]["conditioning"] == "none" else [mixture, LABELS]


def test_the_variants_are_few_and_all_meet():
    assert len(VARIANTS) < 20
    met = {pair for variant in VARIANTS for pair in itertools.combinations(list(variant.items())[:11], 2)}
    assert len(met) >= 4 * 3 + (4 + 3) * 9 * 2 + 36 * 4
    assert {variant["conditioning"] for variant in VARIANTS} == {"none", *METHODS}


@each_variant
def test_it_computes_what_numpy_computes_of_each_example_alone(number):
    arrays = inputs(number)
    result = outputs(model_of(number), *arrays)
    assert result.dtype == np.float32
    for b in range(2):
        expected = wave_unet_by_hand(model_of(number), *(array[b] for array in arrays), sources=2, **VARIANTS[number])
        assert result[b].shape == expected.shape
        np.testing.assert_allclose(result[b], expected, atol=3e-5)
        assert expected.std(axis=0).min() > 0.01  # and it is not silence that agrees


@each_variant
def test_its_lengths_are_those_of_the_ladder(number):
    lengths, model, channels = lengths_of(number), model_of(number), VARIANTS[number]["channels"]
    same = VARIANTS[number]["padding"] == "same"
    for wanted in (1, 20 + lengths.stride_samples):
        lengths = lengths_of(number, wanted)
        samples = lengths.output_samples(wanted)
        arrays = inputs(number, lengths.input_samples(samples))
        assert outputs(model, *arrays).shape == (2, samples, 2, channels)
        assert samples >= wanted and not (same and samples % lengths.stride_samples)
        assert lengths.input_samples(samples) == samples + 2 * lengths.margin_samples
    assert model.output_shape[2:] == (2, channels)


@pytest.mark.parametrize("number", [n for n, variant in enumerate(VARIANTS) if variant["padding"] == "valid"])
def test_its_margin_is_all_used_and_enough(number):
    lengths = lengths_of(number)
    last = lengths.output_samples(20) - 1
    twice, *labels = (ops.convert_to_tensor(np.repeat(array[:1], 2, axis=0)) for array in inputs(number))

    def first_and_last(mixture):
        sources = model_of(number)(dict(zip(("mixture", "labels"), (mixture, *labels), strict=False)))
        return ops.sum(sources[0, 0, 0]) + ops.sum(sources[1, last, 0])

    used = [np.flatnonzero(slopes.any(axis=1)) for slopes in gradient(first_and_last, twice)]
    assert used[0][0] == 0 and used[1][-1] == twice.shape[1] - 1
    margin, stride = lengths.margin_samples, lengths.stride_samples
    # a sample between those of the bottleneck depends on both neighbours
    assert used[0][-1] < 2 * margin + stride and used[1][0] > last - stride


@each_variant
def test_a_later_mixture_gives_later_sources(number):
    stride, lengths = ladder(number).stride_samples, lengths_of(number)
    if VARIANTS[number]["padding"] == "valid":
        edge, length = 0, lengths.input_samples(lengths.output_samples(20 + stride))
    else:  # where the padded edges do not reach
        edge = ladder(number).margin_samples + stride
        length = stride * (2 * edge // stride + 4)
    mixture, *labels = inputs(number, length + stride)
    early, late = (outputs(model_of(number), mixture[:, at : at + length], *labels) for at in (0, stride))
    early, late = early[:, edge : len(early[0]) - edge], late[:, edge : len(late[0]) - edge]
    assert early.shape[1] > stride
    np.testing.assert_allclose(early[:, stride:], late[:, :-stride], atol=1e-5)
    assert np.abs(early[:, 1 : 1 - stride or None] - late[:, : early.shape[1] - stride]).max() > 1e-3


@each_variant
def test_it_reloads_exactly(number, tmp_path):
    again, arrays = reloaded(model_of(number), tmp_path), inputs(number)
    assert again.count_params() == model_of(number).count_params()
    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model_of(number).layers]
    np.testing.assert_array_equal(outputs(again, *arrays), outputs(model_of(number), *arrays))


@each_variant
def test_half_precision_keeps_weights_and_sources_in_float32(number):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = built(number)
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(weight.dtype == "float32" for weight in half.weights)
    blocks = [layer for layer in half.layers if layer.name.startswith(("down", "up", "bottleneck"))]
    assert {layer.compute_dtype for layer in blocks} == {"bfloat16"}
    assert {layer.compute_dtype for layer in half.layers if layer.name.startswith("sources")} == {"float32"}
    arrays = inputs(number)
    result = outputs(half, *arrays)
    assert result.dtype == np.float32
    error = np.abs(result - outputs(model_of(number), *arrays))
    assert 1e-6 < error.max() < 0.5 and error.mean() < 0.03  # it did compute in bfloat16
    if VARIANTS[number]["output"] == "consistent":
        margin = lengths_of(number).margin_samples
        middle = arrays[0][:, margin : arrays[0].shape[1] - margin]
        np.testing.assert_allclose(result.sum(axis=2), middle, atol=1e-6)


# ---------------------------------------------------------------- where features stand


def centres(model: keras.Model, samples: list[int], length: int) -> np.ndarray:
    """The position in the mixture on which the given sample of each output is centred, by gradient."""
    labels = ops.zeros((len(samples), *model.input["labels"].shape[1:]))

    def given_samples(mixture):  # one example for each output
        features = model({"mixture": mixture, "labels": labels})
        return sum(ops.sum(features[n][n, sample]) for n, sample in enumerate(samples))

    slopes = gradient(given_samples, np.ones((len(samples), length, 1), np.float32))[..., 0]
    return np.sum(slopes * np.arange(length), axis=1) / np.sum(slopes, axis=1)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "choices",
    [
        {"resampling": "linear"},
        {"resampling": "learned", "stride": 3, "depth": 2, "residual": True},
        {"resampling": "lowpass", "resampling_size": 7, "residual": True},
        {"resampling": "lowpass", "resampling_size": 13, "depth": 2},
        {"resampling": "strided", "resampling_size": 3},
        {"resampling": "strided", "stride": 3, "resampling_size": 5},
        {"resampling": "strided", "stride": 3, "resampling_size": 9, "depth": 2, "residual": True},
    ],
    ids=str,
)
def test_moving_context_reaches_features_where_they_stand(padding, choices):
    """Each layer adds the context of its moment to its first feature. All filters are symmetrical: means, and where
    samples come between others, triangles, so that also those stand in the middle of what they depend on."""
    choices = {**SIZES, "filters": 1, "slope": 1.0, "padding": padding, **choices}
    lengths = wave_unet_lengths(1, **choices)
    reach = wave_unet_lengths(1, **(choices | {"padding": "valid"})).margin_samples
    lengths = wave_unet_lengths(2 * reach + 3 * lengths.stride_samples, **choices)
    length = lengths.input_samples(lengths.output_samples(3 * lengths.stride_samples))
    model = wave_unet(2, **choices, conditioning="additive", places=["input", "every"], shapes={"labels": (length, 2)})
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv1D, keras.layers.Conv1DTranspose)):
            kernel, bias = layer.get_weights()
            kernel[:] = 1 / np.prod(kernel.shape[:2])
            if isinstance(layer, keras.layers.Conv1DTranspose):
                offsets = np.abs(np.arange(len(kernel)) - len(kernel) // 2)
                kernel[:] = np.maximum(0, 1 - offsets / choices.get("stride", 2))[:, None, None]
            layer.set_weights([kernel, bias])
    conditioned = [layer for layer in model.layers if layer.name.endswith("additive")]
    assert len(conditioned) == 6
    for layer in conditioned:
        kernel, bias = layer.get_weights()
        kernel[0, 0] = 1
        layer.set_weights([kernel, bias])

    def added(context: np.ndarray) -> list[np.ndarray]:
        """What each layer adds to its features, for each example (T, K)."""
        labels = np.stack([context, np.zeros_like(context)], axis=2).astype(np.float32)
        mixture = np.ones((len(context), length, 1), np.float32)
        before, after = inside({"mixture": mixture, "labels": labels})
        return [keras.ops.convert_to_numpy(a - b) for b, a in zip(before, after, strict=True)]

    features = [layer.input[0] for layer in conditioned]
    inside = keras.Model(model.input, [features, [layer.output for layer in conditioned]])
    positions = added(np.arange(length)[None])  # a line: each moment's context is its position
    middles = [place.shape[1] // 2 for place in positions]
    assert not any(place[..., 1:].any() for place in positions)
    for step in (0, 1):
        samples = [middle + step for middle in middles]
        received = [place[0, sample, 0] for place, sample in zip(positions, samples, strict=True)]
        np.testing.assert_allclose(received, centres(keras.Model(model.input, features), samples, length), atol=0.02)
        impulses = added(np.eye(length)[np.rint(received).astype(int)])
        for n, sample in enumerate(samples):
            np.testing.assert_allclose(impulses[n][n, :, 0], np.eye(impulses[n].shape[1])[sample], atol=1e-3)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_gate_that_moves_opens_at_its_own_moment(padding):
    choices = {**SIZES, "padding": padding, "resampling": "strided"}
    lengths = wave_unet_lengths(64, **choices)
    samples = lengths.output_samples(64)
    length, margin = lengths.input_samples(samples), lengths.margin_samples
    model = randomise(
        wave_unet(2, **choices, conditioning="film", places=["output"], shapes={"labels": (length, 2)}, output="direct")
    )
    mixture, gate = excerpts(length), np.zeros((1, length, 2), np.float32)
    gate[0, margin + 10 : margin + 20] = 1
    opened, result = (outputs(model, mixture, labels)[0, :, :, 0] for labels in (np.ones_like(gate), gate))
    np.testing.assert_allclose(result, opened * gate[0, margin : margin + samples], atol=1e-4)
