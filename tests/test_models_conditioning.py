from Models.conditioning import METHODS, Additive, Attention, Concat, Conditioner, FiLM, Positions, at_moments
from Models.options import PLACES, Context
from Models.wave_unet import wave_unet, wave_unet_lengths

import keras
import numpy as np
import pytest
from keras import ops
from models_oracle import assert_layer_contract, excerpts, gradient, modulated, randomise

WIDTHS = {"concat": 4 + 3, "outer": 4 * 3}  # of four features under three entries
GRIDS = [Positions(0, 1, 0), Positions(7, 1, 7), Positions(24.5, 4, 24.5), Positions(0, 4, 3), Positions(100, 16, 40)]


def layer_of(method: str, positions: Positions = Positions(), random: bool = True):  # noqa: B008
    """For four features and three entries of context, every weight random."""
    layer = METHODS[method](**positions._asdict())
    layer(np.zeros((1, 1, 4), np.float32), np.zeros((1, 3), np.float32))
    return randomise(layer) if random else layer


def computed(layer, features, context) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(features, context))


def labels_of(batch: int, entries: int = 3) -> np.ndarray:
    return np.random.default_rng(3).uniform(0, 1, (batch, entries)).astype(np.float32)


def moved(context, moments: int, positions: Positions) -> np.ndarray:
    """Context (F, D) at each moment (T, D): frames stand in the middle of even parts of the mixture."""
    mixture_samples = positions.start + positions.step * (moments - 1) + 1 + positions.end
    middles = (np.arange(len(context)) + 0.5) * mixture_samples / len(context)
    places = positions.start + positions.step * np.arange(moments) + 0.5  # the middle of each sample
    return np.stack([np.interp(places, middles, entry) for entry in np.asarray(context).T], axis=1)


# ---------------------------------------------------------------- what each method computes


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_what_numpy_computes_and_every_example_receives_its_own_context(method):
    positions = Positions(6.5, 4, 2)
    layer = layer_of(method, positions)
    weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
    features = excerpts(5, batch=3, channels=4)
    for context in (labels_of(3), excerpts(6, batch=3, channels=3, seed=2)):
        result = computed(layer, features, context)
        assert result.shape == (3, 5, WIDTHS.get(method, 4))
        for b in range(3):
            received = (
                moved(context[b], 5, positions) if context.ndim == 3 else np.repeat(context[b : b + 1], 5, axis=0)
            )
            np.testing.assert_allclose(result[b], modulated(method, features[b], received, weights), atol=2e-5)
            alone = computed(layer, features[b : b + 1], context[b : b + 1])
            np.testing.assert_allclose(result[b], alone[0], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_bands_that_share_a_moment_share_its_context(method):
    layer = layer_of(method, Positions(2, 3, 2))
    features = np.random.default_rng(1).normal(size=(2, 5, 6, 4)).astype(np.float32)  # (B, T, N, K)
    for context in (labels_of(2), excerpts(6, batch=2, channels=3, seed=2)):
        result = computed(layer, features, context)
        assert result.shape == layer.compute_output_shape(features.shape, context.shape)
        for n in range(6):
            np.testing.assert_allclose(result[:, :, n], computed(layer, features[:, :, n], context), atol=1e-5)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "outer"])
def test_a_new_layer_changes_nothing_and_learns_from_the_first_step(method):
    layer = layer_of(method, random=False)
    features = excerpts(7, batch=3, channels=4)
    for context in (labels_of(3), excerpts(6, batch=3, channels=3)):
        result = computed(layer, features, context)
        np.testing.assert_array_equal(result[..., :4], features)
        assert not result[..., 4:].any()

    start, ramp = layer.get_weights(), np.arange(1, 8, dtype=np.float32)[:, None]

    def loss(value, number):
        weights = [value if n == number else weight for n, weight in enumerate(start)]
        return ops.sum(layer.stateless_call(weights, [], features, labels_of(3))[0] * ramp)

    slopes = [gradient(lambda value, n=n: loss(value, n), weight) for n, weight in enumerate(start)]
    assert max(np.abs(slope).max() for slope in slopes) > 0.1


def test_outer_leaves_nothing_of_what_is_absent():
    features, labels = excerpts(5, batch=2, channels=4), np.array([[1, 0, 0.5], [0, 0, 0]], np.float32)
    result = computed(layer_of("outer"), features, labels)
    np.testing.assert_array_equal(result[0, :, 0::3], features[0])
    np.testing.assert_array_equal(result[0, :, 2::3], features[0] / 2)
    assert not result[0, :, 1::3].any() and not result[1].any()


