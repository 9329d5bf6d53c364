"""The band-split recurrent network (Luo and Yu 2023, IEEE/ACM TASLP 31, figure 1), for all sources at once."""

from Options import checked

import keras
from keras import ops

from .conditioning import Conditioner, Positions, Shapes
from .lengths import Padded
from .options import BandSplit as Choices
from .outputs import completed, emitted_sources
from .recurrent import Recurrent
from .spectrogram import InverseStft, Stft


def band_split(sources: int, channels: int = 1, shapes: Shapes | None = None, **options: object) -> keras.Model:
    """Splits the spectrum into bands, runs along time and across them, and masks the mixture's spectrum.

    Every band becomes a few features of each frame. Blocks of two recurrent layers follow: one runs along time, both
    ways, in each band, the other over the bands of each frame. From their result, each band estimates a complex mask
    for each source: it may turn the mixture's phase.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        shapes: of each context that the network receives, by name: (D,), or (F, D) where it moves in time. Labels
            are (S,) if it is not said.
        options: keys of `options.BandSplit`. Of the places, `input` is the spectrum, `encoder` the split, `bottleneck`
            what one block hands the next, `decoder` what the masks are estimated from.

    Returns:
        A functional model {"mixture": (B, T, C), <context>: (B, D) or (B, F, D), ...} -> (B, T, S, C),
        float32. `band_split_lengths` gives the T that fit.

    Raises:
        ValueError: one line about the first option that is wrong or contradicts another.
    """
    o = checked(Choices, options)
    mixture = keras.Input((None, channels), name="mixture")
    conditioner = Conditioner(o.contexts, {"labels": (sources,), **(shapes or {})})
    emitted = emitted_sources(o.output, sources)
    moments = Positions((o.hop_samples - 1) / 2, o.hop_samples, (o.hop_samples - 1) / 2)
    bins = o.frame_samples // 2 + 1
    widths = band_widths(bins, o.zones, o.bands)

    real, imaginary = Stft(o.frame_samples, o.hop_samples, name="stft")(mixture)
    spectrum = keras.layers.Concatenate(dtype="float32")([real, imaginary])
    spectrum = conditioner(spectrum, "input", moments, "input")
    split = BandSplit(widths, o.bands, o.features, name="split")(spectrum)
    split = conditioner(split, "encoder", moments, "split")
    for block in range(1, o.depth + 1):
        split = split + AlongTime(o.features, name=f"time_{block}")(split)
        split = split + AcrossBands(o.features, name=f"bands_{block}")(split)
        split = conditioner(split, "decoder" if block == o.depth else "bottleneck", moments, f"bands_{block}")
    masks = BandMasks(widths, o.bands, bins, 2 * emitted * channels, name="masks")(split)
    masks = keras.layers.Reshape((-1, bins, 2, emitted, channels), dtype="float32")(masks)
    parts = _product(real[..., None, :], imaginary[..., None, :], masks[:, :, :, 0], masks[:, :, :, 1])
    flat = keras.layers.Reshape((-1, bins, emitted * channels), dtype="float32")
    estimates = InverseStft(o.frame_samples, o.hop_samples, name="inverse_stft")(*map(flat, parts))
    estimates = keras.layers.Reshape((-1, emitted, channels), dtype="float32")(estimates)
    estimates = completed(estimates, mixture, o.output, conditioner, highpass_samples=o.highpass_samples)
    return keras.Model({"mixture": mixture, **conditioner.inputs}, estimates, name="band_split")


