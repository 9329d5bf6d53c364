from Models.conditioning import FiLM

import keras
import numpy as np
import pytest
from models_oracle import assert_layer_contract, excerpts, randomise


def film(start_samples=0.0, step_samples=1, width=2, context_width=3) -> FiLM:
    layer = FiLM(start_samples, step_samples)
    layer.build((None, None, width), (None, context_width))
    return randomise(layer)


def adding(start_samples=0.0, step_samples=1) -> FiLM:
    """A FiLM of one feature and one number of context, which adds the context to the feature."""
    layer = film(start_samples, step_samples, width=1, context_width=1)
    layer.set_weights([np.array([[0.0, 1.0]]), np.zeros(2)])
    return layer


def computed(layer, features, context) -> np.ndarray:
    return keras.ops.convert_to_numpy(layer(features, context))


def heard(start_samples, step_samples, samples, frames) -> np.ndarray:
    """(T,): the moving context of one number a frame that features of zeros hear."""
    layer = adding(start_samples, step_samples)
    return computed(layer, np.zeros((1, samples, 1), np.float32), np.asarray(frames, np.float32)[None, :, None])[
        0, :, 0
    ]


def test_a_new_film_is_the_identity():
    features, labels = excerpts(7, batch=3, channels=4), excerpts(1, batch=3, channels=5)[:, 0]
    np.testing.assert_array_equal(computed(FiLM(), features, labels), features)
    moving = excerpts(6, batch=3, channels=5)
    np.testing.assert_array_equal(computed(FiLM(), features, moving), features)


def test_labels_scale_and_shift_each_feature():
    layer = film()
    kernel, bias = layer.get_weights()
    features, labels = excerpts(4, batch=3, channels=2), excerpts(1, batch=3, channels=3, seed=2)[:, 0]
    result = computed(layer, features, labels)
    for b in range(3):
        gamma_0, gamma_1, beta_0, beta_1 = (np.dot(labels[b], kernel[:, k]) + bias[k] for k in range(4))
        np.testing.assert_allclose(result[b, :, 0], (1 + gamma_0) * features[b, :, 0] + beta_0, atol=1e-5)
        np.testing.assert_allclose(result[b, :, 1], (1 + gamma_1) * features[b, :, 1] + beta_1, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 7, 40])
def test_context_that_does_not_move_is_static_context(frames):
    layer = film(start_samples=6.5, step_samples=4)
    features, labels = excerpts(20, batch=2, channels=2), excerpts(1, batch=2, channels=3)[:, 0]
    moving = np.repeat(labels[:, None], frames, axis=1)
    np.testing.assert_allclose(computed(layer, features, moving), computed(layer, features, labels), atol=1e-5)


@pytest.mark.parametrize("start_samples, step_samples, samples", [(0, 1, 50), (7, 1, 50), (24.5, 4, 20), (100, 16, 9)])
@pytest.mark.parametrize("frames", [1, 2, 5, 33])
def test_moving_context_is_interpolated_at_the_true_positions(start_samples, step_samples, samples, frames):
    context = np.random.default_rng(0).normal(size=frames)
    mixture_samples = 2 * start_samples + step_samples * (samples - 1) + 1
    middles = (np.arange(frames) + 0.5) * mixture_samples / frames
    positions = start_samples + step_samples * np.arange(samples) + 0.5  # the middle of each sample
    expected = np.interp(positions, middles, context)
    np.testing.assert_allclose(heard(start_samples, step_samples, samples, context), expected, atol=1e-4)


@pytest.mark.parametrize("start_samples, step_samples, samples", [(0, 1, 30), (7, 1, 30), (21, 4, 11), (30, 8, 6)])
def test_one_frame_a_sample_reaches_its_own_sample(start_samples, step_samples, samples):
    mixture_samples = 2 * start_samples + step_samples * (samples - 1) + 1
    positions = start_samples + step_samples * np.arange(samples)
    np.testing.assert_allclose(
        heard(start_samples, step_samples, samples, np.arange(mixture_samples)), positions, atol=1e-4
    )
    for t in (0, samples // 2, samples - 1):
        impulse = np.eye(mixture_samples)[positions[t]]
        np.testing.assert_allclose(heard(start_samples, step_samples, samples, impulse), np.eye(samples)[t], atol=1e-4)


def test_a_step_between_two_frames_lies_in_the_middle_of_the_mixture():
    # 2 frames over 101 + 2 * 50 samples: the middles at 50.25 and 150.75, hence 100 samples of slope, 0.5 at the centre
    result = heard(50, 1, 101, [0, 1])
    assert result[50] == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(np.diff(result)[1:-1], 1 / 100.5, atol=1e-6)
    np.testing.assert_allclose(result, 1 - result[::-1], atol=1e-6)


def test_every_example_hears_its_own_moving_context():
    layer = film(start_samples=3, step_samples=2)
    features, context = excerpts(9, batch=4, channels=2), excerpts(6, batch=4, channels=3, seed=2)
    together = computed(layer, features, context)
    for b in range(4):
        alone = computed(layer, features[b : b + 1], context[b : b + 1])
        np.testing.assert_allclose(together[b], alone[0], atol=1e-6)


@pytest.mark.parametrize("context_shape", [(2, 3), (2, 5, 3)])
def test_the_layer_contract(context_shape, tmp_path):
    context = np.random.default_rng(3).uniform(-1, 1, context_shape).astype(np.float32)
    layer = FiLM(start_samples=7, step_samples=2)
    assert_layer_contract(layer, tmp_path, excerpts(9, batch=2, channels=4), context)
    assert layer.get_config()["start_samples"] == 7 and layer.get_config()["step_samples"] == 2
