"""The spectrogram U-Net (Jansson et al. 2017, ISMIR), as Stoller et al. 2018 compared it with the Wave-U-Net."""

from collections.abc import Collection

import keras
from keras import ops

from .conditioning import Conditioner, Positions
from .lengths import Padded
from .outputs import completed, emitted_sources
from .spectrogram import InverseStft, Stft, magnitudes


def unet_spectrogram(
    sources: int,
    channels: int = 1,
    *,
    levels: int = 6,
    filters: int = 16,
    size: int = 5,
    frame_samples: int = 1024,
    hop_samples: int = 768,
    dropout: float = 0.5,
    separate: bool = True,
    output: str = "direct",
    highpass_samples: int = 0,
    conditioning: str = "none",
    places: Collection[str] = ("bottleneck",),
    frames: int | None = None,
) -> keras.Model:
    """A U-Net over frames and bins of the mixture's magnitudes, which emits masks for them.

    It receives log(1 + magnitude) of all channels. A mask lies between 0 and 1, each source has one for each channel,
    and what it leaves of the mixture's spectrum keeps the mixture's phase. The transform has one bin more than can be
    halved: the topmost is left out, and takes the mask of the one below (the published code's constant 0.5 there
    would not let even an open mask give back the mixture). Batch normalisation takes running statistics at inference,
    so that no excerpt depends on the others of its batch.

    Args:
        sources: S.
        channels: C of the mixture and of each source.
        levels: down-sampling blocks, the deepest of which is the bottleneck, and as many up-sampling ones; at least 2.
        filters: features of the first level; each next one has twice as many.
        size: of the filters, in frames and in bins.
        frame_samples: window of the short-time Fourier transform; a multiple of 2^(levels + 1).
        hop_samples: samples between two frames; at most three quarters of a frame.
        dropout: share of features silenced in training in the three deepest blocks of the way up.
        separate: a U-Net of its own for each emitted source, as published, instead of one for all.
        output: `direct`, `difference` or `consistent` (`outputs.completed`).
        highpass_samples: over which a running mean is taken off (`outputs.Highpass`), a power of 2; 0 as published.
        conditioning: `none` or a method of `conditioning.METHODS` by which labels modulate features.
        places: where: some of `conditioning.PLACES`.
        frames: F of labels that move in time; None for labels that hold for the whole excerpt.

    Returns:
        A functional model {"mixture": (B, T, C), "labels": (B, S) or (B, F, S) if conditioned} -> (B, T, S, C),
        float32. `unet_spectrogram_lengths` gives the T that fit.

    Raises:
        ValueError: if a choice is unknown or two contradict each other.
    """
    bins = _bins(levels, frame_samples)
    mixture, labels = keras.Input((None, channels), name="mixture"), None
    if conditioning != "none":
        labels = keras.Input((sources,) if frames is None else (frames, sources), name="labels")
    conditioner = Conditioner(labels, conditioning, places)
    emitted = emitted_sources(output, sources)
    spectrum = Stft(frame_samples, hop_samples, name="stft")(mixture)
    received = ops.log1p(magnitudes(*spectrum))[:, :, :bins]

    def masks_of_one(outputs: int, suffix: str = ""):
        """What is received -> the masks that one U-Net emits (B, frames, bins, outputs)."""
        blocks = _Blocks(conditioner, size, hop_samples, suffix)
        skips, features = [], conditioner(received, "input", blocks.positions(0), f"input{suffix}")
        for level in range(1, levels):
            skips.append(blocks.down(features, filters * 2 ** (level - 1), level, "encoder", f"down_{level}"))
            features = skips[-1]
        features = blocks.down(features, filters * 2 ** (levels - 1), levels, "bottleneck", "bottleneck")
        for level in range(levels, 1, -1):
            features = blocks.up(features, filters * 2 ** (level - 2), level - 1, "decoder", f"up_{level}")
            features = keras.layers.Concatenate()([skips[level - 2], features])
            if level > levels - 3:
                features = keras.layers.Dropout(dropout)(features)
        last = keras.layers.Conv2DTranspose(
            outputs, size, 2, "same", activation="sigmoid", dtype="float32", name=f"masks{suffix}"
        )
        return last(features)

    if separate:
        each = [masks_of_one(channels, f"_of_{n}") for n in range(1, emitted + 1)]
        masks = keras.layers.Concatenate(dtype="float32")(each) if emitted > 1 else each[0]
    else:
        masks = masks_of_one(emitted * channels)
    masks = ops.concatenate([masks, masks[:, :, -1:]], axis=2)
    masks = keras.layers.Reshape((-1, bins + 1, emitted, channels), dtype="float32", name="all_masks")(masks)
    flat = keras.layers.Reshape((-1, bins + 1, emitted * channels), dtype="float32")
    parts = [flat(part[:, :, :, None] * masks) for part in spectrum]
    estimates = InverseStft(frame_samples, hop_samples, name="inverse_stft")(*parts)
    estimates = keras.layers.Reshape((-1, emitted, channels), dtype="float32")(estimates)
    estimates = completed(estimates, mixture, output, conditioner, highpass_samples=highpass_samples)
    inputs = {"mixture": mixture} if labels is None else {"mixture": mixture, "labels": labels}
    return keras.Model(inputs, estimates, name="unet_spectrogram")


def unet_spectrogram_lengths(
    wanted_samples: int, *, levels: int = 6, frame_samples: int = 1024, hop_samples: int = 768, **others: object
) -> Padded:
    """The lengths of a `unet_spectrogram` for excerpts of at least `wanted_samples`: its frames halve `levels` times.

    The published excerpt's 128 frames reach over 127 * 768 + 1024 = 98560 samples; the 98304 well within them are ours.
    """
    _bins(levels, frame_samples)
    multiple = hop_samples * 2**levels
    return Padded(-(-wanted_samples // multiple) * multiple, hop_samples)


def _bins(levels: int, frame_samples: int) -> int:
    """How many of the lowest bins of a frame the network receives: all but the topmost."""
    if levels < 2 or frame_samples % 2 ** (levels + 1):
        raise ValueError(
            f"expected at least 2 levels, and a frame_samples that is a multiple of 2^(levels + 1). "
            f"Received: {levels=}, {frame_samples=}"
        )
    return frame_samples // 2


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
