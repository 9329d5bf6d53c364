"""The short-time Fourier transform and its inverse, in float32 whatever the precision of the rest.

T samples have ceil(T / hop) frames. Frame n covers `frame_samples` around samples n * hop to (n + 1) * hop, with zeros
beyond the signal: the first begins (frame - hop) / 2 samples before it. So no sample lies only at the edge of a frame,
where the window is zero, and the inverse gives all of them back. Both ways take Hann's window; the inverse divides by
the sum of its squares at each sample (least squares; Griffin and Lim 1984, equation 6), which is no constant for hops
of 3/4 of a frame.
"""

import keras
import numpy as np
from keras import ops


def stft(signals, frame_samples: int, hop_samples: int, fft_samples: int | None = None):
    """Signals (B, T, C) -> real and imaginary parts (B, ceil(T / hop), bins, C).

    Args:
        signals: linear amplitudes.
        frame_samples: length of the window.
        hop_samples: samples between two frames.
        fft_samples: length of the transform, at least a frame, which zeros fill up; None for a frame. There are
            fft_samples / 2 + 1 bins.
    """
    batch, samples, channels = ops.shape(signals)
    before, frames = (frame_samples - hop_samples) // 2, -(-samples // hop_samples)
    pieces = -(-frame_samples // hop_samples)  # of a hop, in a frame
    rows = frames + pieces - 1
    after = rows * hop_samples - before - samples
    signals = ops.transpose(ops.cast(signals, "float32"), (0, 2, 1))
    signals = ops.reshape(ops.pad(signals, [(0, 0), (0, 0), (before, after)]), (batch, channels, rows, hop_samples))
    framed = ops.concatenate([signals[:, :, n : n + frames] for n in range(pieces)], axis=-1)[..., :frame_samples]
    real, imaginary = ops.rfft(framed * window(frame_samples), fft_length=fft_samples or frame_samples)
    return ops.transpose(real, (0, 2, 3, 1)), ops.transpose(imaginary, (0, 2, 3, 1))


def inverse_stft(real, imaginary, frame_samples: int, hop_samples: int):
    """Real and imaginary parts (B, frames, bins, C) -> the signals (B, frames * hop, C) nearest to them."""
    spectra = tuple(ops.transpose(ops.cast(part, "float32"), (0, 3, 1, 2)) for part in (real, imaginary))
    framed = ops.irfft(spectra, fft_length=frame_samples) * window(frame_samples)
    frames, before = ops.shape(real)[1], (frame_samples - hop_samples) // 2
    weights = ops.ones((1, 1, frames, 1)) * window(frame_samples) ** 2
    mine = slice(before, before + frames * hop_samples)
    signals = _overlap_added(framed, hop_samples)[..., mine] / _overlap_added(weights, hop_samples)[..., mine]
    return ops.transpose(signals, (0, 2, 1))


def window(samples: int) -> np.ndarray:
    """Hann's window, periodic: (samples,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)


def magnitudes(real, imaginary):
    """Real and imaginary parts -> magnitudes, at least 1e-6: at zero the gradient would be infinite."""
    return ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-12)


def _overlap_added(framed, hop_samples: int):
    """Frames (B, C, frames, frame_samples) -> (B, C, (frames - 1) * hop + frame_samples, or a little longer)."""
    batch, channels, frames, frame_samples = ops.shape(framed)
    pieces = -(-frame_samples // hop_samples)
    framed = ops.pad(framed, [(0, 0), (0, 0), (0, 0), (0, pieces * hop_samples - frame_samples)])
    rows = sum(
        ops.pad(framed[..., n * hop_samples : (n + 1) * hop_samples], [(0, 0), (0, 0), (n, pieces - 1 - n), (0, 0)])
        for n in range(pieces)
    )
    return ops.reshape(rows, (batch, channels, (frames + pieces - 1) * hop_samples))


class _Transform(keras.layers.Layer):
    def __init__(self, frame_samples: int = 1024, hop_samples: int = 768, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.frame_samples, self.hop_samples = frame_samples, hop_samples

    def get_config(self):
        return {**super().get_config(), "frame_samples": self.frame_samples, "hop_samples": self.hop_samples}


@keras.saving.register_keras_serializable("vimss")
class Stft(_Transform):
    """Signals (B, T, C) -> real and imaginary parts, both (B, ceil(T / hop), frame / 2 + 1, C), float32.

    Args:
        frame_samples: length of the window; even.
        hop_samples: samples between two frames; at most three quarters of a frame.
    """

    def call(self, signals):
        return stft(signals, self.frame_samples, self.hop_samples)

    def compute_output_shape(self, shape):
        batch, samples, channels = shape
        frames = None if samples is None else -(-samples // self.hop_samples)
        return ((batch, frames, self.frame_samples // 2 + 1, channels),) * 2


@keras.saving.register_keras_serializable("vimss")
class InverseStft(_Transform):
    """Real and imaginary parts, both (B, frames, frame / 2 + 1, C) -> signals (B, frames * hop, C), float32.

    Gives back the signals that `Stft` was given, followed by zeros up to a whole hop.

    Args:
        frame_samples: as that of `Stft`.
        hop_samples: as that of `Stft`.
    """

    def call(self, real, imaginary):
        return inverse_stft(real, imaginary, self.frame_samples, self.hop_samples)

    def compute_output_shape(self, real_shape, imaginary_shape):
        batch, frames, _, channels = real_shape
        return batch, None if frames is None else frames * self.hop_samples, channels
