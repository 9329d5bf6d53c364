"""What may be set of a network: the keys of each one, what they mean, and which choices there are.

The builders take these keys by name. No Keras here: a command line is checked against them.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from Options import Distinct, Odd, Options, did_you_mean

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

Output = Literal["direct", "difference", "consistent"]
OUTPUTS = get_args(Output)
"""From what a network emits to sources: `outputs.Completion`."""

Method = Literal["none", "concat", "additive", "multiplicative", "film", "attention", "additive_attention", "outer"]
"""How context modulates features: `none`, or a layer of `conditioning.METHODS`."""

Place = Literal["input", "encoder", "bottleneck", "decoder", "every", "output"]
PLACES = get_args(Place)
"""Where: the mixture as the first layer receives it; after the layers of the way down, of the bottleneck, of the way
up, or of all three; the sources, each of which is multiplied by its own entry, whatever the method."""

LOSSES = ("mse", "l1", "sum_squared", "log_energy", "si_sdr", "magnitudes", "multi_resolution_stft", "bce")
"""The functions of `losses`."""


_TERM = re.compile(r"((?P<weight>.*)\*)?(?P<name>[^(]*)(\((?P<output>\w+)\))?")


def terms(expression: str) -> list[tuple[float, str, str]]:
    """The weights, losses and outputs of an expression such as `l1+0.5*bce(present)`; `sources` where none is given.

    Raises:
        ValueError: if it is no sum of names of `LOSSES`, each with a positive weight or none.
    """
    found = []
    for term in expression.split("+"):
        match = _TERM.fullmatch(term)
        weight, name = (match["weight"], match["name"]) if match else (None, term)
        if name not in LOSSES:
            near = did_you_mean(name, LOSSES)
            raise ValueError(f"must be among {', '.join(LOSSES)}, or a weighted sum like l1+0.5*si_sdr{near}")
        if weight is not None and not (
            re.fullmatch(r"(\d+\.?\d*|\.\d+)(e-?\d+)?", weight) and 0 < float(weight) < math.inf
        ):
            raise ValueError(f"must weigh losses by positive numbers, like l1+0.5*si_sdr, and not by '{weight}'")
        found.append((float(weight or 1), name, match["output"] or "sources" if match else "sources"))
    return found


def _with_terms(expression: str) -> str:
    terms(expression)
    return expression


class Objective(Options):
    """What training minimises."""

    loss: Annotated[str, AfterValidator(_with_terms)] = "mse"
    """What is minimised (`Models/losses.py`), or a weighted sum as `l1+0.5*si_sdr`; always reduced in float32."""


def _power_of_2(samples: int) -> int:
    if samples == 1 or samples & (samples - 1):
        raise ValueError("must be a power of 2, or 0 for none")
    return samples


class Context(Options):
    """How one stream that a network is given beside the mixture modulates its features."""

    method: Method = "none"
    """How (`Models/conditioning.py`); `none`: the network does not receive it."""
    places: Annotated[Distinct[Place], Field(min_length=1)] = ("bottleneck",)
    """Where: `input`, `encoder`, `bottleneck`, `decoder`, `every` of these three, `output` (of labels: each source
    times its own), or several: `every,output`."""


SHORT = {"conditioning": "method", "places": "places"}
"""Keys of a model that mean those of its labels: model.conditioning=film is model.contexts.labels.method=film."""


def spelled_out(tree: Any) -> Any:
    """The keys of a model without the short ones."""
    if not isinstance(tree, Mapping) or not SHORT.keys() & tree.keys():
        return tree
    contexts = tree.get("contexts", {})
    labels = contexts.get("labels", {}) if isinstance(contexts, Mapping) else contexts
    plain = {key: value for key, value in tree.items() if key not in SHORT}
    if not isinstance(labels, Mapping):  # a mistake, to be found in its place
        return plain
    short = {long: tree[key] for key, long in SHORT.items() if key in tree}
    return {**plain, "contexts": {**contexts, "labels": {**labels, **short}}}


class Network(Options):
    """What every network has."""

    emits: ClassVar[tuple[str, ...]] = ("sources",)
    """The names of what it estimates, which losses are of."""
    network: str
    """Which builder of Models makes it; another one has keys of its own."""

    @property
    def received(self) -> tuple[str, ...]:
        """The contexts that the network receives beside the mixture."""
        return ()


class Separator(Network):
    """What every network has that emits sources."""

    output: Output
    """`difference`: the last source is the mixture minus the others. `consistent`: what all leave is shared evenly."""
    highpass_samples: Annotated[int, Field(ge=0), AfterValidator(_power_of_2)] = 0
    """A running mean over so many, a power of 2, is taken off what is emitted, so that sources have no offset of their
    own; half of a tone of 0.44 / highpass_samples of the rate goes. 0 for none, as published."""
    contexts: dict[str, Context] = {"labels": Context()}
    """What the network is given beside the mixture, by name; of the labels, the classes that play, in short
    model.conditioning=film model.places=every."""

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, tree: Any) -> Any:
        return spelled_out(tree)

    @model_validator(mode="after")
    def _only_labels_gate(self) -> Self:
        for name, context in self.contexts.items():
            if name != "labels" and "output" in context.places:
                raise ValueError(f"must have contexts.{name}.places without output: labels alone are of each source")
        return self

    @property
    def received(self) -> tuple[str, ...]:
        """The contexts that the network receives beside the mixture."""
        return tuple(name for name, context in self.contexts.items() if context.method != "none")


class WaveUNet(Separator):
    """Stoller, Ewert, Dixon 2018, in all its forms."""

    output: Output = "difference"
    network: Literal["wave_unet"] = "wave_unet"
    levels: int = Field(12, ge=1, le=16)
    """Down- and up-sampling blocks; each halves the rate, so 12 levels see about six seconds at 22,050 Hz."""
    filters: int = Field(24, ge=1)
    """Features of the first level."""
    growth: Literal["add", "double"] = "add"
    """Features of the n-th level: n times those of the first, or twice those of the level above."""
    down_size: Odd = 15
    """Filter length of the down-sampling blocks and of the bottleneck, in samples at their level; odd."""
    up_size: Odd = 5
    """Filter length of the up-sampling blocks, in samples at their level; odd."""
    stride: int = Field(2, ge=2, le=16)
    """How many times slower the features of the next level are."""
    resampling: Literal["linear", "learned", "lowpass", "strided"] = "linear"
    """How features change their rate. `linear`: every stride-th is kept, straight lines go up. `learned`: the same with
    learned weights between neighbours (section 3.2.3). `lowpass`: both ways through a fixed sinc. `strided`: both ways
    through learned filters. The last two are Wave-U-Net-Pytorch's (Stoller 2019)."""
    resampling_size: Odd = 15
    """Filter length of the resamplings `lowpass` and `strided`; odd, at least 2 * stride - 1."""
    depth: int = Field(1, ge=1)
    """Convolutions in a block."""
    residual: bool = False
    """Add what a block was given, through a convolution of one tap, to what it computed."""
    normalisation: Literal["none", "group"] = "none"
    """`group` levels groups of features at each moment after each convolution."""
    slope: float = Field(0.2, ge=0, le=1)
    """Of LeakyReLU below zero; the published code's, the paper does not say."""
    padding: Literal["valid", "same"] = "valid"
    """`valid`: receive a margin of mixture around what is separated. `same`: take what is beyond an excerpt's edges for
    silence, as the paper's M1 and M2 do."""
    activation: Literal["tanh", "linear"] = "tanh"
    """Of what the network emits; `linear` is clipped to full scale outside training."""
    separate: bool = False
    """A ladder of its own for each source instead of one for all."""

    @model_validator(mode="after")
    def _resamples_every_sample(self) -> Self:
        if self.resampling in ("lowpass", "strided") and self.resampling_size < 2 * self.stride - 1:
            raise ValueError(
                f"must have resampling_size of at least 2 * stride - 1 with resampling={self.resampling}, not "
                f"{self.resampling_size} with stride={self.stride}"
            )
        return self


