from functools import cache

from Models.layers import DownConv1D
from Models.lengths import Geometry, Ladder
from Models.wave_unet import wave_unet

import keras
import numpy as np
import pytest
from keras import ops
from models_oracle import excerpts, gradient, outputs, randomise, reloaded, wave_unet_by_hand

LADDER = Ladder(levels=3, down_size=5, up_size=3)
SMALL = {"levels": 3, "filters": 2, "down_size": 5, "up_size": 3}
LABELS = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]], np.float32)
VARIANTS = [
    {"output": output, **conditioning}
    for output in ("difference", "direct", "consistent")
    for conditioning in (
        {"conditioning": "none"},
        {"conditioning": "film", "places": ["every"]},
        {"conditioning": "film", "places": ["bottleneck", "output"]},
    )
]


def small(**choices) -> keras.Model:
    """Three sources, every weight random."""
    channels = choices.pop("channels", 1)
    return randomise(wave_unet(3, channels, **(SMALL | choices)))


def inputs(model: keras.Model, batch: int = 4, length: int = 30) -> list[np.ndarray]:
    """A mixture, and labels where the model has them."""
    channels = model.input["mixture"].shape[-1]
    mixture = excerpts(LADDER.input_samples(LADDER.output_samples(length)), batch, channels)
    return [mixture, LABELS[:batch]] if "labels" in model.input else [mixture]


@pytest.fixture
def half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


# ---------------------------------------------------------------- the published numbers

DOWN = [*range(24, 289, 24)]  # features of the blocks of the way down, the first one's first; of the way up as well
BOTTLENECK = 312


@cache
def parameters(sources: int = 2, channels: int = 1, **choices) -> int:
    return wave_unet(sources, channels, **choices).count_params()


@pytest.mark.parametrize(
    "sources, channels, output, count",
    [
        (2, 1, "difference", 10_263_002),  # M2 and M3 of Stoller et al. 2018
        (13, 1, "difference", 10_263_288),
        (13, 1, "direct", 10_263_314),
        (2, 2, "difference", 10_263_390),  # M4
        (4, 2, "difference", 10_263_498),  # M6
    ],
)
def test_the_published_parameter_counts(sources, channels, output, count):
    assert parameters(sources, channels, output=output) == count


def test_the_published_count_layer_by_layer():
    above = [1, *DOWN]
    down = sum(15 * before * after + after for before, after in zip(above, [*DOWN, BOTTLENECK], strict=True))
    below = [*DOWN[1:], BOTTLENECK]
    up = sum(5 * (skip + lower) * skip + skip for skip, lower in zip(DOWN, below, strict=True))
    assert down + up + (1 + 24) + 1 == parameters() == 10_263_002


def test_padding_takes_no_weights():
    assert parameters(padding="same") == 10_263_002


def test_learned_resampling_adds_a_weight_for_each_feature_that_goes_up():
    going_up = [BOTTLENECK, *DOWN[:0:-1]]
    assert len(going_up) == 12 and sum(going_up) == 2160
    assert parameters(resampling="learned") == 10_263_002 + 2160


def test_strided_resampling_adds_a_filter_on_each_way():
    small = {"levels": 2, "filters": 3, "resampling_size": 7}
    down = sum(7 * width**2 + width for width in (3, 6))
    up = sum(7 * width**2 + width for width in (9, 6))
    assert parameters(**small, resampling="strided") == parameters(**small) + down + up
    assert parameters(**small, resampling="lowpass") == parameters(**small)


def test_the_conditioned_network_of_vimss():
    wider = 5 * (13 - 1) * BOTTLENECK * DOWN[-1]  # what the first block of the way up receives more
    assert parameters(13, conditioning="outer") == 10_263_288 + wider == 15_654_648


def test_film_adds_a_scale_and_a_shift_per_feature():
    assert parameters(13, conditioning="film") == 10_263_288 + (13 + 1) * 2 * BOTTLENECK
    small = {"levels": 3, "filters": 2, "conditioning": "film"}
    added = (3 + 1) * 2 * (2 + 4 + 6 + 8 + 6 + 4 + 2)
    assert parameters(3, **small, places=("every",)) == parameters(3, levels=3, filters=2) + added


