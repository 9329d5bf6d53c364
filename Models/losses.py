"""What training minimises: a weighted sum of losses, each between an output of a network and what it should be.

A loss is a function (truth, estimate, counted) -> (B,), one number per example, in float32; `counted` (B, S) is 1 for
each source that counts, or None where all do. In a configuration the sum is an expression such as
`l1+0.5*multi_resolution_stft` or `l1(sources)+0.5*bce(present)`: names of `LOSSES`, with the output that each is of in
parentheses, which is `sources` (B, T, S, C) where none is given. The example has the truth under the output's name;
that of `playing` (B, S) follows from the sources.

A source that is silent in an excerpt has no energy to measure an error by. `log_energy`, `si_sdr` and
`multi_resolution_stft` then measure it by that of the mixture.
"""

from collections.abc import Collection, Mapping
from typing import Any

import keras
from keras import ops

from . import options, spectrogram

SILENT_ENERGY = 1e-6  # of an excerpt; below half a least significant bit of 16 over a second
FLOOR = 1e-3  # decibels stop counting below -30 dB
LEAST_PROBABILITY = 1e-6  # float32 tells 1 - 1e-6 from 1
SOFTEST = 1e-7**0.5  # logarithms of magnitudes stop counting below it, as in the code of Yamamoto et al.
AUDIBLE_DB = -60.0  # below full scale, the root mean square over an excerpt: a part below it rests
RESOLUTIONS = ((512, 240, 50), (1024, 600, 120), (2048, 1200, 240))  # samples: transform, frame, hop


def mse(sources, estimates, counted=None):
    """The mean squared error. Source: Stoller et al. 2018, section 4.2."""
    return _mean(ops.square(sources - estimates), counted)


def l1(sources, estimates, counted=None):
    """The mean absolute error. Source: Defossez et al. 2019, section 4.3."""
    return _mean(ops.abs(sources - estimates), counted)


def sum_squared(sources, estimates, counted=None):
    """The squared error summed over samples, sources and channels, as VIMSS trained."""
    errors = ops.square(sources - estimates)
    return ops.sum(errors if counted is None else errors * counted[:, None, :, None], axis=(1, 2, 3))


def bce(truth, probabilities, counted=None):
    """The binary cross entropy in nats, mean over all entries: of a truth and of probabilities in [0, 1]."""
    probabilities = ops.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return _mean(-truth * ops.log(probabilities) - (1 - truth) * ops.log(1 - probabilities), counted)


def log_energy(sources, estimates, counted=None):
    """The error of each source in dB under its own energy, no better than -30 dB, mean over the sources.

    Soft parts count as much as loud ones. Source: Wisdom et al. 2021 (FUSS), equations 3 and 4.
    """
    return _mean(_decibels(_energy(sources - estimates) / _yardstick(sources)), counted)


def si_sdr(sources, estimates, counted=None):
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
    return _mean(_decibels((error + least) / target), counted)


def magnitudes(sources, estimates, counted=None):
    """The mean absolute error of the magnitudes of frames of 1024 samples, hops of 768.

    The L1 loss of Jansson et al. 2017 and Stoller et al. 2018, but for one step: there the magnitudes are compared as
    the masks leave them, here as the estimate has them once its frames have been overlapped and added.
    """
    wanted, estimated = (spectrogram.magnitudes(*_spectra(signals, 1024, 768)) for signals in (sources, estimates))
    return _mean(ops.abs(wanted - estimated), counted)


def multi_resolution_stft(sources, estimates, counted=None):
    """How far magnitudes are from the source's, in proportion and in logarithms, for frames of three lengths.

    Spectral convergence |S - E| / |S| (Frobenius norms over frames, bins and channels) plus the mean of |log S - log E|
    of magnitudes S and E, mean over resolutions and sources. Source: Yamamoto et al. 2020, equations 4 to 6, table 1.
    """
    distances = (_spectral_distance(sources, estimates, counted, *resolution) for resolution in RESOLUTIONS)
    return sum(distances) / len(RESOLUTIONS)


