"""What may be set: the schemas (every key, its unit and why), the presets (what papers set), the checks.

`Experiment.py` hands it the words of a command line; this file alone decides what they mean.
"""

import ast
import contextlib
import difflib
import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from Files import require_name

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

Tree = Mapping[str, Any]
"""Nested dicts of plain values: what a command line, a preset or a stored run says."""

URMP_SOURCES = ("bn", "cl", "db", "fl", "hn", "ob", "sax", "tba", "tbn", "tpt", "va", "vc", "vn")
"""The 13 instruments of URMP in the original's order, which is the order of the model's outputs."""

# ---------------------------------------------------------------- words of the command line


class Word(str):
    """A value as it was typed: a name stays text (`1.10`, `2026_11_28`, `1e5`); what else it means, its key decides."""

    def means(self, kinds: tuple[Any, ...]) -> Any:
        """The value for a key of these types: text as it is where a name is expected, else as Python reads it."""
        if str in kinds or any(isinstance(kind, str) for kind in kinds):
            if self[:1] + self[-1:] in ("''", '""') and len(self) > 1:
                return str(self[1:-1])
            if self[:1] not in ("[", "(", "{"):
                return str(self)
        try:
            return ast.literal_eval(self)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return str(self)


def _split_commas(value: Any) -> Any:
    if isinstance(value, Word):
        value = value.means((str,))
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _several(value: Any) -> Any:
    value = _split_commas(value)
    return value if isinstance(value, (list, tuple)) else (value,)


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(names) or len(set(names)) < len(names):
        raise ValueError("must give each name once and none empty")
    return tuple(require_name(name, "each") for name in names)


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9][\w.-]*)?", name):
        raise ValueError("must be a plain folder name of letters, digits and . _ -")
    return name


def _odd(taps: int) -> int:
    if taps % 2 == 0:
        raise ValueError("must be odd")
    return taps


def _not_zero(jobs: int) -> int:
    if not jobs:
        raise ValueError("must be a number of tracks, or -1 for one a core")
    return jobs


def _rising(bounds: tuple[Any, Any]) -> tuple[Any, Any]:
    if bounds[0] > bounds[1]:
        raise ValueError("must give the lower bound first")
    return bounds


def _weighted_losses(expression: str) -> str:
    for term in expression.split("+"):
        weight, times, name = re.sub(r"\(\w+\)$", "", term).rpartition("*")
        if name not in LOSSES:
            near = _did_you_mean(name, {loss: loss for loss in LOSSES})
            raise ValueError(f"must be among {', '.join(LOSSES)}, or a weighted sum like l1+0.5*si_sdr{near}")
        if times and not (re.fullmatch(r"(\d+\.?\d*|\.\d+)(e-?\d+)?", weight) and 0 < float(weight) < math.inf):
            raise ValueError(f"must weigh losses by positive numbers, like l1+0.5*si_sdr, and not by '{weight}'")
    return expression


Name = Annotated[str, AfterValidator(require_name)]
"""Safe as the name of a file or folder."""

Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas), AfterValidator(_distinct)]
"""Distinct names, given as a list or as `vn,vc`."""

Odd = Annotated[int, Field(ge=1), AfterValidator(_odd)]
"""The taps of a filter that has a middle."""

Method = Literal["none", "concat", "additive", "multiplicative", "film", "attention", "additive_attention", "outer"]
Place = Literal["input", "encoder", "bottleneck", "decoder", "every", "output"]
Places = Annotated[tuple[Place, ...], BeforeValidator(_split_commas), AfterValidator(_distinct), Field(min_length=1)]
"""Distinct places of a conditioned model, given as a list or as `every,output`."""

Probe = Literal["no_labels", "all_labels", "shuffled_labels", "wrong_label"]
Probes = Annotated[tuple[Probe, ...], BeforeValidator(_split_commas), AfterValidator(_distinct)]
"""What a separator may be told instead of the truth."""

Oracle = Literal["IBM", "IRM", "MWF"]
Oracles = Annotated[tuple[Oracle, ...], BeforeValidator(_split_commas), AfterValidator(_distinct)]
"""Ideal masks."""

LOSSES = ("mse", "l1", "sum_squared", "log_energy", "si_sdr", "magnitudes", "multi_resolution_stft", "bce")
Loss = Annotated[str, AfterValidator(_weighted_losses)]
"""A loss by its name, or a weighted sum of losses as `l1+0.5*si_sdr`."""

Gain = Annotated[float, Field(ge=0, le=4)]
GainRange = Annotated[tuple[Gain, Gain], BeforeValidator(_split_commas), AfterValidator(_rising)]
Speed = Annotated[float, Field(ge=0.5, le=2)]
SpeedRange = Annotated[tuple[Speed, Speed], BeforeValidator(_split_commas), AfterValidator(_rising)]
Hertz = Annotated[float, Field(ge=500)]
HertzRange = Annotated[tuple[Hertz, Hertz], BeforeValidator(_split_commas), AfterValidator(_rising)]
"""Lower and upper bound."""
Probability = Annotated[float, Field(ge=0, le=1)]

