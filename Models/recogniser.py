"""Which classes play in an excerpt: convolutions on the spectrogram (after Han, Kim, Lee 2017, table 1)."""

from Options import checked

import keras
import numpy as np
from keras import ops

from .conditioning import Shapes
from .lengths import Padded
from .options import Recogniser as Choices
from .spectrogram import Stft

SOFTEST = 1e-9  # of the power of a sine at full scale: 90 dB below it


def recogniser(classes: int, channels: int = 1, shapes: Shapes | None = None, **options: object) -> keras.Model:
    """Estimates for each class the probability that it plays somewhere in the excerpt.

    The spectrogram's frequencies are logarithmic, so that a filter meets the same harmonics at every pitch. Each block
    is a convolution over 3 frames and 3 bands, batch normalisation, and the largest of every 2 x 2. The largest and
    the mean of each feature over the excerpt decide. Source: Han, Kim, Lee 2017 (IEEE/ACM TASLP 25), section III; there
    the bands are mel, blocks have two convolutions, means do not count, and a layer of 1,024 comes before the last.

    Args:
        classes: K.
        channels: C of the mixture.
        shapes: of contexts, none of which it receives.
        options: keys of `options.Recogniser`.

    Returns:
        A functional model {"mixture": (B, T, C)} -> {"playing": (B, K)}, probabilities, float32.

    Raises:
        ValueError: one line about the first option that is wrong or contradicts another.
    """
    o = checked(Choices, options)
    mixture = keras.Input((None, channels), name="mixture")
    spectrum = Stft(o.frame_samples, o.hop_samples, name="stft")(mixture)
    features = LogSpectrogram(o.frame_samples, o.octaves, o.bands, name="bands")(*spectrum)
    for level in range(1, o.levels + 1):
        width = o.filters * 2 ** (level - 1)
        features = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"block_{level}")(features)
        features = keras.layers.BatchNormalization(momentum=0.9, name=f"block_{level}_norm")(features)
        features = keras.layers.LeakyReLU(0.3, name=f"block_{level}_relu")(features)
        features = keras.layers.MaxPooling2D(2, padding="same", name=f"block_{level}_pool")(features)
    pooled = [pool(features) for pool in (keras.layers.GlobalMaxPooling2D(), keras.layers.GlobalAveragePooling2D())]
    kept = keras.layers.Dropout(o.dropout, name="dropout")(keras.layers.Concatenate()(pooled))
    playing = keras.layers.Dense(classes, activation="sigmoid", dtype="float32", name="playing")(kept)
    return keras.Model({"mixture": mixture}, {"playing": playing}, name="recogniser")


def recogniser_lengths(wanted_samples: int, **options: object) -> Padded:
    """The lengths of a `recogniser` for excerpts of at least `wanted_samples`: whole hops."""
    hop_samples = checked(Choices, options).hop_samples
    return Padded(-(-wanted_samples // hop_samples) * hop_samples, hop_samples)


def log_bands(frame_samples: int, octaves: int, bands: int) -> np.ndarray:
    """Triangular filters from the bins of a spectrum to logarithmic bands: (bins, octaves * bands).

    The highest is centred on half of the rate, each next one 1 / bands of an octave below. A triangle reaches to the
    centres of its neighbours, or over the two nearest bins where these are farther; the weights of a band add up to 1.
    """
    bins = np.arange(frame_samples // 2 + 1)[:, None]
    centres = bins[-1] * 2.0 ** (np.arange(1 - octaves * bands, 1) / bands)
    reach = np.maximum(1.0, centres * (1 - 2 ** (-1 / bands)))
    weights = np.maximum(0, 1 - np.abs(bins - centres) / reach)
    return (weights / weights.sum(axis=0)).astype(np.float32)


@keras.saving.register_keras_serializable("vimss")
class LogSpectrogram(keras.layers.Layer):
    """A spectrum's real and imaginary parts (B, frames, bins, C) -> logarithms of bands (B, frames, bands, C), float32.

    They have a mean of 0 and a variance of 1, or 0, over frames and bands: how loud the excerpt is does not count.

    Args:
        frame_samples: of the spectrum's window.
        octaves: how far the bands reach down from half of the rate.
        bands: of an octave.
    """

    def __init__(self, frame_samples: int, octaves: int, bands: int, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.frame_samples, self.octaves, self.bands = frame_samples, octaves, bands

    def call(self, real, imaginary):
        full_scale = (self.frame_samples / 4) ** 2  # the power of a sine's bin under Hann's window
        power = (ops.square(real) + ops.square(imaginary)) / full_scale
        filters = log_bands(self.frame_samples, self.octaves, self.bands)
        logarithms = ops.log(ops.einsum("tfbc,bk->tfkc", power, filters) + SOFTEST)
        centred = logarithms - ops.mean(logarithms, axis=(1, 2, 3), keepdims=True)
        return centred * ops.rsqrt(ops.mean(ops.square(centred), axis=(1, 2, 3), keepdims=True) + 1e-3)

    def compute_output_shape(self, real_shape, imaginary_shape):
        return *real_shape[:2], self.octaves * self.bands, real_shape[3]

    def get_config(self):
        return {
            **super().get_config(),
            "frame_samples": self.frame_samples,
            "octaves": self.octaves,
            "bands": self.bands,
        }
