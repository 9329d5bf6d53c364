"""The layers of a Wave-U-Net that Keras does not have: changing the sample rate of features, and normalising them.

`padding` is `valid`, where a filter never reaches beyond the features, or `same`, where T samples become T / stride or
T * stride and the edges are padded. Features keep their moment: sample n of the slow side is sample n * stride of the
fast one, but for what a valid filter loses at the beginning.
"""

import keras
import numpy as np
from keras import ops


class _Resampling(keras.layers.Layer):
    def __init__(self, stride: int = 2, padding: str = "valid", **kwargs):
        super().__init__(**kwargs)
        self.stride, self.padding = stride, padding

    def compute_output_shape(self, shape):
        batch, samples, width = shape
        return batch, None if samples is None else self._samples_after(samples), width

    def get_config(self):
        return {**super().get_config(), "stride": self.stride, "padding": self.padding}


@keras.saving.register_keras_serializable("vimss")
class Decimate(_Resampling):
    """Keeps every stride-th sample: (B, T, K) -> (B, ceil(T / stride), K), with whatever padding.

    Source: Stoller et al. 2018, section 3.1.
    """

    def call(self, features):
        return features[:, :: self.stride]

    def _samples_after(self, samples: int) -> int:
        return -(-samples // self.stride)


@keras.saving.register_keras_serializable("vimss")
class Interpolate(_Resampling):
    """Puts stride - 1 samples between each two neighbours: (B, T, K) -> (B, stride * (T - 1) + 1, K).

    They lie on a straight line or, where `learned`, are w * left + (1 - w) * right with a weight w in (0, 1) of each
    feature, which begins at 1/2 where stride is 2. `same` padding holds the last sample.
    Source: Stoller et al. 2018, sections 3.2.2 and 3.2.3.
    """

    def __init__(self, stride: int = 2, padding: str = "valid", learned: bool = False, **kwargs):
        super().__init__(stride, padding, **kwargs)
        self.learned = learned

    def build(self, shape):
        self.lines = np.arange(self.stride, 0, -1, dtype=np.float32)[:, None] / self.stride  # weights of the left
        if self.learned:
            logits = np.log(self.lines[1:] / (1 - self.lines[1:]))
            start = keras.initializers.Constant(np.tile(logits, (1, shape[-1])))
            self.weight = self.add_weight(name="weight", shape=(self.stride - 1, shape[-1]), initializer=start)

    def call(self, features):
        if self.padding == "same":
            features = ops.concatenate([features, features[:, -1:]], axis=1)
        left = ops.cast(self.lines, self.compute_dtype)
        if self.learned:
            weight = ops.sigmoid(self.weight)
            left = ops.concatenate([ops.ones_like(weight[:1]), weight])
        between = features[:, :-1, None] * left + features[:, 1:, None] * (1 - left)
        batch, samples, _, width = ops.shape(between)
        between = ops.reshape(between, (batch, samples * self.stride, width))
        return between if self.padding == "same" else ops.concatenate([between, features[:, -1:]], axis=1)

    def _samples_after(self, samples: int) -> int:
        return self.stride * samples if self.padding == "same" else self.stride * (samples - 1) + 1

    def get_config(self):
        return {**super().get_config(), "learned": self.learned}


@keras.saving.register_keras_serializable("vimss")
class DownConv1D(keras.layers.Conv1D):
    """The last convolution of a down block, computed only where it is used: (B, T, K) -> (B, N, filters).

    Of the T' = T - kernel_size + 1 samples of a valid convolution, the level below uses every second one, and the skip
    those that are at least `margin` samples away from both ends. Nine tenths of a published excerpt is such a margin,
    so that this nearly halves the work. First in the result are samples 0, 2, ... T' - 1, then the odd ones of the
    middle (`lengths.Positions.between`). `SkipAndDecimate` makes the two results of it, after layers that treat each
    sample by itself. T' must be odd, as a ladder's lengths are, and above 2 margin + 1.

    Args:
        filters, kernel_size: as in `Conv1D`.
        margin: samples of the convolution on each side that the skip does without; even, as a ladder's are.
    """

    def __init__(self, filters: int, kernel_size: int, margin: int, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.margin = margin

    def call(self, features):
        samples = ops.shape(features)[1]
        between = features[:, self.margin + 1 : samples - self.margin - 1]
        return ops.concatenate([self._every_second(features), self._every_second(between)], axis=1) + self.bias

    def _every_second(self, features):
        """The strided convolution as a dense one over pairs of samples, whose gradient is fast on a CPU too."""
        batch, samples, width = ops.shape(features)
        pairs = ops.reshape(ops.pad(features, [(0, 0), (0, 1), (0, 0)]), (batch, (samples + 1) // 2, 2 * width))
        kernel = ops.pad(self.kernel, [(0, 1), (0, 0), (0, 0)])
        return ops.conv(pairs, ops.reshape(kernel, (-1, 2 * self.kernel.shape[1], self.filters)), padding="valid")

    def compute_output_shape(self, shape):
        batch, samples, _ = shape
        return batch, None if samples is None else samples + 1 - self.kernel_size[0] - self.margin, self.filters

    def get_config(self):
        config = super().get_config()
        return {name: config[name] for name in ("name", "trainable", "dtype", "filters", "kernel_size")} | {
            "margin": self.margin
        }


@keras.saving.register_keras_serializable("vimss")
class SkipAndDecimate(keras.layers.Layer):
    """What a `DownConv1D` of the same margin computed -> the skip's and the next level's features, in order of time.

    (B, N, K) -> (B, T' - 2 margin, K) from the middle, and every second of all: (B, (T' + 1) / 2, K).
    """

    def __init__(self, margin: int, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin

    def call(self, features):
        seconds = self._seconds(ops.shape(features)[1])
        even, odd = features[:, self.margin // 2 : seconds - self.margin // 2], features[:, seconds:]
        batch, samples, width = ops.shape(odd)
        pairs = ops.reshape(ops.stack([even[:, :-1], odd], axis=2), (batch, 2 * samples, width))
        return ops.concatenate([pairs, even[:, -1:]], axis=1), features[:, :seconds]

    def _seconds(self, samples):
        """How many of the N samples every second one of the convolution is."""
        return (samples + self.margin + 1) // 2

    def compute_output_shape(self, shape):
        batch, samples, width = shape
        seconds = None if samples is None else self._seconds(samples)
        middle = None if seconds is None else 2 * seconds - 1 - 2 * self.margin
        return (batch, middle, width), (batch, seconds, width)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}


def lowpass(size: int, stride: int) -> np.ndarray:
    """A sinc of the cut-off 1 / (2 stride), under a Hann window of `size` taps; the taps sum to 1: (size,)."""
    offsets = np.arange(size) - (size - 1) / 2
    taps = np.sinc(offsets / stride) * np.hanning(size + 2)[1:-1]
    return (taps / taps.sum()).astype(np.float32)


@keras.saving.register_keras_serializable("vimss")
class LowpassDecimate(_Resampling):
    """Keeps every stride-th sample after a fixed low-pass: no aliasing. `valid` loses size - 1 samples before that.

    Source: the fixed resampling filters of Wave-U-Net-Pytorch (Stoller 2019).
    """

    def __init__(self, stride: int = 2, padding: str = "valid", size: int = 15, **kwargs):
        super().__init__(stride, padding, **kwargs)
        self.size = size

    def call(self, features):
        if self.padding == "same":
            margin = (self.size - 1) // 2
            features = ops.pad(features, [(0, 0), (margin, margin), (0, 0)])
        last = ops.shape(features)[1] - self.size + 1
        taps = ops.cast(lowpass(self.size, self.stride), self.compute_dtype)
        return sum(taps[i] * features[:, i : i + last : self.stride] for i in range(self.size))

    def _samples_after(self, samples: int) -> int:
        return -(-(samples if self.padding == "same" else samples - self.size + 1) // self.stride)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("vimss")
class LowpassInterpolate(_Resampling):
    """Puts stride - 1 samples between each two neighbours by a fixed low-pass.

    `valid` loses size - 1 samples of the fast side; `same` takes what lies beyond the edges as zero. Source: as
    `LowpassDecimate`.
    """

    def __init__(self, stride: int = 2, padding: str = "valid", size: int = 15, **kwargs):
        super().__init__(stride, padding, **kwargs)
        self.size = size

    def call(self, features):
        batch, samples, width = ops.shape(features)
        spread = ops.pad(features[:, :, None], [(0, 0), (0, 0), (0, self.stride - 1), (0, 0)])
        spread = ops.reshape(spread, (batch, samples * self.stride, width))
        margin = (self.size - 1) // 2
        if self.padding == "same":
            spread = ops.pad(spread, [(0, 0), (margin, margin), (0, 0)])
            length = samples * self.stride
        else:
            length = self.stride * (samples - 1) + 1 - (self.size - 1)
        taps = ops.cast(lowpass(self.size, self.stride) * self.stride, self.compute_dtype)
        return sum(taps[i] * spread[:, i : i + length] for i in range(self.size))

    def _samples_after(self, samples: int) -> int:
        whole = self.stride * samples
        return whole if self.padding == "same" else whole - self.stride + 1 - (self.size - 1)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("vimss")
class GroupNorm(keras.layers.Layer):
    """Normalises groups of eight features at each moment to mean 0 and variance 1, then scales and shifts each feature.

    (B, T, K) -> the same. Where eight does not divide K, all are one group. No statistics are taken over time, as other
    normalisations do: then a window's length would change its sources.
    Source: Wu and He 2018, equation 1, with the set of each moment alone.
    """

    WIDTH = 8

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=shape[-1:], initializer="ones")
        self.shift = self.add_weight(name="shift", shape=shape[-1:], initializer="zeros")

    def call(self, features):
        *outer, width = ops.shape(features)
        group = width if width % self.WIDTH else self.WIDTH
        grouped = ops.cast(ops.reshape(features, (*outer, width // group, group)), "float32")
        mean, variance = ops.moments(grouped, axes=-1, keepdims=True)
        levelled = ops.reshape((grouped - mean) * ops.rsqrt(variance + 1e-5), (*outer, width))
        return ops.cast(levelled, self.compute_dtype) * self.scale + self.shift

    def compute_output_shape(self, shape):
        return shape


@keras.saving.register_keras_serializable("vimss")
class Clip(keras.layers.Layer):
    """Clips amplitudes to full scale, [-1, 1]; not in training, where a clipped sample would have no gradient.

    Source: the linear output of Stoller's code.
    """

    def call(self, amplitudes, training=False):
        return amplitudes if training else ops.clip(amplitudes, -1, 1)

    def compute_output_shape(self, shape):
        return shape