Count = Annotated[int, Field(ge=1)]
Counts = Annotated[tuple[Count, ...], BeforeValidator(_several)]
"""One count or several: `2` or `2,3`."""
Jobs = Annotated[int, AfterValidator(_not_zero)]
"""As joblib counts: -1 is one a core, -2 one less."""
CountRange = Annotated[tuple[Count, Count], BeforeValidator(_split_commas), AfterValidator(_rising)]
"""The fewest and the most."""


class Group(BaseModel):
    """Keys that belong together; frozen, and closed to keys it does not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,  # `name=7` is the name "7"
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _read_words(cls, tree: Any) -> Any:
        """Reads `null` and `none` where None is allowed, and keeps True from passing as the number 1."""
        if not isinstance(tree, dict):
            return tree
        return {key: _word(value, cls.model_fields.get(key)) for key, value in tree.items()}


def _word(value: Any, field: Any) -> Any:
    kinds = _kinds(field) if field else ()
    if isinstance(value, Word):
        value = value.means(kinds)
    if type(None) in kinds and value in ("null", "none"):
        return None
    return str(value) if isinstance(value, bool) and kinds and kinds[0] in (int, float) else value


def _kinds(field: Any) -> tuple[Any, ...]:
    """The types that a field may have."""
    return getattr(field.annotation, "__args__", (field.annotation,))


# ---------------------------------------------------------------- schemas


class Separator(Group):
    """What every network has; the keys of a network are the arguments of its builder in Models."""

    output: Literal["direct", "difference", "consistent"] = "difference"
    """`difference`: the last source is the mixture minus the others. `consistent`: what all leave is shared evenly."""
    highpass_samples: int = Field(0, ge=0)
    """A running mean over so many, a power of 2, is taken off what is emitted, so that sources have no offset of their
    own; half of a tone of 0.44 / highpass_samples of the rate goes. 0 for none, as published."""
    conditioning: Method = "none"
    """How the labels of the instruments present steer the features (`Models/conditioning.py`)."""
    places: Places = ("bottleneck",)
    """Where: `input`, `encoder`, `bottleneck`, `decoder`, `every` of these three, `output` (each source times its
    label), or several: `every,output`."""


class WaveUNet(Separator):
    """Stoller, Ewert, Dixon 2018, in all its forms."""

    network: Literal["wave_unet"] = "wave_unet"
    """Which builder of Models makes the separator; another one has keys of its own."""
    levels: int = Field(12, ge=1, le=16)
    """Down- and up-sampling blocks; each halves the rate, so 12 levels see about six seconds at 22,050 Hz."""
    filters: int = Field(24, ge=1)
    """Features of the first level."""
    growth: Literal["add", "double"] = "add"
    """Features of the n-th level: n times those of the first, or twice those of the level above."""
    down_size: Odd = 15
    """Filter length of the down-sampling blocks, in samples at their level; odd."""
    up_size: Odd = 5
    """Filter length of the up-sampling blocks, in samples at their level; odd."""
    stride: int = Field(2, ge=2, le=16)
    """How many times slower the features of the next level are."""
    resampling: Literal["linear", "learned", "lowpass", "strided"] = "linear"
    """How features change their rate: straight lines, learned weights between neighbours, a fixed sinc, or filters."""
    resampling_size: Odd = 15
    """Filter length of the resamplings `lowpass` and `strided`; odd, at least 2 * stride - 1."""
    depth: int = Field(1, ge=1)
    """Convolutions in a block."""
    residual: bool = False
    """Add what a block was given to what it computed."""
    normalisation: Literal["none", "group"] = "none"
    """`group` levels groups of features at each moment after each convolution."""
    slope: float = Field(0.2, ge=0, le=1)
    """Of LeakyReLU below zero."""
    padding: Literal["valid", "same"] = "valid"
    """`valid`: hear context around what is separated. `same`: take what is beyond an excerpt's edges for silence."""
    activation: Literal["tanh", "linear"] = "tanh"
    """Of what the network emits; `linear` is clipped to full scale outside training."""
    separate: bool = False
    """A ladder of its own for each source instead of one for all."""


