"""The Wave-U-Net (Stoller, Ewert, Dixon 2018, arXiv 1806.03185, figure 1), conditioned by context where wanted."""

from collections.abc import Collection

import keras
from keras import ops

from .conditioning import FiLM
from .layers import Decimate, Interpolate
from .lengths import Ladder

SLOPE = 0.2  # of LeakyReLU below zero; the published code's, the paper does not say


def wave_unet(
    sources: int,
    channels: int = 1,
    *,
    levels: int = 12,
    filters: int = 24,
    down_size: int = 15,
    up_size: int = 5,
    output: str = "difference",
    conditioning: str = "none",
    places: Collection[str] = ("bottleneck",),
) -> keras.Model:
    """A Wave-U-Net without padding: it hears more mixture than it separates, and every output has full context.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        levels: down-sampling blocks, and as many up-sampling blocks.
        filters: features that each level adds: the n-th has n * filters.
        down_size: taps of the filters on the way down and in the bottleneck; odd.
        up_size: taps of the filters on the way up; odd.
        output: `direct`: S outputs, each in (-1, 1). `difference`: S - 1 outputs; the last source is the mixture minus
            their sum. `consistent`: S outputs, and what they leave of the mixture goes in equal shares to all sources,
            or to those that the labels name (mixture consistency; Wisdom et al. 2019, section 3.2).
        conditioning: `none`, or `film`: labels modulate features (`conditioning.FiLM`).
        places: where: `bottleneck`; `every` convolution, the bottleneck's too; `output`: each source is multiplied by
            its label, so that an absent one is silent exactly.

    Returns:
        A functional model {"mixture": (B, T_in, C), "labels": (B, S) if conditioned} -> (B, T_out, S, C), float32.
        `Ladder(levels, down_size, up_size)` tells which lengths fit.

    Raises:
        ValueError: if a choice is unknown, or `difference` is asked of a single source.
    """
    _require("output", [output], ("direct", "difference", "consistent"))
    _require("conditioning", [conditioning], ("none", "film"))
    _require("places", places, ("bottleneck", "every", "output"))
    margins = Ladder(levels, down_size, up_size).skip_margins()
    mixture = keras.Input((None, channels), name="mixture")
    labels = None if conditioning == "none" else keras.Input((sources,), name="labels")
    block = _Blocks(labels, places)

    skips, features = [], mixture
    for level in range(1, levels + 1):
        skips.append(block(features, level * filters, down_size, f"down_{level}"))
        features = block.decimated(skips[-1])
    features = block(features, (levels + 1) * filters, down_size, "bottleneck")
    for level in range(levels, 0, -1):
        features = _beside(skips[level - 1], block.interpolated(features), margins[level])
        features = block(features, level * filters, up_size, f"up_{level}")
    heard = keras.layers.Cropping1D(margins[0], dtype="float32", name="heard")(mixture)
    features = keras.layers.Concatenate(dtype="float32")([heard, features])

    estimates = _sources(features, heard, sources, output, labels, gated="output" in places)
    inputs = {"mixture": mixture} if labels is None else {"mixture": mixture, "labels": labels}
    return keras.Model(inputs, estimates, name="wave_unet")


class _Blocks:
    """Convolution, modulation, LeakyReLU, one after the other; knows where in the mixture its features stand."""

    def __init__(self, labels, places: Collection[str]):
        self.labels, self.places = labels, places
        self.start_samples, self.step_samples = 0.0, 1

    def __call__(self, features, width: int, size: int, name: str):
        self.start_samples += self.step_samples * (size - 1) / 2
        features = keras.layers.Conv1D(width, size, name=name)(features)
        if self.labels is not None and ("every" in self.places or name in self.places):
            film = FiLM(self.start_samples, self.step_samples, name=f"{name}_film")
            features = film(features, self.labels)
        return keras.layers.LeakyReLU(SLOPE, name=f"{name}_relu")(features)

    def decimated(self, features):
        self.step_samples *= 2
        return Decimate()(features)

    def interpolated(self, features):
        self.step_samples //= 2
        return Interpolate()(features)


def _beside(skip, features, margin: int):
    """Features of the way down, cropped by a margin, beside those of the way up."""
    return keras.layers.Concatenate()([keras.layers.Cropping1D(margin)(skip), features])


def _sources(features, heard, sources: int, output: str, labels, gated: bool):
    """Features -> sources (B, T, S, C), in float32 whatever the rest computes in."""
    if output == "difference" and sources < 2:
        raise ValueError("output 'difference' needs at least two sources. Received: sources=1")
    channels = heard.shape[-1]
    emitted = sources - 1 if output == "difference" else sources
    flat = keras.layers.Conv1D(emitted * channels, 1, activation="tanh", dtype="float32", name="sources")(features)
    estimates = keras.layers.Reshape((-1, emitted, channels), dtype="float32")(flat)
    if output == "difference":
        estimates = ops.concatenate([estimates, _rest(heard, estimates)], axis=2)
    present = ops.ones((1, sources)) if labels is None else labels
    if gated and labels is not None:
        estimates = estimates * labels[:, None, :, None]
    if output == "consistent":
        shares = present / ops.maximum(ops.sum(present, axis=1, keepdims=True), 1)
        estimates = estimates + _rest(heard, estimates) * shares[:, None, :, None]
    return estimates


def _rest(heard, estimates):
    """What the estimates leave of the mixture: (B, T, 1, C)."""
    return heard[:, :, None] - ops.sum(estimates, axis=2, keepdims=True)


def _require(name: str, received: Collection[str], known: Collection[str]) -> None:
    if unknown := set(received) - set(known):
        raise ValueError(f"expected {name} among {', '.join(known)}. Received: {', '.join(sorted(unknown))}")
