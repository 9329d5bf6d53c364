"""What the tests of Models share: weights on purpose, gradients on either backend, a Wave-U-Net in plain numpy."""

from pathlib import Path

import keras
import numpy as np
import scipy.signal


def randomise(model: keras.Model, seed: int = 0) -> keras.Model:
    """Every weight drawn anew, those that start at zero too, so that nothing is equal by being switched off."""
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        convolves = len(weight.shape) == 3
        scale = 1 / np.sqrt(weight.shape[0] * weight.shape[1]) if convolves else 0.3
        drawn = draw.normal(0, scale, weight.shape)
        weight.assign(0.5 + drawn**2 if weight.name == "moving_variance" else drawn)
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
    """A layer knows its output's shape, also of unknown lengths; reloads exactly; keeps its weights in float32."""
    shapes = [(None, *(None if axis == 1 else n for axis, n in enumerate(a.shape[1:], 1))) for a in arrays[:1]]
    inputs = [keras.Input(s[1:]) for s in shapes] + [keras.Input(a.shape[1:]) for a in arrays[1:]]
    model = randomise(keras.Model(inputs, layer(*inputs)))
    expected = _arrays(model(list(arrays)))
    assert [x.shape for x in model.outputs] == [(None, None, *x.shape[2:]) for x in expected]
    shape = layer.compute_output_shape(*(a.shape for a in arrays))
    assert (list(shape) if len(expected) > 1 else [shape]) == [x.shape for x in expected]

    again = reloaded(model, folder)
    for x, y in zip(_arrays(again(list(arrays))), expected, strict=True):
        np.testing.assert_array_equal(x, y)
    assert type(again.layers[-1]) is type(layer)
    assert again.layers[-1].get_config() == layer.get_config()

    half = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    computed = keras.tree.flatten(half(*arrays))
    assert {keras.backend.standardize_dtype(x.dtype) for x in computed} == {"bfloat16"}
    assert all(weight.dtype == "float32" for weight in half.weights)
    half.set_weights(layer.get_weights())
    for x, y in zip(keras.tree.flatten(half(*arrays)), expected, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")), y, rtol=0.05, atol=0.05)


def _arrays(tensors) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(tensor) for tensor in keras.tree.flatten(tensors)]


# ---------------------------------------------------------------- a Wave-U-Net by hand, in float64


def wave_unet_by_hand(model, mixture, labels=None, **choices):
    """Sources (T_out, S, C) of one mixture (T_in, C), from the weights of a model, by loops, numpy and scipy alone.

    The choices are those that the model was built with, and `sources`; labels do not move.
    """
    ladder = {name: choices.get(name, value) for name, value in PLAIN.items()}
    if labels is None:
        ladder["conditioning"] = "none"
    mixture, same = np.asarray(mixture, np.float64), ladder["padding"] == "same"
    channels, sources, output = mixture.shape[1], choices["sources"], ladder["output"]
    emitted = sources - (output == "difference")
    suffixes = [f"_of_{n + 1}" for n in range(emitted)] if ladder["separate"] else [""]
    weights = Weights(model)
    flat = [_Network(weights, suffix, labels, **ladder).emitted(mixture) for suffix in suffixes]
    flat = np.tanh(np.hstack(flat)) if ladder["activation"] == "tanh" else np.clip(np.hstack(flat), -1, 1)

    middle = mixture if same else _centre(mixture, len(flat))
    estimates = [flat[:, first : first + channels] for first in range(0, flat.shape[1], channels)]
    if output == "difference":
        rest = middle - sum(estimates)
        estimates.append(rest if ladder["activation"] == "tanh" else np.clip(rest, -1, 1))
    gates = labels is not None and "output" in ladder["places"]
    present = np.asarray(labels) if gates else np.ones(sources)
    estimates = [present[n] * estimate for n, estimate in enumerate(estimates)]
    if output == "consistent":
        rest = middle - sum(estimates)
        estimates = [estimate + rest * present[n] / max(1, present.sum()) for n, estimate in enumerate(estimates)]
    return np.stack(estimates, axis=1)