class UNetSpectrogram(Separator):
    """Jansson et al. 2017: masks on the mixture's magnitudes, found by a U-Net of two-dimensional convolutions."""

    network: Literal["unet_spectrogram"]
    """Which builder of Models makes the separator; another one has keys of its own."""
    output: Literal["direct", "difference", "consistent"] = "direct"
    """`difference`: the last source is the mixture minus the others. `consistent`: what all leave is shared evenly."""
    levels: int = Field(6, ge=2, le=10)
    """Down- and up-sampling blocks; each halves frames and bins."""
    filters: int = Field(16, ge=1)
    """Features of the first level; each next one has twice as many."""
    size: Odd = 5
    """Width of the filters in frames and bins; odd."""
    frame_samples: int = Field(1024, ge=2)
    """Window of the short-time Fourier transform; a power of 2."""
    hop_samples: int = Field(768, ge=1)
    """Samples between two frames."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of features silenced in training in the three deepest blocks of the way up."""
    separate: bool = True
    """A U-Net of its own for each source instead of one for all."""


class BandSplit(Separator):
    """Luo and Yu 2023: recurrent layers along time and across the bands of the spectrum find complex masks for it."""

    network: Literal["band_split"]
    """Which builder of Models makes the separator; another one has keys of its own."""
    output: Literal["direct", "difference", "consistent"] = "consistent"
    """`difference`: the last source is the mixture minus the others. `consistent`: what all leave is shared evenly."""
    features: int = Field(32, ge=1)
    """Features of each band and frame."""
    depth: int = Field(2, ge=1)
    """Pairs of recurrent layers."""
    zones: int = Field(4, ge=1, le=10)
    """Ranges of the spectrum; bands are twice as wide in each as in the one below."""
    bands: int = Field(6, ge=1)
    """Bands of a zone."""
    frame_samples: int = Field(1024, ge=2)
    """Window of the short-time Fourier transform; even."""
    hop_samples: int = Field(256, ge=1)
    """Samples between two frames; at most three quarters of a frame."""


class LstmUNet(Separator):
    """After Défossez et al. 2019 (Demucs): strided convolutions on the waveform, recurrent layers at the bottleneck."""

    network: Literal["lstm_unet"]
    """Which builder of Models makes the separator; another one has keys of its own."""
    output: Literal["direct", "difference", "consistent"] = "consistent"
    """`difference`: the last source is the mixture minus the others. `consistent`: what all leave is shared evenly."""
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


def _with_network(tree: Any) -> Any:
    return {"network": "wave_unet", **tree} if isinstance(tree, dict) else tree


NETWORKS: dict[str, type[Separator]] = {
    "wave_unet": WaveUNet,
    "unet_spectrogram": UNetSpectrogram,
    "band_split": BandSplit,
    "lstm_unet": LstmUNet,
}
"""The keys of each network."""
Model = Annotated[
    Annotated[WaveUNet | UNetSpectrogram | BandSplit | LstmUNet, Field(discriminator="network")],
    BeforeValidator(_with_network),
]
"""The separator: the network, and the keys of that network."""


class Data(Group):
    """Where the audio comes from and how examples are cut from it."""

    prepared: str = ""
    """Folder of a prepared data set, made by Prepare.py; needed for training."""
    sources: Names = Field(URMP_SOURCES, min_length=1)
    """Classes that the model emits, in the order of its outputs: instruments of the data set, or sums of them."""
    sums: dict[Name, Names] = {"accompaniment": ("bass", "drums", "other")}
    """The instruments of each source that holds several."""
    sample_rate_hz: int = Field(22_050, ge=1_000, le=192_000)
    """Rate of the prepared audio and of the model, in Hz."""
    channels: int = Field(1, ge=1, le=2)
    """Channels of mixture and sources: 1 or 2."""
    output_samples: int = Field(16_384, ge=1)
    """Wanted supervised samples of an excerpt; the model rounds up to its next valid length."""
    parts: Counts = ()
    """Only tracks of so many parts: 2 for duets, 2,3 for duets and trios; empty takes all."""
    mix: CountRange | None = None
    """Mix parts of different recordings, from so many to so many (2,3), instead of those of one track."""
    mix_same: bool = False
    """Whether `mix` may take several parts of one instrument."""
    cache: Literal["none", "device"] = "none"
    """`device`: the data set lies whole in the accelerator's memory; the training step cuts and mixes examples."""


class Augmentation(Group):
    """What changes at random in training; off where its probability is 0 (`Input/augmentation.py`)."""

    gain: GainRange = (0.7, 1.0)
    """Each part is scaled by a linear factor drawn evenly from this range, and the mixture rebuilt."""
    remix: Probability = 0.0
    """Of an example whose parts come from different tracks, each by the same instrument."""
    polarity: Probability = 0.0
    """Of turning a part over."""
    swap: Probability = 0.0
    """Of exchanging a part's left and right."""
    silence: Probability = 0.0
    """Of leaving a part out, its label too; one part stays."""
    speed: Probability = 0.0
    """Of playing an example faster or slower by resampling: pitch and time change together."""
    speed_range: SpeedRange = (0.9, 1.1)
    """Slowest and fastest."""
    tilt: Probability = 0.0
    """Of tilting a part's spectrum about 1 kHz."""
    tilt_db: float = Field(3.0, gt=0, le=6)
    """Steepest tilt, in dB per octave."""
    lowpass: Probability = 0.0
    """Of limiting a part's band."""
    lowpass_hz: HertzRange = (1_000.0, 8_000.0)
    """Lowest and highest cut-off."""


