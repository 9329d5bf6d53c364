"""The Wave-U-Net (Stoller, Ewert, Dixon 2018, arXiv 1806.03185, figure 1) in all its forms, with context."""

from dataclasses import dataclass
from functools import partial

from Options import checked

import keras

from .conditioning import Conditioner, Shapes
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
from .options import WaveUNet
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


def wave_unet(sources: int, channels: int = 1, shapes: Shapes | None = None, **options: object) -> keras.Model:
    """A Wave-U-Net: a ladder of blocks that lower the sample rate of features, and one that raises it again.

    Without padding it takes more mixture than it separates, and no source depends on how edges are padded.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        shapes: of each context that the network receives, by name: (D,), or (F, D) where it moves in time. Labels
            are (S,) if it is not said.
        options: keys of `options.WaveUNet`.

    Returns:
        A functional model {"mixture": (B, T_in, C), <context>: (B, D) or (B, F, D), ...} -> (B, T_out, S, C),
        float32. `wave_unet_lengths` gives the lengths that fit.

    Raises:
        ValueError: one line about the first option that is wrong or contradicts another.
    """
    o = checked(WaveUNet, options)
    mixture = keras.Input((None, channels), name="mixture")
    conditioner = Conditioner(o.contexts, {"labels": (sources,), **(shapes or {})})
    emitted = emitted_sources(o.output, sources)
    ladder = ladder_of(o)
    geometry = Geometry(ladder, o.padding)
    margins, widths = geometry.margins, [GROWTHS[o.growth](o.filters, level) for level in range(1, o.levels + 2)]
    slower, faster = (
        partial(change, stride=o.stride, padding=o.padding, size=o.resampling_size)
        for change in RESAMPLINGS[o.resampling]
    )
    middle = keras.layers.Cropping1D(margins[0], dtype="float32", name="heard")(mixture)

    def emitted_by_one(outputs: int, suffix: str = ""):
        """Mixture -> what one ladder emits (B, T_out, outputs)."""
        block = _Block(conditioner, o.padding, o.depth, o.residual, o.normalisation, o.slope, suffix)

        def down(features, level: int):
            """Features for the skip, and those of the level below."""
            name, width, margin = f"down_{level}", widths[level - 1], margins[level]
            block_of = partial(block, features, name, "encoder", width, o.down_size, geometry.down(level))
            if geometry.sparing:
                return SkipAndDecimate(margin)(block_of(partial(DownConv1D, margin=margin)))
            features = block_of()
            return keras.layers.Cropping1D(margin)(features), slower(features)

        features, skips = conditioner(mixture, "input", Positions(), f"input{suffix}"), []
        for level in range(1, o.levels + 1):
            skip, features = down(features, level)
            skips.append(skip)
        features = block(
            features, "bottleneck", "bottleneck", widths[o.levels], o.down_size, geometry.down(o.levels + 1)
        )
        for level in range(o.levels, 0, -1):
            features = keras.layers.Concatenate()([skips[level - 1], faster(features)])
            features = block(features, f"up_{level}", "decoder", widths[level - 1], o.up_size, geometry.up(level))
        features = keras.layers.Concatenate(dtype="float32")([middle, features])
        last = keras.layers.Conv1D(outputs, 1, activation=o.activation, dtype="float32", name=f"sources{suffix}")
        return last(features)

    if o.separate:
        each = [emitted_by_one(channels, f"_of_{n}") for n in range(1, emitted + 1)]
        flat = keras.layers.Concatenate(dtype="float32")(each) if emitted > 1 else each[0]
    else:
        flat = emitted_by_one(emitted * channels)
    if o.activation == "linear":
        flat = Clip(dtype="float32")(flat)
    estimates = keras.layers.Reshape((-1, emitted, channels), dtype="float32")(flat)
    reach, padded = ladder.skip_margins()[0], o.padding == "same"
    estimates = completed(
        estimates, mixture, o.output, conditioner, highpass_samples=o.highpass_samples, reach=reach, padded=padded
    )
    if (o.activation, o.output) == ("linear", "difference"):  # the last source has not been clipped yet
        estimates = Clip(dtype="float32")(estimates)
    return keras.Model({"mixture": mixture, **conditioner.inputs}, estimates, name="wave_unet")


def wave_unet_lengths(wanted_samples: int, **options: object) -> Lengths:
    """The lengths of a `wave_unet`; with `same` padding, those of one for excerpts of at least `wanted_samples`."""
    o = checked(WaveUNet, options)
    ladder = ladder_of(o)
    if o.padding == "valid":
        return ladder
    return Padded(-(-wanted_samples // ladder.stride_samples) * ladder.stride_samples, ladder.stride_samples)


def ladder_of(o: WaveUNet) -> Ladder:
    """The lengths of the valid filters that these options make."""
    resampling_size = o.resampling_size if o.resampling in ("lowpass", "strided") else 1
    edge = max(0, o.highpass_samples - 1)
    return Ladder(o.levels, o.down_size, o.up_size, o.stride, o.depth, resampling_size, edge)


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
