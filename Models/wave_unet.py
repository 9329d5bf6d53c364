"""The Wave-U-Net (Stoller, Ewert, Dixon 2018, arXiv 1806.03185, figure 1) in all its forms, with context."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import keras

from .conditioning import Conditioner, require
from .layers import (
    Clip,
    Decimate,
    DownConv1D,
    GroupNorm,
    Interpolate,
    LowpassDecimate,
    LowpassInterpolate,
    SkipAndDecimate,
)
from .lengths import Geometry, Ladder, Lengths, Padded, Positions
from .outputs import completed, emitted_sources


def _strided_down(features, stride: int, padding: str, size: int):
    if padding == "same":  # Keras pads a strided convolution so that its samples stand between those before
        features = keras.layers.ZeroPadding1D((size - 1) // 2)(features)
    return keras.layers.Conv1D(features.shape[-1], size, stride)(features)


def _strided_up(features, stride: int, padding: str, size: int):
    features = keras.layers.Conv1DTranspose(features.shape[-1], size, stride)(features)
    before = (size - 1) // 2
    crop = size - 1 if padding == "valid" else (before, size - stride - before)  # valid: what all taps contribute to
    return keras.layers.Cropping1D(crop)(features)


RESAMPLINGS = {
    "linear": (
        lambda features, stride, padding, size: Decimate(stride, padding)(features),
        lambda features, stride, padding, size: Interpolate(stride, padding)(features),
    ),
    "learned": (
        lambda features, stride, padding, size: Decimate(stride, padding)(features),
        lambda features, stride, padding, size: Interpolate(stride, padding, learned=True)(features),
    ),
    "lowpass": (
        lambda features, stride, padding, size: LowpassDecimate(stride, padding, size)(features),
        lambda features, stride, padding, size: LowpassInterpolate(stride, padding, size)(features),
    ),
    "strided": (_strided_down, _strided_up),
}
"""How features get to the rate of the level below, and back to that of the level above."""

GROWTHS = {"add": lambda filters, level: filters * level, "double": lambda filters, level: filters * 2 ** (level - 1)}


def wave_unet(
    sources: int,
    channels: int = 1,
    *,
    levels: int = 12,
    filters: int = 24,
    growth: str = "add",
    down_size: int = 15,
    up_size: int = 5,
    stride: int = 2,
    resampling: str = "linear",
    resampling_size: int = 15,
    depth: int = 1,
    residual: bool = False,
    normalisation: str = "none",
    slope: float = 0.2,
    padding: str = "valid",
    activation: str = "tanh",
    output: str = "difference",
    highpass_samples: int = 0,
    separate: bool = False,
    conditioning: str = "none",
    places: Collection[str] = ("bottleneck",),
    frames: int | None = None,
) -> keras.Model:
    """A Wave-U-Net: a ladder of blocks that lower the sample rate of features, and one that raises it again.

    Without padding it takes more mixture than it separates, and no source depends on how edges are padded.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        levels: down-sampling blocks, and as many up-sampling blocks.
        filters: features of the first level.
        growth: features of the n-th level: `add`: n * filters. `double`: 2^(n - 1) * filters.
        down_size: taps of the filters on the way down and in the bottleneck; odd.
        up_size: taps of the filters on the way up; odd.
        stride: how many times slower the next level is.
        resampling: how features change their rate. `linear`: every stride-th is kept; straight lines go up. `learned`:
            the same, with a learned weight between neighbours (section 3.2.3). `lowpass`: both ways through a fixed
            sinc. `strided`: both ways through learned filters. The last two are Wave-U-Net-Pytorch's (Stoller 2019).
        resampling_size: taps of the filters of `lowpass` and `strided`; odd, at least 2 * stride - 1.
        depth: convolutions in a block.
        residual: each block adds what came in, through a convolution of one tap, to what it computed.
        normalisation: `none`, or `group` (`layers.GroupNorm`) after each convolution.
        slope: of LeakyReLU below zero; the published code's, the paper does not say.
        padding: `valid`, or `same`: sources as long as the mixture, edges seen as silence (the paper's M1 and M2).
        activation: of what is emitted: `tanh`, or `linear`, clipped to [-1, 1] outside training.
        output: `direct`, `difference` or `consistent` (`outputs.completed`).
        highpass_samples: over which a running mean is taken off (`outputs.Highpass`), a power of 2; 0 as published.
        separate: a ladder of its own for each emitted source instead of one for all.
        conditioning: `none` or a method of `conditioning.METHODS` by which labels modulate features.
        places: where: some of `conditioning.PLACES`.
        frames: F of labels that move in time; None for labels that hold for the whole excerpt.

    Returns:
        A functional model {"mixture": (B, T_in, C), "labels": (B, S) or (B, F, S) if conditioned} -> (B, T_out, S, C),
        float32. `wave_unet_lengths` gives the lengths that fit.

    Raises:
        ValueError: if a choice is unknown or two contradict each other.
    """
    require("growth", [growth], GROWTHS)
    require("resampling", [resampling], RESAMPLINGS)
    require("normalisation", [normalisation], ("none", "group"))
    require("padding", [padding], ("valid", "same"))
    require("activation", [activation], ("tanh", "linear"))
    if resampling in ("lowpass", "strided") and resampling_size < 2 * stride - 1:
        raise ValueError(f"expected resampling_size >= {2 * stride - 1}. Received: {resampling_size}")
    mixture, labels = keras.Input((None, channels), name="mixture"), None
    if conditioning != "none":
        labels = keras.Input((sources,) if frames is None else (frames, sources), name="labels")
    conditioner, emitted = Conditioner(labels, conditioning, places), emitted_sources(output, sources)
    ladder = ladder_of(levels, down_size, up_size, stride, depth, resampling, resampling_size, highpass_samples)
    geometry = Geometry(ladder, padding)
    margins, widths = geometry.margins, [GROWTHS[growth](filters, level) for level in range(1, levels + 2)]
    slower, faster = (
        partial(change, stride=stride, padding=padding, size=resampling_size) for change in RESAMPLINGS[resampling]
    )
    middle = keras.layers.Cropping1D(margins[0], dtype="float32", name="heard")(mixture)

    def emitted_by_one(outputs: int, suffix: str = ""):
        """Mixture -> what one ladder emits (B, T_out, outputs)."""
        block = _Block(conditioner, padding, depth, residual, normalisation, slope, suffix)

        def down(features, level: int):
            """Features for the skip, and those of the level below."""
            name, width, margin = f"down_{level}", widths[level - 1], margins[level]
            block_of = partial(block, features, name, "encoder", width, down_size, geometry.down(level))
            if geometry.sparing:
                return SkipAndDecimate(margin)(block_of(partial(DownConv1D, margin=margin)))
            features = block_of()
            return keras.layers.Cropping1D(margin)(features), slower(features)

        features, skips = conditioner(mixture, "input", Positions(), f"input{suffix}"), []
        for level in range(1, levels + 1):
            skip, features = down(features, level)
            skips.append(skip)
        features = block(features, "bottleneck", "bottleneck", widths[levels], down_size, geometry.down(levels + 1))
        for level in range(levels, 0, -1):
            features = keras.layers.Concatenate()([skips[level - 1], faster(features)])
            features = block(features, f"up_{level}", "decoder", widths[level - 1], up_size, geometry.up(level))
        features = keras.layers.Concatenate(dtype="float32")([middle, features])
        last = keras.layers.Conv1D(outputs, 1, activation=activation, dtype="float32", name=f"sources{suffix}")
        return last(features)

    if separate:
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


def wave_unet_lengths(
    wanted_samples: int,
    *,
    levels: int = 12,
    down_size: int = 15,
    up_size: int = 5,
    stride: int = 2,
    depth: int = 1,
    resampling: str = "linear",
    resampling_size: int = 15,
    padding: str = "valid",
    highpass_samples: int = 0,
    **others: object,
) -> Lengths:
    """The lengths of a `wave_unet`; with `same` padding, those of one for excerpts of at least `wanted_samples`."""
    ladder = ladder_of(levels, down_size, up_size, stride, depth, resampling, resampling_size, highpass_samples)
    if padding == "valid":
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


@dataclass(frozen=True)
class _Block:
    """Convolutions, what came in beside them, modulation by context, LeakyReLU."""

    conditioner: Conditioner
    padding: str
    depth: int
    residual: bool
    normalisation: str
    slope: float
    suffix: str

    def __call__(self, features, name: str, place: str, width: int, size: int, positions: Positions, last=None):
        """Features after the block; `last` makes its last convolution, where that is not as the others."""
        name, shortcut = f"{name}{self.suffix}", features
        plain = partial(keras.layers.Conv1D, padding=self.padding)
        for n in range(1, self.depth + 1):
            if n > 1:
                features = keras.layers.LeakyReLU(self.slope)(features)
            layer = name if self.depth == 1 else f"{name}_{n}"
            convolution = last if last and n == self.depth else plain
            features = convolution(width, size, name=layer)(features)
            if self.normalisation == "group":
                features = GroupNorm(name=f"{layer}_norm")(features)
        if self.residual:
            lost = self.depth * (size - 1) // 2 if self.padding == "valid" else 0
            shortcut = keras.layers.Cropping1D(lost)(shortcut)
            features = features + (last or plain)(width, 1, name=f"{name}_shortcut")(shortcut)
        features = self.conditioner(features, place, positions, name)
        return keras.layers.LeakyReLU(self.slope, name=f"{name}_relu")(features)