class Optimisation(Group):
    """How the weights are fitted."""

    steps: int = Field(200_000, ge=1)
    """Batches to train on; a run may stop sooner by `patience`."""
    batch_size: int = Field(16, ge=1)
    """Examples in a batch."""
    learning_rate: float = Field(1e-4, gt=0)
    """Adam's step size at the start."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Adam, or AdamW, which takes `weight_decay` off the weights."""
    weight_decay: float = Field(0.0, ge=0, lt=1)
    """Share of each weight that a step of AdamW takes off, times the step size."""
    decay: Literal["constant", "exponential", "cosine", "plateau"] = "constant"
    """How the step size falls: by `decay_rate` every `decay_steps`, along a cosine to zero at the last step, or by
    `plateau_factor` when `plateau_patience` validations were no better."""
    decay_rate: float = Field(0.96, gt=0, le=1)
    """Factor of the exponential decay."""
    decay_steps: int = Field(2_000, ge=1)
    """Steps in which the exponential decay reaches its factor once."""
    plateau_patience: int = Field(5, ge=1)
    """Validations without a better loss before the step size falls, with decay=plateau."""
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    """What the step size is multiplied by then."""
    warmup_steps: int = Field(0, ge=0)
    """Steps in which the step size rises from zero."""
    clip_norm: float = Field(0.0, ge=0)
    """Longest gradient of all weights together; 0 for no limit."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients make one change of the weights."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Momentum of the weights' moving average, such as 0.999, which is validated and kept for them; 0 for none."""
    loss: Loss = "mse"
    """What is minimised (`Models/losses.py`), or a weighted sum as `l1+0.5*si_sdr`; always reduced in float32."""
    validate_every: int = Field(2_000, ge=1)
    """Steps between two validations, each followed by a checkpoint; divides `steps`."""
    checkpoint_every: int = Field(0, ge=0)
    """Steps that are lost at most when the process is killed; 0 for those between two validations. Divides
    `validate_every`, or is a multiple of it."""
    patience: int = Field(20, ge=0)
    """Validations without a better loss before training stops; 0 never stops early."""
    second_round: bool = False
    """Whether training goes on after the early stop: from the best weights, the batch doubled, a tenth of the rate,
    which falls from there as it did before."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """`mixed_bfloat16` computes in bfloat16 and keeps weights and loss in float32: for accelerators."""
    xla: bool = True
    """Compile the training step with XLA: faster after a minute of compiling."""
    steps_per_execution: int = Field(1, ge=1)
    """Steps that the accelerator takes before Python is asked again; divides those two."""

    processes: int = Field(1, ge=1)
    """Processes that train together on JAX, each with its accelerators (`docs/scale.md`)."""

    @property
    def piece(self) -> int:
        """Steps between two checkpoints, of which one follows each validation."""
        return min(self.checkpoint_every or self.validate_every, self.validate_every)

    @model_validator(mode="after")
    def _divide_each_other(self) -> "Optimisation":
        longer = max(self.checkpoint_every, self.validate_every)
        for larger, smaller, numbers in (
            ("steps", "validate_every", (self.steps, self.validate_every)),
            ("checkpoint_every or validate_every", "the other", (longer, self.piece)),
            ("checkpoint_every and validate_every", "steps_per_execution", (self.piece, self.steps_per_execution)),
        ):
            if numbers[0] % numbers[1]:
                raise ValueError(
                    f"must have {larger} that are multiples of {smaller}, not {numbers[0]} and {numbers[1]}"
                )
        if self.second_round and not self.patience:
            raise ValueError("must have patience above 0 with second_round=true, which begins after the early stop")
        if self.decay == "plateau" and self.warmup_steps:
            raise ValueError("must have warmup_steps=0 with decay=plateau")
        return self


class Training(Group):
    """What Training.py may be told."""

    name: Annotated[str, AfterValidator(_folder_name)] = ""
    """The run's folder below `runs`; empty takes the next free number."""
    fresh: bool = False
    """Start over instead of going on with an earlier run of this name."""
    continue_from: str = ""
    """Folder of a run whose best weights a new run begins with."""
    seed: int = Field(1337, ge=0, lt=2**32)
    """Fixes the first weights and every random draw of the data."""
    model: Model = WaveUNet()
    """The separator: `network`, and the keys of that network."""
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    training: Optimisation = Optimisation()

    @model_validator(mode="after")
    def _has_a_name_for_all(self) -> "Training":
        if self.training.processes > 1 and not self.name:
            raise ValueError("must have a name=... that all training.processes share")
        return self