@pytest.mark.parametrize("method", ["attention", "additive_attention"])
def test_an_absent_entry_adds_nothing(method):
    layer, features = layer_of(method), excerpts(5, batch=2, channels=4)
    absent = np.array([[0.7, 0, 1], [0, 0, 0]], np.float32)
    before = computed(layer, features, absent)
    np.testing.assert_array_equal(before[1], features[1])
    values = [weight.copy() for weight in layer.get_weights()]
    values[2][1] += 100  # what the absent entry would add
    layer.set_weights(values)
    np.testing.assert_array_equal(computed(layer, features, absent), before)
    assert np.abs(computed(layer, features, absent + 0.1) - before).max() > 1


def test_attention_heeds_the_entry_whose_key_fits():
    layer = Attention(width=2)
    layer.build((None, None, 2), (None, 2))
    layer.set_weights([100 * np.eye(2), np.eye(2), np.array([[10.0, 0], [0, 20.0]])])
    features = np.array([[[1, 0], [0, 1]]], np.float32)
    result = computed(layer, features, np.ones((1, 2), np.float32))
    np.testing.assert_allclose(result - features, [[[10, 0], [0, 20]]], atol=1e-4)


# ---------------------------------------------------------------- context that moves


@pytest.mark.parametrize("positions", GRIDS)
@pytest.mark.parametrize("frames", [1, 2, 5, 33])
def test_moving_context_is_interpolated_at_the_true_positions(positions, frames):
    context = np.random.default_rng(0).normal(size=(2, frames, 3)).astype(np.float32)
    result = keras.ops.convert_to_numpy(at_moments(ops.convert_to_tensor(context), 20, positions))
    for b in range(2):
        np.testing.assert_allclose(result[b], moved(context[b], 20, positions), atol=1e-4)


@pytest.mark.parametrize("between", [1, 3, 9, 17])
@pytest.mark.parametrize("positions", GRIDS)
def test_samples_in_the_order_of_a_down_convolution_receive_the_context_of_their_own_positions(positions, between):
    order = [*range(0, 39, 2), *range(between, 39 - between, 2)]  # of 39 in the order of time
    context = np.random.default_rng(0).normal(size=(1, 7, 3)).astype(np.float32)
    result = at_moments(ops.convert_to_tensor(context), len(order), positions._replace(between=between))
    expected = moved(context[0], 39, positions)[order]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(result)[0], expected, atol=1e-4)


@pytest.mark.parametrize("positions", [p for p in GRIDS if p.start == int(p.start)])
def test_one_frame_a_sample_reaches_its_own_sample(positions):
    def received(context):
        features = np.zeros((1, 11, 4), np.float32)
        return computed(layer, features, np.asarray(context, np.float32)[None, :, None])[0, :, 0]

    layer = Additive(**positions._asdict())
    layer.build((None, None, 4), (None, 1))
    layer.set_weights([np.ones((1, 4)), np.zeros(4)])
    mixture_samples = positions.start + 10 * positions.step + 1 + positions.end
    samples = positions.start + positions.step * np.arange(11)
    np.testing.assert_allclose(received(np.arange(mixture_samples)), samples, atol=1e-4)
    for t in (0, 5, 10):
        impulse = np.eye(mixture_samples)[samples[t]]
        np.testing.assert_allclose(received(impulse), np.eye(11)[t], atol=1e-4)


