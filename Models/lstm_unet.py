"""A U-Net on the waveform with recurrent layers at its bottleneck (after Défossez et al. 2019, Demucs)."""

from Options import checked

import keras

from .conditioning import Conditioner, Positions, Shapes
from .lengths import Padded
from .options import LstmUNet
from .outputs import completed, emitted_sources
from .recurrent import Recurrent


def lstm_unet(sources: int, channels: int = 1, shapes: Shapes | None = None, **options: object) -> keras.Model:
    """Strided convolutions lower the rate of features, LSTMs run along time, transposed ones raise it again.

    A block of the way down is a strided convolution and a gate (GLU) that mixes features; one of the way up adds its
    skip, and a gated and a transposed convolution follow. Filters reach over `size` strides. Unlike in the published
    network, blocks normalise their features at each moment (all but those at the waveform's own end), and widths grow
    by less than two: in minutes of training both help more than size.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        shapes: of each context that the network receives, by name: (D,), or (F, D) where it moves in time. Labels
            are (S,) if it is not said.
        options: keys of `options.LstmUNet`.

    Returns:
        A functional model {"mixture": (B, T, C), <context>: (B, D) or (B, F, D), ...} -> (B, T, S, C),
        float32. `lstm_unet_lengths` gives the T that fit.

    Raises:
        ValueError: one line about the first option that is wrong or contradicts another.

    Source: Défossez et al. 2019, arXiv 1911.13254, figure 2 and section 4.1.
    """
    o = checked(LstmUNet, options)
    mixture = keras.Input((None, channels), name="mixture")
    conditioner = Conditioner(o.contexts, {"labels": (sources,), **(shapes or {})})
    emitted = emitted_sources(o.output, sources)
    widths = [round(o.filters * o.growth**level) for level in range(o.levels)]

    features, skips = conditioner(mixture, "input", Positions(), "input"), []
    for level, width in enumerate(widths, 1):
        name, moments = f"down_{level}", _moments(o.stride**level)
        # a stride's samples side by side
        features = keras.layers.Reshape((-1, o.stride * features.shape[-1]))(features)
        features = keras.layers.Conv1D(width, o.size, padding="same", name=name)(features)
        features = keras.layers.RMSNormalization(name=f"{name}_norm")(features) if level > 1 else features
        features = conditioner(features, "encoder", moments, name)
        features = keras.layers.Activation("gelu", name=f"{name}_gelu")(features)
        features = _gated(keras.layers.Dense(2 * width, name=f"{name}_gate")(features))
        skips.append(features)
    for pair in range(1, o.depth + 1):
        features = features + Recurrent(o.units, name=f"lstm_{pair}")(features)
        features = conditioner(features, "bottleneck", moments, f"lstm_{pair}")
    for level in range(o.levels, 0, -1):
        name, moments = f"up_{level}", _moments(o.stride**level)
        features = features + skips[level - 1]
        features = keras.layers.Conv1D(2 * widths[level - 1], o.size, padding="same", name=f"{name}_gate")(features)
        features = keras.layers.RMSNormalization(name=f"{name}_norm")(features) if level > 1 else features
        features = _gated(conditioner(features, "decoder", moments, name))
        if level > 1:
            features = keras.layers.Conv1D(o.stride * widths[level - 2], o.size, padding="same", name=name)(features)
            features = keras.layers.Reshape((-1, widths[level - 2]))(features)
            features = keras.layers.Activation("gelu", name=f"{name}_gelu")(features)
    width = o.stride * emitted * channels
    flat = keras.layers.Conv1D(width, o.size, padding="same", dtype="float32", name="sources")(features)
    estimates = keras.layers.Reshape((-1, emitted, channels), dtype="float32")(flat)
    estimates = completed(
        estimates, mixture, o.output, conditioner, highpass_samples=o.highpass_samples, reach=o.stride**o.levels
    )
    return keras.Model({"mixture": mixture, **conditioner.inputs}, estimates, name="lstm_unet")


def lstm_unet_lengths(wanted_samples: int, **options: object) -> Padded:
    """The lengths of an `lstm_unet` for excerpts of at least `wanted_samples`: whole strides of the bottleneck."""
    o = checked(LstmUNet, options)
    slowest = o.stride**o.levels
    return Padded(-(-wanted_samples // slowest) * slowest, slowest)


def _moments(stride: int) -> Positions:
    """Where features of so many samples each stand: in the middle of them."""
    return Positions((stride - 1) / 2, stride, (stride - 1) / 2)


def _gated(features):
    """Half of the features times the sigmoid of the others: (B, T, 2 K) -> (B, T, K). Source: Dauphin et al. 2017."""
    kept, gate = keras.ops.split(features, 2, axis=-1)
    return kept * keras.ops.sigmoid(gate)