class Test(Group):
    """What Test.py may be told; the model's numbers come from the run."""

    run: str = ""
    """Folder of the run whose best checkpoint separates, like runs/demo."""
    prepared: str = ""
    """Folder of a prepared data set; empty takes the one that the run was trained on."""
    split: Names = ("test",)
    """Which tracks to separate: a split of the prepared data set, or several as `test,test_unseen_bank`."""
    parts: Counts = ()
    """Only tracks of so many parts; empty takes those of the run's training."""
    mixture: Literal["sum", "recorded"] = "sum"
    """What is separated: the sum of the parts, or the mixture as it was recorded, where the data set has one."""
    probes: Probes = ()
    """Separate once more for each of these, told something else than the truth (`Input/probes.py`)."""


class Evaluate(Group):
    """What Evaluate.py may be told."""

    run: str = ""
    """Folder of a run whose estimates, made by Test.py, are scored."""
    estimates: str = ""
    """Folder of anybody's estimates instead of a run's, [<split>/]<track>/<source>.wav; needs `out`, and `prepared` or
    `references`."""
    prepared: str = ""
    """Folder of the prepared data set with the references; empty takes the run's."""
    references: str = ""
    """Folder of the references as they lie on disk, for `estimates`: URMP's, MUSDB18's, or <track>/<source>.wav."""
    split: Names = ("test",)
    """Which tracks to score: a split of the data set, or several as `test,test_unseen_bank`."""
    sources: Names = ()
    """Which of the sources of anybody's `estimates` to score; empty takes all."""
    sums: dict[Name, Names] = {}
    """The instruments of each source of `estimates` that holds several: sums.accompaniment=bass,drums,other"""
    mixture: Literal["sum", "recorded"] = "sum"
    """What was separated into anybody's `estimates`: the sum of the references, or the recorded mixture."""
    probes: Probes = ()
    """Score also what Test.py separated for these, and tell how much each changes."""
    metrics: Literal["cheap", "all"] = "cheap"
    """`all` adds ISR, SIR and SAR of BSS Eval and the log-spectral distance, which take many times as long."""
    oracles: Oracles = ()
    """Ideal masks to score beside the estimates: IBM, IRM, MWF (`Metrics/oracles.py`)."""
    jobs: Jobs = -1
    """Tracks scored at a time, as joblib counts: -1 is one a core."""
    scheduler: str = ""
    """Address of a Dask scheduler, like tcp://host:8786, whose workers score in place of this machine's cores."""
    fresh: bool = False
    """Score all tracks again, also those that were scored before."""
    out: str = ""
    """Folder for the scores, OUT/<split>; empty takes RUN/scores, needed with `estimates`."""


# ---------------------------------------------------------------- presets: differences from the defaults above

_VOICE = ("accompaniment", "vocals")
_BAND = ("bass", "drums", "other", "vocals")
_ROUNDS: dict[str, Any] = {"second_round": True, "checkpoint_every": 500}
_URMP: dict[str, dict[str, Any]] = {
    "model": {"conditioning": "outer", "places": ("bottleneck",)},
    "augmentation": {"gain": (1.0, 1.0)},
    "training": {
        "steps": 200_000,
        "batch_size": 64,
        "learning_rate": 1e-5,
        "decay": "exponential",
        "decay_rate": 0.96,
        "decay_steps": 2_000,
        "loss": "sum_squared",
        "precision": "mixed_bfloat16",
        "patience": 0,
        "checkpoint_every": 500,
    },
}

_UNET_SPECTROGRAM: dict[str, Any] = {
    "model": {"network": "unet_spectrogram"},
    "data": {"sources": _VOICE, "sample_rate_hz": 8_192, "output_samples": 98_304},
    "training": {"batch_size": 4},
}

_DEMO_LABELS = {"output": "consistent", "conditioning": "film", "places": ("every", "output")}
_DEMO: dict[str, dict[str, Any]] = {
    "model": {"levels": 7, "filters": 16, **_DEMO_LABELS},
    "data": {"sample_rate_hz": 11_025, "output_samples": 8_192},
    "training": {
        "steps": 600,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "decay": "cosine",
        "loss": "mse",
        "validate_every": 150,
    },
}