def _spectral_distance(sources, estimates, counted, fft_samples: int, frame_samples: int, hop_samples: int):
    mixture = ops.sum(sources, axis=2, keepdims=True)
    wanted, estimated, mixed = (
        spectrogram.magnitudes(*_spectra(signals, frame_samples, hop_samples, fft_samples))
        for signals in (sources, estimates, mixture)
    )
    norm = ops.where(_silent(sources), _norm(mixed), _norm(wanted)) + SILENT_ENERGY**0.5
    logarithms = ops.log(ops.maximum(wanted, SOFTEST)) - ops.log(ops.maximum(estimated, SOFTEST))
    return _mean(_norm(wanted - estimated) / norm + ops.mean(ops.abs(logarithms), axis=(1, 2, 4)), counted)


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


def _decibels(ratios):
    return 10 * ops.log10(ratios + FLOOR)


def _mean(errors, counted):
    """The mean of each example's errors (B, ..., S, C) or (B, S): over all, or over the sources that count."""
    axes = len(errors.shape)
    if counted is None:
        return ops.mean(errors, axis=tuple(range(1, axes)))
    of_sources = max(1, axes - 2)
    of_each = ops.mean(errors, axis=[axis for axis in range(1, axes) if axis != of_sources])
    return ops.sum(of_each * counted, axis=1) / ops.maximum(ops.sum(counted, axis=1), 1)


LOSSES = {name: globals()[name] for name in options.LOSSES}
"""The functions above by their names in a configuration."""


def playing(sources):
    """Which sources play in an excerpt: (B, T, S, C) -> (B, S), 1.0 where the root mean square is -60 dB or more."""
    mean_square = ops.mean(ops.square(ops.cast(sources, "float32")), axis=(1, 3))
    return ops.cast(mean_square >= 10 ** (AUDIBLE_DB / 10), "float32")


TRUTHS = {"playing": playing}
"""What is true of an output, computed from the sources, where the example does not hold it."""


def require_estimated(expression: str, example: Collection[str], outputs: Collection[str]) -> None:
    """Raises ValueError if a term is of an output that there is not, or whose truth the example does not hold."""
    there = sorted({*outputs} & {*example, *TRUTHS})
    for _, _, output in options.terms(expression):
        if output not in there:
            raise ValueError(
                f"training.loss={expression}: expected losses of what is estimated, {', '.join(there)}. "
                f"Received: {output}"
            )


def per_example(expression: str, example: Mapping[str, Any], outputs: Mapping[str, Any], counted=None):
    """The loss of each example, (B,), float32.

    Args:
        expression: as of `options.terms`.
        example: the truth by name, and whatever else it holds.
        outputs: what a network computed, by name.
        counted: which sources count (B, S); None for all.

    Raises:
        ValueError: as `require_estimated`.
    """
    require_estimated(expression, example, outputs)
    total = 0.0
    for weight, name, output in options.terms(expression):
        truth = example[output] if output in example else TRUTHS[output](example["sources"])
        truth, estimate = (ops.cast(each, "float32") for each in (truth, outputs[output]))
        total = total + weight * LOSSES[name](truth, estimate, counted)
    return total


class Objective(keras.layers.Layer):
    """An example and what a network computed of it, by name -> the loss of each example (B,), times its `weight`.

    Args:
        expression: as of `options.terms`.
        present_only: whether only the sources that are `present` in the example count: where the axis of sources is
            padded.
    """

    def __init__(self, expression: str, present_only: bool = False):
        super().__init__(dtype="float32", name="objective")
        self.expression, self.present_only = expression, present_only

    def call(self, example, outputs):
        counted = example["present"] if self.present_only else None
        return per_example(self.expression, example, outputs, counted) * example["weight"]
