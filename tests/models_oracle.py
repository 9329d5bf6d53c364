"""What the tests of Models share: weights on purpose, gradients on either backend, a Wave-U-Net in plain numpy."""

from pathlib import Path

import keras
import numpy as np


def randomise(model: keras.Model, seed: int = 0) -> keras.Model:
    """Every weight drawn anew, those that start at zero too, so that nothing is equal by being switched off."""
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        convolves = len(weight.shape) == 3
        scale = 1 / np.sqrt(weight.shape[0] * weight.shape[1]) if convolves else 0.3
        weight.assign(draw.normal(0, scale, weight.shape))
    return model


def gradient(function, x: np.ndarray) -> np.ndarray:
    """The gradient of a function of one array that returns one number, on the backend of the day."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(x))
    import tensorflow as tf

    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()


def outputs(model: keras.Model, *inputs: np.ndarray) -> np.ndarray:
    """The model called on mixture (and labels)."""
    names = ("mixture", "labels")[: len(inputs)]
    return keras.ops.convert_to_numpy(model(dict(zip(names, inputs, strict=True))))


def excerpts(length: int, batch: int = 1, channels: int = 1, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (batch, length, channels)).astype(np.float32)


def reloaded(model: keras.Model, folder: Path) -> keras.Model:
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def assert_layer_contract(layer, folder: Path, *arrays: np.ndarray) -> None:
    """A layer tells its output's shape, also of unknown lengths; reloads exactly; keeps its weights in float32."""
    shapes = [(None, *(None if axis == 1 else n for axis, n in enumerate(a.shape[1:], 1))) for a in arrays[:1]]
    inputs = [keras.Input(s[1:]) for s in shapes] + [keras.Input(a.shape[1:]) for a in arrays[1:]]
    model = randomise(keras.Model(inputs, layer(*inputs)))
    expected = keras.ops.convert_to_numpy(model(list(arrays)))
    assert model.output_shape == (None, None, *expected.shape[2:])
    assert layer.compute_output_shape(*(a.shape for a in arrays)) == expected.shape

    again = reloaded(model, folder)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(list(arrays))), expected)
    assert type(again.layers[-1]) is type(layer)
    assert again.layers[-1].get_config() == layer.get_config()

    half = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    computed = half(*arrays)
    assert keras.backend.standardize_dtype(computed.dtype) == "bfloat16"
    assert all(weight.dtype == "float32" for weight in half.weights)
    half.set_weights(layer.get_weights())
    close = keras.ops.convert_to_numpy(keras.ops.cast(half(*arrays), "float32"))
    np.testing.assert_allclose(close, expected, rtol=0.05, atol=0.05)


# ---------------------------------------------------------------- a Wave-U-Net by hand, in float64


def wave_unet_by_hand(model, mixture, labels=None, *, levels: int, sources: int, output: str, gated: bool = False):
    """Sources (T_out, S, C) of one mixture (T_in, C), from the weights of a model, by loops and np.convolve alone."""
    weights = {layer.name: [np.asarray(w, np.float64) for w in layer.get_weights()] for layer in model.layers}
    mixture = np.asarray(mixture, np.float64)
    skips, features = [], mixture
    for level in range(1, levels + 1):
        skips.append(_block(weights, f"down_{level}", features, labels))
        features = skips[-1][::2]
    features = _block(weights, "bottleneck", features, labels)
    for level in range(levels, 0, -1):
        features = _midpoints(features)
        features = np.hstack([_centre(skips[level - 1], len(features)), features])
        features = _block(weights, f"up_{level}", features, labels)
    heard = _centre(mixture, len(features))
    flat = np.tanh(_convolved(np.hstack([heard, features]), *weights["sources"]))

    channels = mixture.shape[1]
    estimates = [flat[:, first : first + channels] for first in range(0, flat.shape[1], channels)]
    if output == "difference":
        estimates.append(heard - sum(estimates))
    present = np.ones(sources) if labels is None else np.asarray(labels)
    if gated:
        estimates = [present[n] * estimate for n, estimate in enumerate(estimates)]
    if output == "consistent":
        rest = heard - sum(estimates)
        estimates = [estimate + rest * present[n] / present.sum() for n, estimate in enumerate(estimates)]
    return np.stack(estimates, axis=1)


def _block(weights, name, features, labels):
    features = _convolved(features, *weights[name])
    if f"{name}_film" in weights:
        kernel, bias = weights[f"{name}_film"]
        width = features.shape[1]
        for k in range(width):
            gamma = sum(label * kernel[d, k] for d, label in enumerate(labels)) + bias[k]
            beta = sum(label * kernel[d, width + k] for d, label in enumerate(labels)) + bias[width + k]
            features[:, k] = (1 + gamma) * features[:, k] + beta
    return np.where(features < 0, 0.2 * features, features)


def _convolved(features, kernel, bias):
    size, width, new_width = kernel.shape
    convolved = np.tile(bias, (len(features) - size + 1, 1))
    for k in range(width):
        for new in range(new_width):
            convolved[:, new] += np.convolve(features[:, k], kernel[::-1, k, new], "valid")
    return convolved


def _midpoints(features):
    places = np.arange(2 * len(features) - 1) / 2
    return np.stack([np.interp(places, np.arange(len(features)), column) for column in features.T], axis=1)


def _centre(features, length):
    margin = (len(features) - length) // 2
    return features[margin : margin + length]