PRESETS: Mapping[str, Tree] = {
    # Minutes on two CPU cores with the embedded data set: shows the whole way, and proves nothing about a paper.
    "demo": _DEMO,
    # Slizovskaia, Kim, Haro, Gomez (ICASSP 2019, arXiv 1811.01850) and the code published with it: no augmentation,
    # no validation, 8 TPU cores. Labels as an outer product at the bottleneck, there called multiplicative.
    "urmp": _URMP,
    # The same network and arithmetic on fewer and longer excerpts: as much mixture in a batch, of which 4.5 times as
    # much is supervised, because a smaller share of it is context.
    "urmp_wide": _URMP
    | {
        "data": {"output_samples": 147_461},
        "training": _URMP["training"] | {"batch_size": 33},
    },
    # VIMSS's code for MUSDB18: as above with four sources and no labels, mean squared error and a constant rate.
    "musdb": {
        "data": {"sources": _BAND},
        "augmentation": {"gain": (1.0, 1.0)},
        "training": {"batch_size": 64, "patience": 0, "checkpoint_every": 500},
    },
    # Stoller, Ewert, Dixon (ISMIR 2018, arXiv 1806.03185), table 1, under the names of the code published with it.
    # Epochs of 2000 steps, early stop after 20, then a second round with twice the batch and a tenth of the rate.
    "baseline": {
        "model": {"padding": "same", "output": "direct"},
        "data": {"sources": _VOICE},
        "training": _ROUNDS,
    },  # M1
    "baseline_diff": {"model": {"padding": "same"}, "data": {"sources": _VOICE}, "training": _ROUNDS},  # M2
    "baseline_context": {"data": {"sources": _VOICE}, "training": _ROUNDS},  # M3
    "waveunet": {"data": {"sources": _VOICE}, "training": _ROUNDS},  # M3 as well: the paper's network and nothing else
    "baseline_stereo": {"data": {"sources": _VOICE, "channels": 2}, "training": _ROUNDS},  # M4
    "full": {"model": {"resampling": "learned"}, "data": {"sources": _VOICE, "channels": 2}, "training": _ROUNDS},  # M5
    "full_44KHz": {  # M5-HighSR
        "model": {"resampling": "learned"},
        "data": {"sources": _VOICE, "channels": 2, "sample_rate_hz": 44_100},
        "training": _ROUNDS,
    },
    "baseline_context_smallfilter_deep": {  # of the code alone
        "model": {"levels": 14, "down_size": 5, "up_size": 1},
        "data": {"sources": _VOICE},
        "training": _ROUNDS,
    },
    "full_multi_instrument": {"data": {"sources": _BAND, "channels": 2}, "training": _ROUNDS},  # M6
    "baseline_comparison": {  # M7, as wide as the U-Net on spectrograms that it is compared with
        "model": {"filters": 34},
        "data": {"sources": _VOICE, "sample_rate_hz": 8_192, "output_samples": 98_560},
        "training": _ROUNDS | {"batch_size": 4},
    },
    # Jansson et al. (ISMIR 2017) as that paper compared it: the error of the audio, or of the magnitudes.
    # 128 frames, 12 s; the published excerpt of 98560 samples has the 128 before and after as well.
    "unet_spectrogram": _UNET_SPECTROGRAM,
    "unet_spectrogram_l1": _UNET_SPECTROGRAM | {"training": _UNET_SPECTROGRAM["training"] | {"loss": "magnitudes"}},
    # The demo's task for networks of today, for the demo's time: shorter batches of longer excerpts at twice the rate.
    "band_split": _DEMO
    | {
        "model": {"network": "band_split", **_DEMO_LABELS},
        "data": _DEMO["data"] | {"output_samples": 16_384},
        "training": _DEMO["training"] | {"steps": 1200, "validate_every": 300, "batch_size": 4, "learning_rate": 2e-3},
    },
    "lstm_unet": _DEMO
    | {
        "model": {"network": "lstm_unet", **_DEMO_LABELS},
        "data": _DEMO["data"] | {"output_samples": 16_384},
        "training": _DEMO["training"] | {"steps": 2400, "validate_every": 600, "batch_size": 4, "learning_rate": 2e-3},
    },
    # Stoller's Wave-U-Net-Pytorch (2019), with its defaults: its 6 levels count the bottleneck.
    "improved": {
        "model": {
            "levels": 5,
            "filters": 32,
            "growth": "double",
            "down_size": 5,
            "up_size": 5,
            "stride": 4,
            "resampling": "lowpass",
            "residual": True,
            "normalisation": "group",
            "activation": "linear",
            "output": "direct",
            "separate": True,
        },
        "data": {"sources": _BAND, "channels": 2, "sample_rate_hz": 44_100, "output_samples": 88_200},
        "training": {"batch_size": 4, "learning_rate": 1e-3, "decay": "cosine", "loss": "l1"},
    },
}

