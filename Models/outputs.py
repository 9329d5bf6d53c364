"""What a network emits -> sources: the last stage of every separator."""

from collections.abc import Iterator

import keras
from keras import ops

from .conditioning import Conditioner, Positions, at_moments


def emitted_sources(output: str, sources: int) -> int:
    """How many sources a network emits itself.

    Raises:
        ValueError: if `difference` is asked of a single source.
    """
    if output == "difference" and sources < 2:
        raise ValueError("output 'difference' needs at least two sources. Received: sources=1")
    return sources - 1 if output == "difference" else sources


def completed(
    estimates,
    mixture,
    output: str,
    conditioner: Conditioner,
    *,
    highpass_samples: int = 0,
    reach: int | None = None,
    padded: bool = True,
):
    """What a network emits (B, T, E, C) of a mixture (B, T_in, C) -> sources (B, T_out, S, C), float32.

    Args:
        estimates: what it emits.
        mixture: what it was given.
        output: one of `options.OUTPUTS`.
        conditioner: whose labels gate, if they do.
        highpass_samples: of `Highpass`; 0 for none.
        reach: samples of mixture on each side of an estimate on which it may depend, for `Muted`; None for masks, which
            keep silence by themselves.
        padded: whether T_in is T and T_out. Else T_in is T + 2 reach, and `Highpass` takes highpass_samples - 1
            estimates on each side.
    """
    if highpass_samples:
        estimates = Highpass(highpass_samples, padded, dtype="float32", name="highpass")(estimates)
        reach = None if reach is None else reach + highpass_samples - 1
    if reach is not None:
        estimates = Muted(reach, padded, dtype="float32", name="muted")(estimates, mixture)
    margin = 0 if padded or reach is None else reach
    middle = keras.layers.Cropping1D(margin, dtype="float32")(mixture) if margin else mixture
    stage = Completion(output, Positions(margin, 1, margin), dtype="float32", name="completion")
    return stage(estimates, middle, *(conditioner.inputs[name] for name in conditioner.at("output")))


class _Local(keras.layers.Layer):
    """A layer that uses a few samples on each side of each: beyond the edges of what it is given, or within them."""

    def __init__(self, samples: int, padded: bool, **kwargs):
        super().__init__(**kwargs)
        self.samples, self.padded = samples, padded

    def get_config(self):
        return {**super().get_config(), "samples": self.samples, "padded": self.padded}


@keras.saving.register_keras_serializable("vimss")
class Highpass(_Local):
    """Takes off the mean of the neighbourhood: (B, T, E, C) -> the same, or 2 (samples - 1) fewer without padding.

    So that sources have no offset of their own: a constant gives zeros exactly, and what is emitted in a while sums to
    nothing. The mean is that of two means of `samples` (a triangle): half of a tone of 0.44 * rate / samples Hz goes,
    and nothing of one above rate / samples. Padded, what is beyond the edges mirrors what is within.

    Args:
        samples: a power of 2, above 1; at most T where padded.
        padded: whether as many samples come out.
    """

    def call(self, estimates):
        reach = self.samples - 1
        if self.padded:
            estimates = ops.pad(estimates, [(0, 0), (reach, reach), (0, 0), (0, 0)], "symmetric")
        mean = estimates
        for _ in range(2):
            for span in _doubling(self.samples):  # halves of equal numbers are exact, so that a constant leaves nothing
                mean = (mean[:, :-span] + mean[:, span:]) / 2
        return estimates[:, reach:-reach] - mean

    def compute_output_shape(self, shape):
        batch, samples, *others = shape
        lost = 0 if self.padded else 2 * (self.samples - 1)
        return batch, None if samples is None else samples - lost, *others


@keras.saving.register_keras_serializable("vimss")
class Muted(_Local):
    """Estimates (B, T, E, C), and zeros where the mixture is silent all around.

    Biases and labels let a network emit something there; elsewhere its estimates are left as they are.

    Args:
        samples: how many before and after must be zero, in all channels.
        padded: whether the mixture (B, T, C) is as long as the estimates, with silence beyond; else it is that much
            longer on each side.
    """

    def call(self, estimates, mixture):
        sounding = ops.any(ops.not_equal(mixture, 0), axis=-1)
        if self.padded:
            sounding = ops.pad(sounding, [(0, 0), (self.samples, self.samples)], constant_values=False)
        for span in _doubling(2 * self.samples + 1):
            sounding = ops.logical_or(sounding[:, :-span], sounding[:, span:])
        return ops.where(sounding[:, :, None, None], estimates, 0)

    def compute_output_shape(self, estimates_shape, mixture_shape):
        return estimates_shape


def _doubling(samples: int) -> Iterator[int]:
    """Shifts by which, one after the other, a window of one sample grows to so many."""
    window = 1
    while window < samples:
        yield (span := min(window, samples - window))
        window += span


@keras.saving.register_keras_serializable("vimss")
class Completion(keras.layers.Layer):
    """What a network emits (B, T, E, C), the mixture there (B, T, C) and labels that gate -> sources (B, T, S, C).

    - `direct`: as they are.
    - `difference`: the last source is the mixture minus the sum of the others.
    - `consistent`: what the sources leave of the mixture goes in equal shares to all of them (mixture consistency;
      Wisdom et al. 2019, section 3.2).

    Where labels gate, each source is multiplied by its own, so that an absent one is silent exactly, and the mixture's
    rest goes to those that they name.

    Args:
        output: one of `options.OUTPUTS`.
        positions: where the sources stand in the mixture.
    """

    def __init__(self, output: str, positions: Positions, **kwargs):
        super().__init__(**kwargs)
        self.output_kind, self.positions = output, Positions(*positions)

    def call(self, estimates, mixture, labels=None):
        if self.output_kind == "difference":
            estimates = ops.concatenate([estimates, _rest(mixture, estimates)], axis=2)
        present = ops.ones((1, 1, ops.shape(estimates)[2]))
        if labels is not None:
            present = at_moments(labels, ops.shape(estimates)[1], self.positions)
            estimates = estimates * present[..., None]
        if self.output_kind == "consistent":
            shares = present / ops.maximum(ops.sum(present, axis=-1, keepdims=True), 1)
            estimates = estimates + _rest(mixture, estimates) * shares[..., None]
        return estimates

    def compute_output_shape(self, estimates_shape, mixture_shape, labels_shape=None):
        batch, samples, emitted, channels = estimates_shape
        return batch, samples, emitted + 1 if self.output_kind == "difference" else emitted, channels

    def get_config(self):
        return {**super().get_config(), "output": self.output_kind, "positions": list(self.positions)}


def _rest(mixture, estimates):
    """What the estimates leave of the mixture: (B, T, 1, C)."""
    return mixture[:, :, None] - ops.sum(estimates, axis=2, keepdims=True)
