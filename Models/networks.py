"""The networks by their names in a configuration. A new one is a builder, its lengths and a line here.

A builder takes the numbers of sources and channels, the shapes of contexts, and the keys of its own. It returns a
functional model {"mixture": (B, T_in, C), <context>: (B, ...), ...} -> {name: array}, float32, or an array alone, which
is then `sources`, (B, T_out, S, C). Its lengths are a function of the wanted length of an excerpt and of the same keys.
"""

from collections.abc import Callable
from typing import Any

from Options import checked

import keras

from . import options
from .band_split import band_split, band_split_lengths
from .conditioning import Shapes
from .each_part import each_part
from .lengths import Lengths, Padded
from .lstm_unet import lstm_unet, lstm_unet_lengths
from .recogniser import recogniser, recogniser_lengths
from .unet_spectrogram import unet_spectrogram, unet_spectrogram_lengths
from .wave_unet import wave_unet, wave_unet_lengths

NETWORKS: dict[str, tuple[Callable[..., keras.Model], Callable[..., Lengths]]] = {
    "wave_unet": (wave_unet, wave_unet_lengths),
    "unet_spectrogram": (unet_spectrogram, unet_spectrogram_lengths),
    "band_split": (band_split, band_split_lengths),
    "lstm_unet": (lstm_unet, lstm_unet_lengths),
    "recogniser": (recogniser, recogniser_lengths),
}
assert NETWORKS.keys() == options.NETWORKS.keys()


def built(
    classes: int,
    channels: int,
    *,
    network: str,
    targets: str = "classes",
    shapes: Shapes | None = None,
    **choices: Any,
) -> keras.Model:
    """The network that a configuration describes, with fresh weights.

    Args:
        classes: K, how many there are.
        channels: C.
        network: a key of `NETWORKS`.
        targets: `classes`, each of which is a source, or `parts`: any number of sources, each of a class.
        shapes: of the contexts of an example, or of a part, by name; of labels (K,), if it is not said.
        choices: the keys of that network.
    """
    builder, lengths_of = NETWORKS[network]
    if targets == "classes":
        return builder(classes, channels, shapes, **choices)
    o = checked(options.NETWORKS[network], {"network": network, **choices})
    margin = lengths_of(1, **choices).margin_samples
    known = {"labels": (classes,), **(shapes or {})}
    return each_part(builder, known, channels, margin, **o.model_dump(exclude={"network"}))


def lengths(wanted_samples: int, *, network: str, **choices: Any) -> Lengths:
    """The lengths of that network, for excerpts of at least `wanted_samples` where it is built for one length.

    Raises:
        ValueError: if the excerpts of a network with padding are shorter than `highpass_samples`.
    """
    found, highpass_samples = NETWORKS[network][1](wanted_samples, **choices), choices.get("highpass_samples", 0)
    if isinstance(found, Padded) and found.samples < highpass_samples:
        raise ValueError(
            f"expected excerpts of at least highpass_samples, {highpass_samples}. Received: {found.samples} samples"
        )
    return found