ORIGINS: Mapping[str, str] = {
    "demo": "of this repository",
    "urmp": "Slizovskaia et al. 2019",
    "urmp_wide": "of this repository",
    "musdb": "VIMSS's code",
    "baseline": "Stoller et al. 2018, M1",
    "baseline_diff": "Stoller et al. 2018, M2",
    "baseline_context": "Stoller et al. 2018, M3",
    "waveunet": "Stoller et al. 2018, M3",
    "baseline_stereo": "Stoller et al. 2018, M4",
    "full": "Stoller et al. 2018, M5",
    "full_44KHz": "Stoller et al. 2018, M5-HighSR",
    "baseline_context_smallfilter_deep": "Stoller's code",
    "full_multi_instrument": "Stoller et al. 2018, M6",
    "baseline_comparison": "Stoller et al. 2018, M7",
    "unet_spectrogram": "Jansson et al. 2017, loss on audio",
    "unet_spectrogram_l1": "Jansson et al. 2017, loss on magnitudes",
    "improved": "after Wave-U-Net-Pytorch, 2019",
    "band_split": "after Luo and Yu 2023",
    "lstm_unet": "after Défossez et al. 2019",
}
"""Where each preset comes from."""

GRIDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    # The question of the original: does conditioning on labels help, which method, and where?
    "conditioning": {
        "model.conditioning": ("concat", "additive", "multiplicative", "film"),
        "model.places": ("bottleneck", "every"),
        "seed": ("1", "2", "3"),
    },
}
"""What Sweep.py varies, by name."""

# ---------------------------------------------------------------- checks

Schema = TypeVar("Schema", bound=Group)


class Contradiction(ValueError):
    """Settings that are valid one by one and not together."""


def to_dict(config: Group) -> dict[str, Any]:
    """Nested dicts of plain values, as Sacred and json keep them."""
    return config.model_dump(mode="json")