PLAIN = {
    "levels": 3,
    "stride": 2,
    "resampling": "linear",
    "resampling_size": 15,
    "depth": 1,
    "residual": False,
    "normalisation": "none",
    "slope": 0.2,
    "padding": "valid",
    "activation": "tanh",
    "output": "difference",
    "separate": False,
    "conditioning": "none",
    "places": ("bottleneck",),
}


class Weights:
    """A model's weights in float64: those of named layers by name, the others in the order in which they were built."""

    def __init__(self, model):
        arrays = {layer.name: [np.asarray(w, np.float64) for w in layer.get_weights()] for layer in model.layers}
        self.named, unnamed = arrays, {}
        for name, weights in arrays.items():
            kind, _, number = name.rpartition("_")
            kind, number = (kind, int(number)) if number.isdigit() else (name, 0)
            if kind in ("conv1d", "conv1d_transpose", "interpolate") and weights:
                unnamed.setdefault(kind, []).append((number, weights))
        self._unnamed = {kind: iter([weights for _, weights in sorted(rows)]) for kind, rows in unnamed.items()}

    def next(self, kind: str):
        return next(self._unnamed[kind])


class _Network:
    """One ladder, from the mixture to what it emits before the last activation."""

    def __init__(self, weights: Weights, suffix: str, labels, **choices):
        self.weights, self.suffix, self.labels, self.choices = weights, suffix, labels, choices
        self.stride, self.size = choices["stride"], choices["resampling_size"]
        self.same = choices["padding"] == "same"

    def emitted(self, mixture):
        levels, skips = self.choices["levels"], []
        features = self._modulated(mixture, "input", "input")
        for level in range(1, levels + 1):
            skips.append(self._block(f"down_{level}", "encoder", features))
            features = self._slower(skips[-1])
        features = self._block("bottleneck", "bottleneck", features)
        for level in range(levels, 0, -1):
            features = self._faster(features)
            features = np.hstack([self._cropped(skips[level - 1], len(features)), features])
            features = self._block(f"up_{level}", "decoder", features)
        features = np.hstack([self._cropped(mixture, len(features)), features])
        return _convolved(features, *self.weights.named[f"sources{self.suffix}"])

    def _block(self, name, place, features):
        depth, named, shortcut = self.choices["depth"], self.weights.named, features
        for n in range(1, depth + 1):
            layer = f"{name}{self.suffix}" + ("" if depth == 1 else f"_{n}")
            features = self._leaky(features) if n > 1 else features
            features = self._convolved(features, *named[layer])
            if self.choices["normalisation"] == "group":
                features = levelled(features) * named[f"{layer}_norm"][0] + named[f"{layer}_norm"][1]
        if self.choices["residual"]:
            shortcut = self._cropped(shortcut, len(features))
            features = features + _convolved(shortcut, *named[f"{name}{self.suffix}_shortcut"])
        return self._leaky(self._modulated(features, place, name))

    def _modulated(self, features, place, name):
        places, method = self.choices["places"], self.choices["conditioning"]
        if method == "none" or not (place in places or ("every" in places and place != "input")):
            return features
        weights = self.weights.named.get(f"{name}{self.suffix}_{method}", [])
        return modulated(method, features, [self.labels] * len(features), weights)

    def _leaky(self, features):
        return np.where(features < 0, self.choices["slope"] * features, features)

    def _cropped(self, features, length):
        return features if self.same else _centre(features, length)

    def _padded(self, features, size):
        return np.pad(features, ((size // 2, size // 2), (0, 0))) if self.same else features

    def _convolved(self, features, kernel, bias):
        return _convolved(self._padded(features, len(kernel)), kernel, bias)

    def _slower(self, features):
        resampling = self.choices["resampling"]
        if resampling == "lowpass":
            features = lowpassed(self._padded(features, self.size), self.size, self.stride)
        if resampling == "strided":
            features = self._convolved(features, *self.weights.next("conv1d"))
        return features[:: self.stride]

    def _faster(self, features):
        resampling, stride, size = self.choices["resampling"], self.stride, self.size
        if resampling in ("linear", "learned"):
            lines = np.arange(stride, 0, -1)[:, None] / stride * np.ones(features.shape[1])
            if resampling == "learned":
                lines[1:] = 1 / (1 + np.exp(-self.weights.next("interpolate")[0]))
            return interpolated(features, lines, self.same)
        if resampling == "lowpass":
            whole = _upsampled_whole(features, size, stride)
        else:
            whole = _transposed_whole(features, stride, *self.weights.next("conv1d_transpose"))
        if self.same:
            return whole[size // 2 : size // 2 + stride * len(features)]
        return whole[size - 1 : stride * (len(features) - 1) + 1]


def levelled(features):
    """Each moment's groups of eight features, or all of them where eight does not divide them, levelled."""
    new, width = np.zeros(features.shape), features.shape[1]
    group = 8 if width % 8 == 0 else width
    for t in range(len(features)):
        for first in range(0, width, group):
            values = features[t, first : first + group]
            new[t, first : first + group] = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
    return new


def interpolated(features, lines, same):
    """`lines` (stride, K): how much of the left neighbour is in each sample after it."""
    new, stride = [], len(lines)
    following = [*features[1:], features[-1]]
    for left, right in zip(features, following, strict=True):
        new.extend(line * left + (1 - line) * right for line in lines)
    return np.array(new if same else new[: len(new) - stride + 1])


def lowpassed(features, size, stride):
    taps = scipy.signal.firwin(size + 2, 1 / stride, window="hann")[1:-1]
    return np.stack([np.convolve(column, taps, "valid") for column in features.T], axis=1)


def _upsampled_whole(features, size, stride):
    """With all that the filter reaches, before the first sample and after the last."""
    taps = scipy.signal.firwin(size + 2, 1 / stride, window="hann")[1:-1] * stride
    whole = scipy.signal.upfirdn(taps, features, up=stride, axis=0)
    return np.pad(whole, ((0, stride), (0, 0)))


def _transposed_whole(features, stride, kernel, bias):
    size = len(kernel)
    whole = np.zeros((stride * (len(features) - 1) + size, len(bias))) + bias
    for n, sample in enumerate(features):
        whole[n * stride : n * stride + size] += kernel @ sample
    return whole


def modulated(method: str, features, context, weights):
    """Features (T, K) as a method modulates them by context, a row (D,) for each moment; by loops."""
    return np.array([_modulated(method, x, np.asarray(c), weights) for x, c in zip(features, context, strict=True)])


def _modulated(method, x, c, weights):
    """The features of one moment (K,) under the context of that moment (D,)."""
    width, entries = len(x), len(c)
    if method == "concat":
        return np.array([*x, *(10 * c[d] * weights[0][d] for d in range(entries))])
    if method == "outer":
        return np.array([x[k] * c[d] for k in range(width) for d in range(entries)])
    if method in ("additive", "multiplicative", "film"):
        kernel, bias = weights
        terms = [sum(c[d] * kernel[d, n] for d in range(entries)) + bias[n] for n in range(len(bias))]
        gamma = np.zeros(width) if method == "additive" else np.array(terms[:width])
        beta = np.zeros(width) if method == "multiplicative" else np.array(terms[-width:])
        return (1 + gamma) * x + beta
    query, keys, values, *direction = weights
    if direction:
        scores = [sum(np.tanh(x @ query + c[d] * keys[d]) * direction[0][:, 0]) for d in range(entries)]
    else:
        scores = [(x @ query) @ (c[d] * keys[d]) / np.sqrt(len(keys[d])) for d in range(entries)]
    heeded = np.exp(scores) / sum(np.exp(scores))
    return x + sum(heeded[d] * c[d] * values[d] for d in range(entries))


def _convolved(features, kernel, bias):
    size, width, new_width = kernel.shape
    convolved = np.tile(bias, (len(features) - size + 1, 1))
    for k in range(width):
        for new in range(new_width):
            convolved[:, new] += np.convolve(features[:, k], kernel[::-1, k, new], "valid")
    return convolved


def _centre(features, length):
    margin = (len(features) - length) // 2
    return features[margin : margin + length]
