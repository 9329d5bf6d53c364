"""What training minimises: functions of sources and estimates (B, T, S, C), each one number per example (B,).

All are computed in float32. Keras takes the mean over the batch. In a configuration a loss is a name of `LOSSES` or a
weighted sum of them, such as `l1+0.5*multi_resolution_stft`.

A source that is silent in an excerpt has no energy to measure an error by. `log_energy`, `si_sdr` and
`multi_resolution_stft` then measure it by that of the mixture.
"""

from Options import checked

import keras
from keras import ops

from . import options, spectrogram

SILENT_ENERGY = 1e-6  # of an excerpt; below half a least significant bit of 16 over a second
FLOOR = 1e-3  # decibels stop counting below -30 dB
SOFTEST = 1e-7**0.5  # logarithms of magnitudes stop counting below it, as in the code of Yamamoto et al.
RESOLUTIONS = ((512, 240, 50), (1024, 600, 120), (2048, 1200, 240))  # samples: transform, frame, hop


def mse(sources, estimates):
    """The mean squared error. Source: Stoller et al. 2018, section 4.2."""
    return ops.mean(ops.square(sources - estimates), axis=(1, 2, 3))


def l1(sources, estimates):
    """The mean absolute error. Source: Defossez et al. 2019, section 4.3."""
    return ops.mean(ops.abs(sources - estimates), axis=(1, 2, 3))


def sum_squared(sources, estimates):
    """The squared error summed over samples, sources and channels, as VIMSS trained."""
    return ops.sum(ops.square(sources - estimates), axis=(1, 2, 3))


def log_energy(sources, estimates):
    """The error of each source in dB under its own energy, no better than -30 dB, mean over the sources.

    Soft parts count as much as loud ones. Source: Wisdom et al. 2021 (FUSS), equations 3 and 4.
    """
    return _mean_decibels(_energy(sources - estimates) / _yardstick(sources))


def si_sdr(sources, estimates):
    """The scale-invariant SDR of each source in dB, negative, no better than -30 dB, mean over the sources.

    An estimate is the source times a factor, which costs nothing, plus an error; one factor for all channels. An
    estimate of silence has 0 dB. A source that is silent has no factor: there any estimate is error, in dB under the
    energy of the mixture. Source: Le Roux et al. 2019 (SDR: half-baked or well done?).
    """
    yardstick = _yardstick(sources)
    factor = ops.sum(sources * estimates, axis=(1, 3)) / yardstick
    error = _energy(estimates - factor[:, None, :, None] * sources)
    least = 1e-10 * yardstick  # an estimate softer than this, by 100 dB, is taken for silence
    target = ops.where(_silent(sources), yardstick, ops.square(factor) * yardstick + least)
    return _mean_decibels((error + least) / target)


def magnitudes(sources, estimates):
    """The mean absolute error of the magnitudes of frames of 1024 samples, hops of 768.

    The L1 loss of Jansson et al. 2017 and Stoller et al. 2018, but for one step: there the magnitudes are compared as
    the masks leave them, here as the estimate has them once its frames have been overlapped and added.
    """
    heard, guessed = (spectrogram.magnitudes(*_spectra(signals, 1024, 768)) for signals in (sources, estimates))
    return ops.mean(ops.abs(heard - guessed), axis=(1, 2, 3, 4))


def multi_resolution_stft(sources, estimates):
    """How far magnitudes are from the source's, in proportion and in logarithms, for frames of three lengths.

    Spectral convergence |S - E| / |S| (Frobenius norms over frames, bins and channels) plus the mean of |log S - log E|
    of magnitudes S and E, mean over resolutions and sources. Source: Yamamoto et al. 2020, equations 4 to 6, table 1.
    """
    return sum(_spectral_distance(sources, estimates, *resolution) for resolution in RESOLUTIONS) / len(RESOLUTIONS)


def _spectral_distance(sources, estimates, fft_samples: int, frame_samples: int, hop_samples: int):
    mixture = ops.sum(sources, axis=2, keepdims=True)
    heard, guessed, mixed = (
        spectrogram.magnitudes(*_spectra(signals, frame_samples, hop_samples, fft_samples))
        for signals in (sources, estimates, mixture)
    )
    norm = ops.where(_silent(sources), _norm(mixed), _norm(heard)) + SILENT_ENERGY**0.5
    logarithms = ops.log(ops.maximum(heard, SOFTEST)) - ops.log(ops.maximum(guessed, SOFTEST))
    return ops.mean(_norm(heard - guessed) / norm + ops.mean(ops.abs(logarithms), axis=(1, 2, 4)), axis=1)


def _spectra(signals, frame_samples: int, hop_samples: int, fft_samples: int | None = None):
    """Signals (B, T, S, C) -> real and imaginary parts (B, frames, bins, S, C)."""
    batch, samples, sources, channels = ops.shape(signals)
    flat = ops.reshape(signals, (batch, samples, sources * channels))
    parts = spectrogram.stft(flat, frame_samples, hop_samples, fft_samples)
    return [ops.reshape(part, (*ops.shape(part)[:3], sources, channels)) for part in parts]


def _norm(parts):
    """Frobenius norms (B, S) of (B, frames, bins, S, C), never quite zero, where the slope would be infinite."""
    return ops.sqrt(ops.sum(ops.square(parts), axis=(1, 2, 4)) + 1e-12)


def _energy(signals):
    """The energy of each source of an excerpt: (B, T, S, C) -> (B, S)."""
    return ops.sum(ops.square(signals), axis=(1, 3))


def _yardstick(sources):
    """The energy that errors are measured by, (B, S): the source's own or, where it is silent, the mixture's."""
    mixture = ops.sum(sources, axis=2, keepdims=True)
    return ops.where(_silent(sources), _energy(mixture), _energy(sources)) + SILENT_ENERGY


def _silent(sources):
    """Which sources of an excerpt are silent: (B, S)."""
    return _energy(sources) < SILENT_ENERGY


def _mean_decibels(ratios):
    return ops.mean(10 * ops.log10(ratios + FLOOR), axis=1)


LOSSES = {name: globals()[name] for name in options.LOSSES}
"""The functions above by their names in a configuration."""


def per_example(expression: str, sources, estimates):
    """A loss, or weighted sum of losses, of each example: (B, T, S, C) twice -> (B,), float32."""
    sources, estimates = ops.cast(sources, "float32"), ops.cast(estimates, "float32")
    return sum(weight * LOSSES[name](sources, estimates) for weight, name in options.terms(expression))


@keras.saving.register_keras_serializable("vimss")
class _Loss(keras.losses.Loss):
    """A loss by its expression, which is all that a saved model keeps of it."""

    def __init__(self, expression: str, name: str = "loss", **kwargs):
        super().__init__(name, **kwargs)
        self.expression = expression

    def call(self, sources, estimates):
        return per_example(self.expression, sources, estimates)

    def get_config(self):
        return {**super().get_config(), "expression": self.expression}


def loss(expression: str) -> keras.losses.Loss:
    """The loss of an expression, ready for `compile`.

    Raises:
        ValueError: if it is no sum of names of `LOSSES`, each with a positive weight or none; the names are named.
    """
    checked(options.Objective, {"loss": expression})
    return _Loss(expression)