def test_a_network_of_its_own_for_each_source():
    small = {"levels": 2, "filters": 3, "output": "direct"}
    assert parameters(3, **small, separate=True) == 3 * parameters(1, **small)
    assert parameters(3, **(small | {"output": "difference"}), separate=True) == 2 * parameters(1, **small)


def test_a_block_grows_with_its_depth_and_its_shortcut():
    small = {"levels": 1, "filters": 2, "down_size": 5, "up_size": 3}
    second = (5 * 2 * 2 + 2) + (5 * 4 * 4 + 4) + (3 * 2 * 2 + 2)
    assert parameters(**small, depth=2) == parameters(**small) + second
    shortcuts = (1 * 2 + 2) + (2 * 4 + 4) + (6 * 2 + 2)
    assert parameters(**small, residual=True) == parameters(**small) + shortcuts
    assert parameters(**small, normalisation="group") == parameters(**small) + 2 * (2 + 4 + 2)
    doubled = {**small, "levels": 2, "filters": 4}
    assert [wave_unet(2, **doubled, growth=growth).get_layer("bottleneck").filters for growth in ("add", "double")] == [
        12,
        16,
    ]


# ---------------------------------------------------------------- the forward pass, against numpy


@pytest.mark.parametrize("choices", VARIANTS, ids=str)
def test_it_computes_what_numpy_computes(choices):
    model = small(**choices)
    arrays = inputs(model, batch=2)
    result = outputs(model, *arrays)
    for b in range(2):
        expected = wave_unet_by_hand(model, *(array[b] for array in arrays), sources=3, **(SMALL | choices))
        assert result[b].shape == expected.shape
        np.testing.assert_allclose(result[b], expected, atol=2e-5)


def test_it_computes_what_numpy_computes_in_stereo():
    choices = {**SMALL, "output": "consistent", "conditioning": "film", "places": ["every"]}
    model = small(channels=2, **choices)
    mixture, labels = inputs(model, batch=1)
    expected = wave_unet_by_hand(model, mixture[0], labels[0], sources=3, **choices)
    np.testing.assert_allclose(outputs(model, mixture, labels)[0], expected, atol=2e-5)


# ---------------------------------------------------------------- which samples reach which


