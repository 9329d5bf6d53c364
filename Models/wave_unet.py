"""The Wave-U-Net (Stoller, Ewert, Dixon 2018, arXiv 1806.03185, figure 1) in all its forms, with context."""

from Options import checked

import keras

from .conditioning import Conditioner, Positions
from .layers import (
    Centre,
    Clip,
    Decimate,
    EverySecond,
    GroupNorm,
    HeardConv1D,
    Interpolate,
    LowpassDecimate,
    LowpassInterpolate,
)
from .lengths import Ladder, Lengths, Padded
from .options import WaveUNet
from .outputs import completed, emitted_sources

GROWTHS = {"add": lambda filters, level: filters * level, "double": lambda filters, level: filters * 2 ** (level - 1)}


def wave_unet(sources: int, channels: int = 1, frames: int | None = None, **options: object) -> keras.Model:
    """A Wave-U-Net: a ladder of blocks that lower the sample rate of features, and one that raises it again.

    Without padding it hears more mixture than it separates, and every output has full context.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        frames: F of labels that move in time; None for labels that hold for the whole excerpt.
        options: keys of `options.WaveUNet`.

    Returns:
        A functional model {"mixture": (B, T_in, C), "labels": (B, S) or (B, F, S) if conditioned} -> (B, T_out, S, C),
        float32. `wave_unet_lengths` tells which lengths fit.

    Raises:
        ValueError: one line about the first option that is wrong or contradicts another.
    """
    o = checked(WaveUNet, options)
    levels, filters, stride, depth, down_size, up_size = o.levels, o.filters, o.stride, o.depth, o.down_size, o.up_size
    resampling, resampling_size, highpass_samples = o.resampling, o.resampling_size, o.highpass_samples
    padding, activation, output, conditioning = o.padding, o.activation, o.output, o.conditioning
    mixture = keras.Input((None, channels), name="mixture")
    labels = None
    if conditioning != "none":
        labels = keras.Input((sources,) if frames is None else (frames, sources), name="labels")
    conditioner, widths = Conditioner(labels, conditioning, o.places), GROWTHS[o.growth]
    emitted = emitted_sources(output, sources)
    ladder = ladder_of(levels, down_size, up_size, stride, depth, resampling, resampling_size, highpass_samples)
    margins = ladder.skip_margins() if padding == "valid" else [0] * (levels + 1)
    # Down blocks compute only what is heard, where skips reach two samples or more; moving context wants all, in order.
    sparing = (padding, stride, frames) == ("valid", 2, None) and resampling in ("linear", "learned") and up_size > 1
    heard = keras.layers.Cropping1D(margins[0], dtype="float32", name="heard")(mixture)

    def emitted_by_one(outputs: int, suffix: str = ""):
        """Mixture -> what one ladder emits (B, T_out, outputs)."""
        rates = _Rates(resampling, stride, resampling_size, padding, sparing)
        block = _Blocks(conditioner, rates, depth, o.residual, o.normalisation, o.slope, suffix)
        skips, features = [], conditioner(mixture, "input", rates.positions, f"input{suffix}")
        for level in range(1, levels + 1):
            features = block(features, widths(filters, level), down_size, "encoder", f"down_{level}", margins[level])
            skips.append(rates.skip(features, margins[level]))
            features = rates.slower(features, margins[level])
        features = block(features, widths(filters, levels + 1), down_size, "bottleneck", "bottleneck")
        for level in range(levels, 0, -1):
            features = keras.layers.Concatenate()([skips[level - 1], rates.faster(features)])
            features = block(features, widths(filters, level), up_size, "decoder", f"up_{level}")
        features = keras.layers.Concatenate(dtype="float32")([heard, features])
        last = keras.layers.Conv1D(outputs, 1, activation=activation, dtype="float32", name=f"sources{suffix}")
        return last(features)

    if o.separate:
        each = [emitted_by_one(channels, f"_of_{n}") for n in range(1, emitted + 1)]
        flat = keras.layers.Concatenate(dtype="float32")(each) if emitted > 1 else each[0]
    else:
        flat = emitted_by_one(emitted * channels)
    if activation == "linear":
        flat = Clip(dtype="float32")(flat)
    estimates = keras.layers.Reshape((-1, emitted, channels), dtype="float32")(flat)
    reach, padded = ladder.skip_margins()[0], padding == "same"
    estimates = completed(
        estimates, mixture, output, conditioner, highpass_samples=highpass_samples, reach=reach, padded=padded
    )
    if (activation, output) == ("linear", "difference"):  # the last source has not been clipped yet
        estimates = Clip(dtype="float32")(estimates)
    inputs = {"mixture": mixture} if labels is None else {"mixture": mixture, "labels": labels}
    return keras.Model(inputs, estimates, name="wave_unet")