def flat(tree: Tree, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested dicts, as words, by their dotted path."""
    for key, value in tree.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from flat(value, where)
        else:
            yield where, ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def from_dict(schema: type[Schema], tree: Tree) -> Schema:
    """Builds `schema` from a tree that a run stored or Sacred hands over; keys left out take their default.

    Raises:
        ValueError: one line about the first mistake: its dotted path, what was expected, what was received.
    """
    if "seed" not in schema.model_fields:  # Sacred adds one to every configuration
        tree = {key: value for key, value in tree.items() if key != "seed"}
    return _validated(schema, tree)


def filled(tree: Tree) -> Tree:
    """A run's stored configuration with the defaults of keys that the version which stored it did not know."""
    try:
        return to_dict(from_dict(Training, tree))
    except ValueError:
        return tree


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two configurations by dotted key, in words."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return [f"{key} was {before.get(key, 'not there')} and is {now.get(key, 'not there')}" for key in keys]


def resolve(schema: type[Schema], presets: Mapping[str, Tree], names: Sequence[str], updates: Tree) -> Schema:
    """The configuration that a command line means: defaults, then the named presets in order, then `key=value`.

    Args:
        schema: what may be set.
        presets: differences from the defaults by name.
        names: presets to apply; a path ending in .json is read as one, for instance another run's config.json.
        updates: nested values that win over the presets.

    Raises:
        ValueError: one line about the first mistake.
    """
    tree: Tree = {}
    for name in names:
        tree = _merged(tree, _preset(name, presets))
    return _validated(schema, _merged(tree, updates))


def alternatives(names: Sequence[str], key: str, value: str, others: Mapping[str, str]) -> list[str]:
    """The values that `key=value` of a grid means: one if it is valid as a whole, else those between slashes or commas.

    Args:
        names: the presets that it changes.
        key: dotted.
        value: as on a command line.
        others: what other keys say, where it decides which keys there are: `model.network`.

    Raises:
        ValueError: one line about the first value that is none.
    """
    faults = []
    for values in ([value], value.split("/"), value.split(",")):
        try:
            for each in values:
                with contextlib.suppress(Contradiction):  # perhaps not with what the other keys say
                    resolve(Training, PRESETS, names, nested({**others, key: Word(each)}))
            return values
        except ValueError as error:
            faults.append(error)
    raise faults[1 if "/" in value else -1]


def nested(keys: Mapping[str, Any]) -> Tree:
    """Values by dotted key as nested dicts."""
    tree: dict[str, Any] = {}
    for key, value in keys.items():
        *groups, last = key.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = value
    return tree


def _preset(name: str, presets: Mapping[str, Tree]) -> Tree:
    if name in presets:
        return presets[name]
    if name.endswith(".json"):
        return _stored(Path(name))
    known = ", ".join(presets) or "none"
    near = _did_you_mean(name, {preset: preset for preset in presets})
    raise ValueError(f"unknown preset '{name}'{near}; known presets: {known}")


def _stored(path: Path) -> Tree:
    try:
        tree = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not json: {error}") from None
    if not isinstance(tree, dict):
        raise ValueError(f"{path} must hold a configuration as a json object; received a {type(tree).__name__}")
    return {key: value for key, value in tree.items() if key != "fresh"}  # said of that run's start, not of a repeat's


def _merged(base: Tree, update: Tree) -> Tree:
    """`base` changed by `update`, group by group; another network keeps the keys that all networks have."""
    if update.get("network", now := base.get("network", "wave_unet")) != now:
        base = {key: value for key, value in base.items() if key in Separator.model_fields}
    both = {k: _merged(base[k], v) for k, v in update.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **update, **both}


def _validated(schema: type[Schema], tree: Tree) -> Schema:
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        first, *others = error.errors()
        more = f" (and {len(others)} more)" if others else ""
        kind = Contradiction if _contradicts(first) else ValueError
        raise kind(_one_line(schema, first) + more) from None


def _one_line(schema: type[Group], mistake: Any) -> str:
    networks = [step for step in mistake["loc"] if step in NETWORKS]  # pydantic's note of which one was meant
    path, received = ".".join(str(step) for step in mistake["loc"] if step not in networks), mistake["input"]
    if mistake["type"] == "extra_forbidden":
        return _unknown_key(list(_paths(schema, *networks)), path, received)
    if mistake["type"] == "tuple_type" and isinstance(received, dict):
        return f"'{path}' must be set as a whole, like {path}=a,b; received {path}.{next(iter(received))}=..."
    if mistake["type"] == "union_tag_invalid":
        path, received, choices = f"{path}.network", received["network"], {name: name for name in NETWORKS}
        return f"'{path}' must be one of {', '.join(choices)}; received {received!r}{_did_you_mean(received, choices)}"
    if mistake["type"] in ("model_type", "model_attributes_type"):
        return f"'{path}' is a group of keys, like {path}.key=value; received {path}={received!r}"
    if mistake["type"] == "missing":
        return f"'{path}' is missing; received {received!r}"
    expected = re.sub(r"^(\w+ should|Value error, must)", "must", mistake["msg"]).partition(", unable to")[0]
    if _contradicts(mistake):
        return f"'{path}' {expected}" if path else f"the settings {expected}"
    choices = {word: word for word in re.findall(r"'(.*?)'", expected)} if mistake["type"] == "literal_error" else {}
    return f"'{path}' {expected}; received {received!r}{_did_you_mean(received, choices)}"


def _contradicts(mistake: Any) -> bool:
    """Whether keys are at fault together."""
    return mistake["type"] == "value_error" and isinstance(mistake["input"], dict)


def _unknown_key(keys: list[str], path: str, received: Any) -> str:
    while isinstance(received, dict) and received:  # `modle.levels=5` is unknown from `modle` on; name it whole
        key = next(iter(received))
        path, received = f"{path}.{key}", received[key]
    near = _did_you_mean(path, {key.rpartition(".")[2]: key for key in keys} | {key: key for key in keys})
    group = path.partition(".")[0]
    known = [key for key in keys if key.startswith(group + ".")] or list(dict.fromkeys(k.split(".")[0] for k in keys))
    return f"unknown key '{path}'{near or '; known: ' + ', '.join(known)}"


def explained(config: Group, path: str = "") -> Iterator[str]:
    """Every key of a configuration with its value, what it may be, and its documentation, as lines for a screen."""
    for name, field in type(config).model_fields.items():
        value, key = getattr(config, name), f"{path}{name}"
        document = " ".join((field.description or "").split())
        if isinstance(value, Group):
            about = document or (type(value).__doc__ or "").strip().partition("\n")[0]
            yield from ("", f"{key}: {about}", *explained(value, f"{key}."))
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield f"  {key}={text}{_choices(field)}"
        yield from textwrap.wrap(document, 110, initial_indent=" " * 8, subsequent_indent=" " * 8)


def _choices(field: Any) -> str:
    """` (one of a, b)`, ` (at least 1)`; empty where anything goes."""
    words = [kind for kind in _kinds(field) if isinstance(kind, str)]
    words = list(NETWORKS) if set(words) & set(NETWORKS) else words
    if words:
        return f"  ({', '.join(words)})"
    names = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [f"{names[key]} {getattr(each, key)}" for each in field.metadata for key in names if hasattr(each, key)]
    return f"  ({', '.join(bounds)})" if bounds else ""


def _paths(schema: type[Group], network: str = "wave_unet") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        group = NETWORKS[network] if WaveUNet in _kinds(field) else field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            yield from (f"{name}.{path}" for path in _paths(group))
        else:
            yield name


def _did_you_mean(word: object, known: Mapping[str, str]) -> str:
    """The end of an error: the name nearest to `word`; `known` maps what may be typed to the name that is meant."""
    initials = {"".join(part[0] for part in name.split("_") if part): name for name in known if "_" in name}
    short = initials.get(str(word).rpartition(".")[2])  # `lr` for learning_rate
    near = [short] if short else difflib.get_close_matches(str(word), known, 1)
    return f"; did you mean '{known[near[0]]}'?" if near else ""