def passing(model: keras.Model, skip_level: int | None = None) -> keras.Model:
    """The features of up_1, in a network that hands its first feature on unchanged.

    On the way up it takes those from below, at `skip_level` those from the side.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv1D):
            kernel = np.zeros(layer.kernel.shape)
            way, _, level = layer.name.partition("_")
            from_below = way == "up" and int(level) != skip_level
            kernel[kernel.shape[0] // 2, layer.filters if from_below else 0, 0] = 1
            layer.set_weights([kernel, np.zeros(layer.filters)])
    return keras.Model(model.input, model.get_layer("up_1_relu").output)


@pytest.mark.parametrize("numbers", [(1, 3, 3), (3, 5, 3), (3, 3, 7), (4, 15, 5)])
@pytest.mark.parametrize("channels", [1, 2])
def test_both_ways_up_meet_at_the_same_sample(numbers, channels):
    levels, down_size, up_size = numbers
    ladder = Ladder(*numbers)
    samples = ladder.output_samples(40)
    line = 1 + np.arange(ladder.input_samples(samples), dtype=np.float32)
    mixture = np.repeat(line[None, :, None], channels, axis=2)
    model = wave_unet(2, channels, levels=levels, filters=2, down_size=down_size, up_size=up_size)
    for skip_level in (None, *range(1, levels + 1)):
        result = outputs(passing(model, skip_level), mixture)[0, :, 0]
        np.testing.assert_allclose(result, line[ladder.margin_samples : -ladder.margin_samples], rtol=1e-6)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_an_impulse_through_a_skip_comes_out_where_it_went_in(level):
    step = 2 ** (level - 1)
    start = 2 * (2**level - 1)  # two samples of each level are lost on the way down: 2, 2 + 4, 2 + 4 + 8
    samples = LADDER.output_samples(40)
    position = start + step * round((LADDER.margin_samples + samples / 2 - start) / step)
    mixture = np.zeros((1, LADDER.input_samples(samples), 1), np.float32)
    mixture[0, position] = 1
    result = outputs(passing(wave_unet(2, **SMALL), level), mixture)[0, :, 0]
    distances = np.abs(np.arange(samples) + LADDER.margin_samples - position)
    np.testing.assert_allclose(result, np.maximum(0, 1 - distances / step), atol=1e-6)


def test_the_difference_is_taken_from_the_centre_of_the_mixture():
    model = wave_unet(2, **SMALL)
    model.get_layer("sources").set_weights([np.zeros((1, 3, 1)), np.zeros(1)])
    (mixture,) = inputs(model)
    margin = LADDER.margin_samples
    np.testing.assert_array_equal(outputs(model, mixture)[:, :, 1], mixture[:, margin:-margin])


def dependence(model: keras.Model, length: int, samples: range | list[int]) -> list[tuple[int, int]]:
    """First and last position in the mixture on which each of these samples of the sources depends, by gradient."""

    def given_samples(mixtures):  # one mixture for each
        sources = model({"mixture": mixtures})
        return sum(ops.sum(sources[n, sample, 0]) for n, sample in enumerate(samples))

    slopes = gradient(given_samples, excerpts(length, batch=len(samples)))[..., 0]
    used = [np.flatnonzero(row) for row in slopes]
    return [(int(row[0]), int(row[-1])) for row in used]


def walked(ladder: Ladder, sample: int) -> tuple[int, int]:
    """The same by walking from the sources to the bottleneck and back down to the mixture."""
    first = last = sample
    for _ in range(ladder.levels):
        last += ladder.up_size - 1
        first, last = first // 2, (last + 1) // 2
    last += ladder.down_size - 1
    for _ in range(ladder.levels):
        first, last = 2 * first, 2 * last + ladder.down_size - 1
    return first, last


@pytest.mark.parametrize("numbers", [(1, 3, 3), (2, 5, 3), (3, 5, 5), (3, 1, 3)])
def test_the_receptive_field(numbers):
    levels, down_size, up_size = numbers
    ladder = Ladder(*numbers)
    model = randomise(wave_unet(2, levels=levels, filters=2, down_size=down_size, up_size=up_size, output="direct"))
    samples = ladder.output_samples(ladder.stride_samples + 1)
    length, reach = ladder.input_samples(samples), 2 * ladder.margin_samples
    fields = dependence(model, length, range(samples))
    assert fields == [walked(ladder, sample) for sample in range(samples)]
    assert fields[0][0] == 0 and fields[-1][1] == length - 1  # the first and the last sample of the margin matter
    for sample, (first, last) in enumerate(fields):  # between two samples of the bottleneck, both of them matter
        assert sample - ladder.stride_samples < first and last < sample + reach + ladder.stride_samples


def test_the_published_receptive_field():
    model = wave_unet(2, filters=1, output="direct")
    for layer in model.layers:  # each convolution is a mean, so that no sample's part in it drowns
        if isinstance(layer, keras.layers.Conv1D):
            size, width, new_width = layer.kernel.shape
            layer.set_weights([np.full((size, width, new_width), 1 / (size * width)), np.zeros(new_width)])
    ladder = Ladder(levels=12, down_size=15, up_size=5)
    first, last = dependence(model, 147443, [0, 16388])
    assert first == walked(ladder, 0) and first[0] == 0
    assert last == walked(ladder, 16388) and last[1] == 147442


# ---------------------------------------------------------------- conditioning


def test_a_step_in_the_context_changes_its_side_alone():
    samples = LADDER.output_samples(200)
    mixture = excerpts(LADDER.input_samples(samples))
    frames = mixture.shape[1]
    model = small(conditioning="film", places=["every"], shapes={"labels": (frames, 3)})
    before, after = (np.repeat(labels[None, None], frames, axis=1) for labels in LABELS[:2])
    step = frames // 2
    moving = np.concatenate([before[:, :step], after[:, step:]], axis=1)
    result, left, right = (outputs(model, mixture, context)[0] for context in (moving, before, after))
    position = step - LADDER.margin_samples  # of the step in the sources
    reach = LADDER.margin_samples + LADDER.stride_samples
    np.testing.assert_array_equal(result[: position - reach], left[: position - reach])
    np.testing.assert_array_equal(result[position + reach :], right[position + reach :])
    assert position - reach > 10 and position + reach < samples - 10
    assert np.abs(result[position - 2] - left[position - 2]).max() > 1e-4
    assert np.abs(result[position + 1] - right[position + 1]).max() > 1e-4


@pytest.mark.parametrize("method", ["film", "concat", "attention", "outer"])
@pytest.mark.parametrize("numbers", [(1, 3, 3), (2, 5, 3), (3, 3, 5), (2, 1, 7), (3, 15, 5)])
def test_moving_context_reaches_the_samples_that_are_computed_as_if_all_were(method, numbers, monkeypatch):
    ladder, convolutions, results = Ladder(*numbers), [], []
    mixture = excerpts(ladder.input_samples(ladder.output_samples(20)), batch=2)
    for sparing in (Geometry.sparing, False):
        monkeypatch.setattr(Geometry, "sparing", sparing)
        sizes = dict(zip(("levels", "down_size", "up_size"), numbers, strict=True))
        model = small(
            **sizes, conditioning=method, places=["every"], shapes={"labels": (7, 3)}, residual=numbers[0] > 1
        )
        convolutions.append(sum(isinstance(layer, DownConv1D) for layer in model.layers))
        results.append(outputs(model, mixture, excerpts(7, batch=2, channels=3)))
    assert convolutions[0] >= numbers[0] and not convolutions[1]
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)
    assert results[0].std() > 0.05


# ---------------------------------------------------------------- outputs


@pytest.mark.parametrize("choices", [{}, {"conditioning": "film", "places": ["every"]}, {"channels": 2}], ids=str)
@pytest.mark.parametrize("output", ["difference", "consistent"])
def test_the_sources_sum_to_the_mixture(output, choices):
    model = small(output=output, **choices)
    arrays = inputs(model)
    margin = LADDER.margin_samples
    middle = arrays[0][:, margin:-margin]
    np.testing.assert_allclose(outputs(model, *arrays).sum(axis=2), middle, atol=1e-6)


def test_direct_sources_stay_within_full_scale_and_need_not_sum_to_the_mixture():
    model = small(output="direct")
    (mixture,) = inputs(model)
    result, margin = outputs(model, 100 * mixture), LADDER.margin_samples
    assert np.abs(result).max() <= 1
    assert np.abs(result.sum(axis=2) - 100 * mixture[:, margin:-margin]).max() > 1


@pytest.mark.parametrize("places", [["output"], ["bottleneck", "output"], ["every", "output"]])
def test_consistent_sources_sum_to_the_mixture_and_the_absent_are_silent(places):
    model = small(output="consistent", conditioning="film", places=places)
    mixture, labels = inputs(model)
    result, margin = outputs(model, mixture, labels), LADDER.margin_samples
    np.testing.assert_allclose(result.sum(axis=2), mixture[:, margin:-margin], atol=1e-6)
    for b, s in np.argwhere(labels == 0):
        assert not result[b, :, s].any()
    for b, s in np.argwhere(labels == 1):
        assert result[b, :, s].any()
    np.testing.assert_allclose(result[0, :, 0], mixture[0, margin:-margin], atol=1e-6)  # the only one is the mixture


@pytest.mark.parametrize("output", ["direct", "difference"])
def test_gated_sources_are_silent_where_absent(output):
    model = small(output=output, conditioning="film", places=["output"])
    mixture, labels = inputs(model)
    result = outputs(model, mixture, labels)
    ungated = outputs(model, mixture, np.ones_like(labels))
    np.testing.assert_array_equal(result, ungated * labels[:, None, :, None])


# ---------------------------------------------------------------- save, reload, precision, training


@pytest.mark.parametrize("output", ["direct", "consistent"])
def test_half_precision_keeps_weights_and_sources_in_float32(output, half_precision, tmp_path):
    model = small(output=output, conditioning="film", places=["every", "output"])
    assert {layer.compute_dtype for layer in model.layers if layer.name.startswith(("up", "down"))} == {"bfloat16"}
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert model.get_layer("sources").compute_dtype == "float32"
    arrays = inputs(model)
    result = outputs(model, *arrays)
    assert result.dtype == np.float32
    again = reloaded(model, tmp_path)
    assert again.get_layer("up_1").compute_dtype == "bfloat16"
    np.testing.assert_array_equal(outputs(again, *arrays), result)

    keras.config.set_dtype_policy("float32")
    full = small(output=output, conditioning="film", places=["every", "output"])
    difference = np.abs(result - outputs(full, *arrays)).max()
    assert 1e-5 < difference < 0.05  # it did compute in bfloat16
    if output == "consistent":
        margin = LADDER.margin_samples
        np.testing.assert_allclose(result.sum(axis=2), arrays[0][:, margin:-margin], atol=1e-6)


@pytest.mark.slow
def test_one_compiled_step_moves_every_weight(half_precision):
    keras.utils.set_random_seed(0)
    model = wave_unet(3, **(SMALL | {"levels": 1}), output="consistent", conditioning="film", places=["every"])
    model.compile(keras.optimizers.Adam(1e-2), "mse", jit_compile=True)
    before = model.get_weights()
    samples = Ladder(1, 5, 3).output_samples(20)
    mixture = excerpts(Ladder(1, 5, 3).input_samples(samples), batch=4)
    model.train_on_batch({"mixture": mixture, "labels": LABELS}, np.zeros((4, samples, 3, 1), np.float32))
    for weight, old in zip(model.weights, before, strict=True):
        assert weight.dtype == "float32"
        assert np.any(keras.ops.convert_to_numpy(weight) != old), weight.path


@pytest.mark.parametrize("output", ["direct", "difference"])
def test_linear_sources_are_clipped_but_in_training(output):
    model = small(output=output, activation="linear")
    (mixture,) = inputs(model)
    unclipped = keras.ops.convert_to_numpy(model({"mixture": 20 * mixture}, training=True))
    assert (np.abs(unclipped).max(axis=(0, 1, 3)) > 1.2).all()
    expected = np.clip(unclipped, -1, 1)
    if output == "difference":  # the mixture minus the others as they come out
        middle = unclipped.sum(axis=2)
        expected[:, :, -1] = np.clip(middle - expected[:, :, :-1].sum(axis=2), -1, 1)
    np.testing.assert_allclose(outputs(model, 20 * mixture), expected, atol=1e-5)


# ---------------------------------------------------------------- choices that cannot be


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"output": "diference"}, "^'output' must be 'direct', 'difference' or 'consistent'; .* mean 'difference'\\?$"),
        (
            {"places": ["bottleneck", "top"]},
            "^'contexts.labels.places.1' must be 'input', .* or 'output'; received 'top'$",
        ),
        (
            {"resampling": "cubic"},
            "^'resampling' must be 'linear', .* or 'strided'; received 'cubic'$",
        ),
        ({"resampling": "strided", "resampling_size": 5, "stride": 4}, "resampling=strided, not 5 with stride=4$"),
        ({"resampling": "lowpass", "resampling_size": 1}, "resampling=lowpass, not 1 with stride=2$"),
        ({"levls": 3}, "^unknown key 'levls'; did you mean 'levels'\\?$"),
        ({"sources": 1}, "'difference' needs at least two sources. Received: sources=1"),
        ({"up_size": 4}, "^'up_size' must be odd; received 4$"),
        ({"stride": 1}, "^'stride' must be greater than or equal to 2; received 1$"),
    ],
    ids=str,
)
def test_choices_that_cannot_be(choices, message):
    with pytest.raises(ValueError, match=message):
        wave_unet(**({"sources": 3} | SMALL | choices))


@pytest.mark.parametrize("output", ["direct", "consistent"])
def test_a_single_source(output):
    model = wave_unet(1, **SMALL, output=output)
    assert outputs(model, *inputs(model)).shape[2] == 1