def wave_unet_lengths(wanted_samples: int, **options: object) -> Lengths:
    """The lengths of a `wave_unet`; with `same` padding, those of one for excerpts of at least `wanted_samples`."""
    o = checked(WaveUNet, options)
    ladder = ladder_of(
        o.levels, o.down_size, o.up_size, o.stride, o.depth, o.resampling, o.resampling_size, o.highpass_samples
    )
    if o.padding == "valid":
        return ladder
    return Padded(-(-wanted_samples // ladder.stride_samples) * ladder.stride_samples, ladder.stride_samples)


def ladder_of(
    levels: int,
    down_size: int,
    up_size: int,
    stride: int,
    depth: int,
    resampling: str,
    resampling_size: int,
    highpass_samples: int = 0,
) -> Ladder:
    """The lengths of the valid filters that these choices make."""
    filtered = resampling in ("lowpass", "strided")
    edge = max(0, highpass_samples - 1)
    return Ladder(levels, down_size, up_size, stride, depth, resampling_size if filtered else 1, edge)


class _Rates:
    """Changes the sample rate of features, and knows where in the mixture they stand."""

    def __init__(self, resampling: str, stride: int, size: int, padding: str, sparing: bool):
        self.resampling, self.stride, self.size, self.padding = resampling, stride, size, padding
        self.sparing = sparing
        self.start, self.step = 0.0, 1

    @property
    def positions(self) -> Positions:
        return Positions(self.start, self.step, self.start if self.padding == "valid" else self.step - 1)

    def lost(self, taps: int) -> None:
        """Takes note of a filter at the present rate: a valid one ends half its length away from the edges."""
        if self.padding == "valid":
            self.start += self.step * (taps - 1) / 2

    def skip(self, features, margin: int):
        """Features of a down block without so many samples on each side."""
        return Centre(margin)(features) if self.sparing else keras.layers.Cropping1D(margin)(features)

    def slower(self, features, margin: int):
        """Features of a down block at the next level's rate."""
        if self.sparing:
            features = EverySecond(margin)(features)
        elif self.resampling in ("linear", "learned"):
            features = Decimate(self.stride, self.padding)(features)
        else:
            self.lost(self.size)
            features = self._filtered_down(features)
        self.step *= self.stride
        return features

    def faster(self, features):
        """The rate of the level above."""
        self.step //= self.stride
        if self.resampling in ("linear", "learned"):
            return Interpolate(self.stride, self.padding, learned=self.resampling == "learned")(features)
        self.lost(self.size)
        return self._filtered_up(features)

    def _filtered_down(self, features):
        if self.resampling == "lowpass":
            return LowpassDecimate(self.stride, self.padding, self.size)(features)
        if self.padding == "same":  # Keras pads a strided convolution so that its samples stand between those before
            features = keras.layers.ZeroPadding1D((self.size - 1) // 2)(features)
        return keras.layers.Conv1D(features.shape[-1], self.size, self.stride)(features)

    def _filtered_up(self, features):
        if self.resampling == "lowpass":
            return LowpassInterpolate(self.stride, self.padding, self.size)(features)
        features = keras.layers.Conv1DTranspose(features.shape[-1], self.size, self.stride)(features)
        if self.padding == "valid":  # keep what every tap has heard
            return keras.layers.Cropping1D(self.size - 1)(features)
        before = (self.size - 1) // 2
        return keras.layers.Cropping1D((before, self.size - self.stride - before))(features)


class _Blocks:
    """A block: convolutions, what came in beside them, modulation by context, LeakyReLU."""

    def __init__(
        self, conditioner, rates: _Rates, depth: int, residual: bool, normalisation: str, slope: float, suffix
    ):
        self.conditioner, self.rates, self.suffix = conditioner, rates, suffix
        self.depth, self.residual, self.normalisation, self.slope = depth, residual, normalisation, slope

    def __call__(self, features, width: int, size: int, place: str, name: str, margin: int | None = None):
        """Features after the block; `margin` tells a down block what its skip does without."""
        padding, name = self.rates.padding, f"{name}{self.suffix}"
        shortcut = features
        for n in range(self.depth):
            if n:
                features = keras.layers.LeakyReLU(self.slope)(features)
            layer = name if self.depth == 1 else f"{name}_{n + 1}"
            last = n == self.depth - 1
            features = self._convolution(width, size, margin if last else None, name=layer)(features)
            self.rates.lost(size)
            if self.normalisation == "group":
                features = GroupNorm(name=f"{layer}_norm")(features)
        if self.residual:
            lost = self.depth * (size - 1) // 2 if padding == "valid" else 0
            shortcut = keras.layers.Cropping1D(lost)(shortcut)
            features = features + self._convolution(width, 1, margin, name=f"{name}_shortcut")(shortcut)
        features = self.conditioner(features, place, self.rates.positions, name)
        return keras.layers.LeakyReLU(self.slope, name=f"{name}_relu")(features)

    def _convolution(self, width: int, size: int, margin: int | None, name: str):
        if margin is not None and self.rates.sparing:
            return HeardConv1D(width, size, margin, name=name)
        return keras.layers.Conv1D(width, size, padding=self.rates.padding, name=name)
