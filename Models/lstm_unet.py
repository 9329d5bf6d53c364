"""A U-Net on the waveform with recurrent layers at its bottleneck (after Défossez et al. 2019, Demucs)."""

from collections.abc import Collection

import keras

from .conditioning import Conditioner, Positions
from .lengths import Padded
from .outputs import completed, emitted_sources
from .recurrent import Recurrent


def lstm_unet(
    sources: int,
    channels: int = 1,
    *,
    levels: int = 5,
    filters: int = 24,
    growth: float = 1.6,
    stride: int = 4,
    size: int = 3,
    depth: int = 1,
    units: int = 64,
    output: str = "consistent",
    highpass_samples: int = 0,
    conditioning: str = "none",
    places: Collection[str] = ("bottleneck",),
    frames: int | None = None,
) -> keras.Model:
    """Strided convolutions lower the rate of features, LSTMs run along time, transposed ones raise it again.

    A block of the way down is a strided convolution and a gate (GLU) that mixes features; one of the way up adds its
    skip, and a gated and a transposed convolution follow. Filters reach over `size` strides. Unlike in the published
    network, blocks normalise their features at each moment (all but those at the waveform's own end), and widths grow
    by less than two: in minutes of training both help more than size.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        levels: blocks of the way down, and as many of the way up.
        filters: features of the first level.
        growth: how many times more features the next level has.
        stride: how many times slower the next level is.
        size: reach of the resampling filters, in strides; odd.
        depth: pairs of LSTMs at the bottleneck.
        units: of each LSTM.
        output: `direct`, `difference` or `consistent` (`outputs.completed`).
        highpass_samples: over which a running mean is taken off (`outputs.Highpass`), a power of 2; 0 as published.
        conditioning: `none` or a method of `conditioning.METHODS` by which labels modulate features.
        places: where: some of `conditioning.PLACES`.
        frames: F of labels that move in time; None for labels that hold for the whole excerpt.

    Returns:
        A functional model {"mixture": (B, T, C), "labels": (B, S) or (B, F, S) if conditioned} -> (B, T, S, C),
        float32. `lstm_unet_lengths` gives the T that fit.

    Raises:
        ValueError: if a choice is unknown or two contradict each other.

    Source: Défossez et al. 2019, arXiv 1911.13254, figure 2 and section 4.1.
    """
    mixture, labels = keras.Input((None, channels), name="mixture"), None
    if conditioning != "none":
        labels = keras.Input((sources,) if frames is None else (frames, sources), name="labels")
    conditioner, emitted = Conditioner(labels, conditioning, places), emitted_sources(output, sources)
    widths = [round(filters * growth**level) for level in range(levels)]

    features, skips = conditioner(mixture, "input", Positions(), "input"), []
    for level, width in enumerate(widths, 1):
        name, moments = f"down_{level}", _moments(stride**level)
        features = keras.layers.Reshape((-1, stride * features.shape[-1]))(features)  # a stride's samples side by side
        features = keras.layers.Conv1D(width, size, padding="same", name=name)(features)
        features = keras.layers.RMSNormalization(name=f"{name}_norm")(features) if level > 1 else features
        features = conditioner(features, "encoder", moments, name)
        features = keras.layers.Activation("gelu", name=f"{name}_gelu")(features)
        features = _gated(keras.layers.Dense(2 * width, name=f"{name}_gate")(features))
        skips.append(features)
    for pair in range(1, depth + 1):
        features = features + Recurrent(units, name=f"lstm_{pair}")(features)
        features = conditioner(features, "bottleneck", moments, f"lstm_{pair}")
    for level in range(levels, 0, -1):
        name, moments = f"up_{level}", _moments(stride**level)
        features = features + skips[level - 1]
        features = keras.layers.Conv1D(2 * widths[level - 1], size, padding="same", name=f"{name}_gate")(features)
        features = keras.layers.RMSNormalization(name=f"{name}_norm")(features) if level > 1 else features
        features = _gated(conditioner(features, "decoder", moments, name))
        if level > 1:
            features = keras.layers.Conv1D(stride * widths[level - 2], size, padding="same", name=name)(features)
            features = keras.layers.Reshape((-1, widths[level - 2]))(features)
            features = keras.layers.Activation("gelu", name=f"{name}_gelu")(features)
    width = stride * emitted * channels
    flat = keras.layers.Conv1D(width, size, padding="same", dtype="float32", name="sources")(features)
    estimates = keras.layers.Reshape((-1, emitted, channels), dtype="float32")(flat)
    estimates = completed(
        estimates, mixture, output, conditioner, highpass_samples=highpass_samples, reach=stride**levels
    )
    inputs = {"mixture": mixture} if labels is None else {"mixture": mixture, "labels": labels}
    return keras.Model(inputs, estimates, name="lstm_unet")


def lstm_unet_lengths(wanted_samples: int, *, levels: int = 5, stride: int = 4, **others: object) -> Padded:
    """The lengths of an `lstm_unet` for excerpts of at least `wanted_samples`: whole strides of the bottleneck."""
    slowest = stride**levels
    return Padded(-(-wanted_samples // slowest) * slowest, slowest)


def _moments(stride: int) -> Positions:
    """Where features of so many samples each stand: in the middle of them."""
    return Positions((stride - 1) / 2, stride, (stride - 1) / 2)


def _gated(features):
    """Half of the features times the sigmoid of the others: (B, T, 2 K) -> (B, T, K). Source: Dauphin et al. 2017."""
    kept, gate = keras.ops.split(features, 2, axis=-1)
    return kept * keras.ops.sigmoid(gate)
