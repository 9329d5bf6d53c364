"""The spectrogram U-Net (Jansson et al. 2017, ISMIR), as Stoller et al. 2018 compared it with the Wave-U-Net."""

from Options import checked

import keras
from keras import ops

from .conditioning import Conditioner, Positions, Shapes
from .lengths import Padded
from .options import UNetSpectrogram
from .outputs import completed, emitted_sources
from .spectrogram import InverseStft, Stft, magnitudes


def unet_spectrogram(sources: int, channels: int = 1, shapes: Shapes | None = None, **options: object) -> keras.Model:
    """A U-Net over frames and bins of the mixture's magnitudes, which emits masks for them.

    It receives log(1 + magnitude) of all channels. A mask lies between 0 and 1, each source has one for each channel,
    and what it leaves of the mixture's spectrum keeps the mixture's phase. The transform has one bin more than can be
    halved: the topmost is left out, and takes the mask of the one below (the published code's constant 0.5 there
    would not let even an open mask give back the mixture). Batch normalisation takes running statistics at inference,
    so that no excerpt depends on the others of its batch.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        shapes: of each context that the network receives, by name: (D,), or (F, D) where it moves in time. Labels
            are (S,) if it is not said.
        options: keys of `options.UNetSpectrogram`.

    Returns:
        A functional model {"mixture": (B, T, C), <context>: (B, D) or (B, F, D), ...} -> (B, T, S, C),
        float32. `unet_spectrogram_lengths` gives the T that fit.

    Raises:
        ValueError: one line about the first option that is wrong or contradicts another.
    """
    o = checked(UNetSpectrogram, options)
    bins = o.frame_samples // 2  # all but the topmost
    mixture = keras.Input((None, channels), name="mixture")
    conditioner = Conditioner(o.contexts, {"labels": (sources,), **(shapes or {})})
    emitted = emitted_sources(o.output, sources)
    spectrum = Stft(o.frame_samples, o.hop_samples, name="stft")(mixture)
    received = ops.log1p(magnitudes(*spectrum))[:, :, :bins]

    def masks_of_one(outputs: int, suffix: str = ""):
        """What is received -> the masks that one U-Net emits (B, frames, bins, outputs)."""
        blocks = _Blocks(conditioner, o.size, o.hop_samples, suffix)
        skips, features = [], conditioner(received, "input", blocks.positions(0), f"input{suffix}")
        for level in range(1, o.levels):
            skips.append(blocks.down(features, o.filters * 2 ** (level - 1), level, "encoder", f"down_{level}"))
            features = skips[-1]
        features = blocks.down(features, o.filters * 2 ** (o.levels - 1), o.levels, "bottleneck", "bottleneck")
        for level in range(o.levels, 1, -1):
            features = blocks.up(features, o.filters * 2 ** (level - 2), level - 1, "decoder", f"up_{level}")
            features = keras.layers.Concatenate()([skips[level - 2], features])
            if level > o.levels - 3:
                features = keras.layers.Dropout(o.dropout)(features)
        last = keras.layers.Conv2DTranspose(
            outputs, o.size, 2, "same", activation="sigmoid", dtype="float32", name=f"masks{suffix}"
        )
        return last(features)

    if o.separate:
        each = [masks_of_one(channels, f"_of_{n}") for n in range(1, emitted + 1)]
        masks = keras.layers.Concatenate(dtype="float32")(each) if emitted > 1 else each[0]
    else:
        masks = masks_of_one(emitted * channels)
    masks = ops.concatenate([masks, masks[:, :, -1:]], axis=2)
    masks = keras.layers.Reshape((-1, bins + 1, emitted, channels), dtype="float32", name="all_masks")(masks)
    flat = keras.layers.Reshape((-1, bins + 1, emitted * channels), dtype="float32")
    parts = [flat(part[:, :, :, None] * masks) for part in spectrum]
    estimates = InverseStft(o.frame_samples, o.hop_samples, name="inverse_stft")(*parts)
    estimates = keras.layers.Reshape((-1, emitted, channels), dtype="float32")(estimates)
    estimates = completed(estimates, mixture, o.output, conditioner, highpass_samples=o.highpass_samples)
    return keras.Model({"mixture": mixture, **conditioner.inputs}, estimates, name="unet_spectrogram")


def unet_spectrogram_lengths(wanted_samples: int, **options: object) -> Padded:
    """The lengths of a `unet_spectrogram` for excerpts of at least `wanted_samples`: its frames halve `levels` times.

    The published excerpt's 128 frames reach over 127 * 768 + 1024 = 98560 samples; the 98304 well within them are ours.
    """
    o = checked(UNetSpectrogram, options)
    multiple = o.hop_samples * 2**o.levels
    return Padded(-(-wanted_samples // multiple) * multiple, o.hop_samples)


class _Blocks:
    """A block: a convolution that halves or doubles frames and bins, normalisation, modulation by context, a ReLU."""

    def __init__(self, conditioner: Conditioner, size: int, hop_samples: int, suffix: str):
        self.conditioner, self.size, self.hop_samples, self.suffix = conditioner, size, hop_samples, suffix

    def positions(self, level: int) -> Positions:
        """Where a level's features stand: frames in the middle of their hop, and each next level on every second one.

        Of these Keras takes the first where the filter is a single frame, and the second where it is odd and longer.
        """
        own = (self.hop_samples - 1) / 2
        before = (self.size - 1) / 2 - max(self.size - 2, 0) // 2  # of the second frame of each two
        skipped = self.hop_samples * (2**level - 1)
        return Positions(own + before * skipped, self.hop_samples * 2**level, own + (1 - before) * skipped)

    def down(self, features, width: int, level: int, place: str, name: str):
        """Features of half as many frames and bins, now of `level`."""
        name = f"{name}{self.suffix}"
        features = keras.layers.Conv2D(width, self.size, 2, "same", use_bias=False, name=name)(features)
        return keras.layers.LeakyReLU(0.2, name=f"{name}_relu")(self._levelled(features, level, place, name))

    def up(self, features, width: int, level: int, place: str, name: str):
        """Features of twice as many frames and bins, now of `level`."""
        name = f"{name}{self.suffix}"
        features = keras.layers.Conv2DTranspose(width, self.size, 2, "same", use_bias=False, name=name)(features)
        return keras.layers.ReLU(name=f"{name}_relu")(self._levelled(features, level, place, name))

    def _levelled(self, features, level: int, place: str, name: str):
        features = keras.layers.BatchNormalization(name=f"{name}_norm")(features)
        return self.conditioner(features, place, self.positions(level), name)