def test_a_step_between_two_frames_lies_in_the_middle_of_the_mixture():
    # 2 frames over 101 + 2 * 50 samples: the middles at 50.25 and 150.75, hence 100 samples of slope, 0.5 at the centre
    context = ops.convert_to_tensor(np.array([[[0.0], [1.0]]], np.float32))
    result = keras.ops.convert_to_numpy(at_moments(context, 101, Positions(50, 1, 50)))[0, :, 0]
    assert result[50] == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(np.diff(result)[1:-1], 1 / 100.5, atol=1e-6)
    np.testing.assert_allclose(result, 1 - result[::-1], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("frames", [1, 7, 40])
def test_context_that_does_not_move_is_static_context(method, frames):
    layer = layer_of(method, Positions(6.5, 4, 6.5))
    features, labels = excerpts(20, batch=2, channels=4), labels_of(2)
    moving = np.repeat(labels[:, None], frames, axis=1)
    np.testing.assert_allclose(computed(layer, features, moving), computed(layer, features, labels), atol=1e-5)


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("context_shape", [(2, 3), (2, 5, 3)])
def test_the_layer_contract(method, context_shape, tmp_path):
    context = np.random.default_rng(3).uniform(-1, 1, context_shape).astype(np.float32)
    layer = METHODS[method](start=7, step=2, end=4.5, between=3)
    assert_layer_contract(layer, tmp_path, excerpts(9, batch=2, channels=4), context)
    config = layer.get_config()
    assert (config["start"], config["step"], config["end"], config["between"]) == (7, 2, 4.5, 3)
    assert config.get("score") == {"attention": "multiplicative", "additive_attention": "additive"}.get(method)


# ---------------------------------------------------------------- which method stands where

BLOCKS = ("encoder", "bottleneck", "decoder")


@pytest.mark.parametrize(
    "places, expected",
    [
        *(([place], {place}) for place in PLACES if place != "every"),
        (["every"], {*BLOCKS}),
        (["input", "decoder"], {"input", "decoder"}),
        (["every", "input", "output", "encoder"], {*BLOCKS, "input", "output"}),
        ([], set()),
    ],
)
def test_a_conditioner_stands_where_it_should(places, expected):
    features = keras.Input((None, 4))
    film = Context(method="film").model_copy(update={"places": tuple(places)})
    conditioner = Conditioner({"labels": film}, {"labels": (3,)})
    assert {place for place in PLACES if place != "every" and conditioner.at(place)} == expected
    for place in ("input", *BLOCKS):
        result = conditioner(features, place, Positions(3, 2, 1), "here")
        assert (result is features) == (place not in expected)
    plain = Conditioner({"labels": Context(places=("every", "output"))}, {"labels": (3,)})
    assert not any(plain.at(place) for place in PLACES) and plain.inputs == {}


def test_a_layer_knows_where_it_stands():
    features = keras.Input((None, 4))
    conditioner = Conditioner({"labels": Context(method="film", places=("every",))}, {"labels": (3,)})
    conditioned = conditioner(features, "decoder", Positions(3, 2, 1, 5), "up_1")
    model = keras.Model([features, *conditioner.inputs.values()], conditioned)
    (layer,) = (layer for layer in model.layers if isinstance(layer, FiLM))
    assert layer.name == "up_1_film" and layer.positions == (3, 2, 1, 5)


def test_several_contexts_each_have_their_method_and_places_and_shape():
    """One holds for the whole excerpt, one moves; each changes the sources, and alone where it stands."""
    contexts = {"labels": {"method": "film", "places": ["every"]}, "score": {"method": "concat", "places": ["input"]}}
    keras.utils.set_random_seed(1)
    model = wave_unet(2, 1, {"score": (50, 7)}, levels=2, filters=4, contexts=contexts, output="direct")
    assert {name: tensor.shape[1:] for name, tensor in model.input.items()} == {
        "mixture": (None, 1),
        "labels": (2,),
        "score": (50, 7),
    }
    assert {layer.name for layer in model.layers if isinstance(layer, FiLM)} == {
        f"{block}_film" for block in ("down_1", "down_2", "bottleneck", "up_2", "up_1")
    }
    assert [layer.name for layer in model.layers if isinstance(layer, Concat)] == ["input_score_concat"]
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(0.4 * random.standard_normal(weight.shape))
    samples = wave_unet_lengths(1, levels=2, filters=4).input_samples(
        wave_unet_lengths(300, levels=2).output_samples(300)
    )
    given = {"mixture": random.standard_normal((1, samples, 1)), "labels": np.eye(2)[:1]}
    given |= {"score": random.standard_normal((1, 50, 7))}
    given = {name: array.astype(np.float32) for name, array in given.items()}
    plain = keras.ops.convert_to_numpy(model(given))
    for name in ("labels", "score"):
        other = keras.ops.convert_to_numpy(model({**given, name: 1 - given[name]}))
        assert np.abs(other - plain).max() > 1e-3
    late = np.concatenate([given["score"][:, :25], 1 - given["score"][:, 25:]], axis=1)  # the second half alone
    changed = np.abs(keras.ops.convert_to_numpy(model({**given, "score": late})) - plain).max(axis=(0, 2, 3))
    assert not changed[: len(changed) // 4].any() and changed[-len(changed) // 4 :].any()


def test_a_context_without_a_shape_is_one_line():
    with pytest.raises(ValueError, match="expected the shapes of score. Received"):
        wave_unet(2, levels=1, filters=2, contexts={"score": {"method": "film"}})
    with pytest.raises(ValueError, match="must have contexts.score.places without output"):
        wave_unet(2, 1, {"score": (3,)}, contexts={"score": {"method": "film", "places": ["output"]}})
