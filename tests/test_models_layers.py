from Models.layers import Decimate, Interpolate

import keras
import numpy as np
import pytest
from models_oracle import assert_layer_contract, excerpts


def computed(layer, features):
    return keras.ops.convert_to_numpy(layer(features))


@pytest.mark.parametrize("samples", [1, 2, 3, 8, 9])
def test_decimate_keeps_the_first_sample_and_every_second_after(samples):
    features = np.arange(2 * samples * 3, dtype=np.float32).reshape(2, samples, 3)
    kept = [[[features[b, t, k] for k in range(3)] for t in range(0, samples, 2)] for b in range(2)]
    np.testing.assert_array_equal(computed(Decimate(), features), kept)


@pytest.mark.parametrize("samples", [1, 2, 3, 8])
def test_interpolate_is_linear_interpolation(samples):
    features = excerpts(samples, batch=2, channels=3)
    result = computed(Interpolate(), features)
    assert result.shape == (2, 2 * samples - 1, 3)
    places = np.arange(2 * samples - 1) / 2
    for b in range(2):
        for k in range(3):
            expected = np.interp(places, np.arange(samples), features[b, :, k])
            np.testing.assert_allclose(result[b, :, k], expected, atol=1e-7)


def test_interpolate_of_a_line_and_of_an_impulse():
    line = np.linspace(-3, 4, 8, dtype=np.float32)[None, :, None]
    np.testing.assert_allclose(computed(Interpolate(), line)[0, :, 0], np.linspace(-3, 4, 15), atol=1e-6)
    impulse = np.eye(5, dtype=np.float32)[2][None, :, None]
    np.testing.assert_array_equal(computed(Interpolate(), impulse)[0, :, 0], [0, 0, 0, 0.5, 1, 0.5, 0, 0, 0])


def test_decimate_undoes_interpolate():
    features = excerpts(9, batch=2, channels=3)
    np.testing.assert_array_equal(computed(Decimate(), Interpolate()(features)), features)


@pytest.mark.parametrize("layer", [Decimate(), Interpolate()])
def test_the_layer_contract(layer, tmp_path):
    assert_layer_contract(layer, tmp_path, excerpts(9, batch=2, channels=3))