class Spectral(Network):
    """What networks on short-time spectra have."""

    frame_samples: int = Field(1024, ge=2)
    """Window of the short-time Fourier transform; even."""
    hop_samples: int = Field(ge=1)
    """Samples between two frames; at most three quarters of a frame: beyond that next to nothing is left
    between them."""

    @model_validator(mode="after")
    def _comes_back(self) -> Self:
        if self.frame_samples % 2 or self.hop_samples > 0.75 * self.frame_samples:
            raise ValueError(
                "must have an even frame_samples, and hop_samples of at most three quarters of it, not "
                f"{self.frame_samples} and {self.hop_samples}"
            )
        return self


class UNetSpectrogram(Spectral, Separator):
    """Jansson et al. 2017: masks on the mixture's magnitudes, found by a U-Net of two-dimensional convolutions."""

    output: Output = "direct"
    network: Literal["unet_spectrogram"] = "unet_spectrogram"
    levels: int = Field(6, ge=2, le=10)
    """Down- and up-sampling blocks, the deepest of which is the bottleneck; each halves frames and bins."""
    filters: int = Field(16, ge=1)
    """Features of the first level; each next one has twice as many."""
    size: Odd = 5
    """Width of the filters in frames and bins; odd."""
    frame_samples: int = Field(1024, ge=2)
    """Window of the short-time Fourier transform; a multiple of 2^(levels + 1)."""
    hop_samples: int = Field(768, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of features silenced in training in the three deepest blocks of the way up."""
    separate: bool = True
    """A U-Net of its own for each source, as published, instead of one for all."""

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.frame_samples % 2 ** (self.levels + 1):
            raise ValueError(
                f"must have frame_samples that are a multiple of 2^(levels + 1), not {self.frame_samples} with "
                f"levels={self.levels}"
            )
        return self


class BandSplit(Spectral, Separator):
    """Luo and Yu 2023: recurrent layers along time and across the bands of the spectrum find complex masks for it."""

    output: Output = "consistent"
    network: Literal["band_split"] = "band_split"
    features: int = Field(32, ge=1)
    """Features of each band and frame."""
    depth: int = Field(2, ge=1)
    """Pairs of recurrent layers."""
    zones: int = Field(4, ge=1, le=10)
    """Ranges of the spectrum; bands are twice as wide in each as in the one below."""
    bands: int = Field(6, ge=1)
    """Bands of a zone."""
    hop_samples: int = Field(256, ge=1)


class LstmUNet(Separator):
    """After Défossez et al. 2019 (Demucs): strided convolutions on the waveform, recurrent layers at the bottleneck."""

    output: Output = "consistent"
    network: Literal["lstm_unet"] = "lstm_unet"
    levels: int = Field(5, ge=1, le=10)
    """Blocks of the way down, and as many of the way up."""
    filters: int = Field(24, ge=1)
    """Features of the first level."""
    growth: float = Field(1.6, ge=1, le=4)
    """How many times more features the next level has."""
    stride: int = Field(4, ge=2, le=16)
    """How many times slower the features of the next level are."""
    size: Odd = 3
    """Reach of the filters that change the rate, in strides; odd."""
    depth: int = Field(1, ge=1)
    """Pairs of recurrent layers at the bottleneck."""
    units: int = Field(64, ge=1)
    """Of each recurrent layer."""


class Recogniser(Spectral):
    """After Han, Kim, Lee 2017: convolutions on the spectrogram find which classes play in an excerpt."""

    emits: ClassVar[tuple[str, ...]] = ("playing",)
    network: Literal["recogniser"] = "recogniser"
    frame_samples: int = Field(2048, ge=2)
    """Window of the short-time Fourier transform; even."""
    hop_samples: int = Field(512, ge=1)
    octaves: int = Field(6, ge=1, le=10)
    """How far the bands reach down from half of the rate."""
    bands: int = Field(16, ge=1)
    """Bands of an octave."""
    levels: int = Field(4, ge=1, le=8)
    """Blocks, each of which halves frames and bands."""
    filters: int = Field(16, ge=1)
    """Features of the first level; each next one has twice as many."""
    dropout: float = Field(0.25, ge=0, lt=1)
    """Share of the last features that are silenced in training."""


_Any = WaveUNet | UNetSpectrogram | BandSplit | LstmUNet | Recogniser
NETWORKS: dict[str, type[Network]] = {kind.model_fields["network"].default: kind for kind in get_args(_Any)}
"""The keys of each network."""


def _with_network(tree: Any) -> Any:
    return {"network": "wave_unet", **tree} if isinstance(tree, dict) else tree


Model = Annotated[Annotated[_Any, Field(discriminator="network")], BeforeValidator(_with_network)]
"""The network, and the keys of that network."""