def band_split_lengths(wanted_samples: int, **options: object) -> Padded:
    """The lengths of a `band_split` for excerpts of at least `wanted_samples`: whole hops."""
    hop_samples = checked(Choices, options).hop_samples
    return Padded(-(-wanted_samples // hop_samples) * hop_samples, hop_samples)


def band_widths(bins: int, zones: int, bands: int) -> list[int]:
    """Bins of a band in each zone, lowest first: each zone's twice the one's below, together at least all bins."""
    narrowest = -(-bins // (bands * (2**zones - 1)))
    return [narrowest * 2**zone for zone in range(zones)]


def _product(a, b, c, d):
    """(a + bi) (c + di), in parts."""
    return a * c - b * d, a * d + b * c


class Banded(keras.layers.Layer):
    """What splits and joins bands, each of which has weights of its own.

    Args:
        widths: bins of a band in each zone.
        bands: in each zone.
    """

    def __init__(self, widths: list[int], bands: int, **kwargs):
        super().__init__(**kwargs)
        self.widths, self.bands = list(widths), bands

    def get_config(self):
        return {**super().get_config(), "widths": self.widths, "bands": self.bands}


@keras.saving.register_keras_serializable("vimss")
class BandSplit(Banded):
    """A spectrum (B, frames, bins, W) -> features of bands (B, frames, zones * bands, K).

    A band is levelled to a mean square of 1, and how loud it was becomes one number beside its bins: its decibels over
    100. Then each band has weights of its own. Source: Luo and Yu 2023, section III-A, but for the levelling.
    """

    def __init__(self, widths: list[int], bands: int, features: int, **kwargs):
        super().__init__(widths, bands, **kwargs)
        self.features = features

    def build(self, shape):
        glorot = keras.initializers.GlorotUniform
        self.kernels = [
            self.add_weight(
                name=f"kernel_{zone}", shape=(self.bands, width * shape[-1] + 1, self.features), initializer=glorot()
            )
            for zone, width in enumerate(self.widths)
        ]
        count = len(self.widths) * self.bands
        self.bias = self.add_weight(name="bias", shape=(count, self.features), initializer="zeros")

    def call(self, spectrum):
        batch, frames, bins, parts = ops.shape(spectrum)
        spectrum = ops.pad(spectrum, [(0, 0), (0, 0), (0, self.bands * sum(self.widths) - bins), (0, 0)])
        split, first = [], 0
        for width, kernel in zip(self.widths, self.kernels, strict=True):
            zone = spectrum[:, :, first : first + width * self.bands]
            zone = ops.cast(ops.reshape(zone, (batch, frames, self.bands, width * parts)), "float32")
            energy = ops.mean(ops.square(zone), axis=-1, keepdims=True) + 1e-6
            zone = ops.concatenate([zone * ops.rsqrt(energy), ops.log10(energy) / 10], axis=-1)
            split.append(ops.einsum("tfbw,bwk->tfbk", ops.cast(zone, self.compute_dtype), kernel))
            first += width * self.bands
        return ops.concatenate(split, axis=2) + self.bias

    def compute_output_shape(self, shape):
        return *shape[:2], len(self.widths) * self.bands, self.features

    def get_config(self):
        return {**super().get_config(), "features": self.features}


@keras.saving.register_keras_serializable("vimss")
class BandMasks(Banded):
    """Features of bands (B, frames, zones * bands, K) -> masks (B, frames, bins, outputs), float32.

    Each band's features go through a hidden layer of 2 K, tanh, with weights of its own. Source: Luo and Yu 2023,
    section III-C, without the gate.
    """

    def __init__(self, widths: list[int], bands: int, bins: int, outputs: int, **kwargs):
        super().__init__(widths, bands, **kwargs)
        self.bins, self.outputs = bins, outputs

    def build(self, shape):
        features, count = shape[-1], len(self.widths) * self.bands
        self.norm = keras.layers.RMSNormalization(dtype=self.dtype_policy)
        self.norm.build(shape)
        glorot = keras.initializers.GlorotUniform
        hidden = (count, features, 2 * features)
        self.hidden = self.add_weight(name="hidden", shape=hidden, initializer=glorot())
        self.hidden_bias = self.add_weight(name="hidden_bias", shape=(count, 2 * features), initializer="zeros")
        self.kernels, self.biases = [], []
        for zone, width in enumerate(self.widths):
            shape = (self.bands, 2 * features, width * self.outputs)
            self.kernels.append(self.add_weight(name=f"kernel_{zone}", shape=shape, initializer=glorot()))
            self.biases.append(self.add_weight(name=f"bias_{zone}", shape=shape[::2], initializer="zeros"))

    def call(self, features):
        batch, frames, _, _ = ops.shape(features)
        hidden = ops.tanh(ops.einsum("tfbk,bkh->tfbh", self.norm(features), self.hidden) + self.hidden_bias)
        zones = []
        for zone, (width, kernel, bias) in enumerate(zip(self.widths, self.kernels, self.biases, strict=True)):
            mine = hidden[:, :, zone * self.bands : (zone + 1) * self.bands]
            masks = ops.einsum("tfbh,bhw->tfbw", mine, kernel) + bias
            zones.append(ops.reshape(masks, (batch, frames, self.bands * width, self.outputs)))
        return ops.cast(ops.concatenate(zones, axis=2)[:, :, : self.bins], "float32")

    def compute_output_shape(self, shape):
        return *shape[:2], self.bins, self.outputs

    def get_config(self):
        return {**super().get_config(), "bins": self.bins, "outputs": self.outputs}


@keras.saving.register_keras_serializable("vimss")
class AcrossBands(Recurrent):
    """A `Recurrent` over the bands of each frame: (B, frames, bands, K) -> the same. Source: section III-B."""

    def call(self, features):
        batch, frames, bands, width = ops.shape(features)
        mixed = super().call(ops.reshape(features, (batch * frames, bands, width)))
        return ops.reshape(mixed, (batch, frames, bands, width))


@keras.saving.register_keras_serializable("vimss")
class AlongTime(AcrossBands):
    """A `Recurrent` along time in each band: (B, frames, bands, K) -> the same. Source: section III-B."""

    def call(self, features):
        return ops.transpose(super().call(ops.transpose(features, (0, 2, 1, 3))), (0, 2, 1, 3))
