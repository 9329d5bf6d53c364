"""What may be set: the schemas (every key, its unit and why), the presets (what papers set), the checks.

`Experiment.py` hands it the words of a command line; this file alone decides what they mean.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from Input.augmentation import Augmentation
from Input.instruments import INSTRUMENTS
from Input.probes import Probe
from Learning.options import Fit
from Models.options import Model, Objective, Separator, WaveUNet
from Options import (
    Contradiction,
    Count,
    Counts,
    Distinct,
    FolderName,
    Group,
    Jobs,
    Name,
    Names,
    Options,
    Range,
    Tree,
    Word,
    checked,
    did_you_mean,
    from_dict,
    nested,
    to_dict,
)

from pydantic import Field, model_validator

Oracle = Literal["IBM", "IRM", "MWF"]
"""Ideal masks, the keys of `Metrics.ORACLES`: that floor is too slow to load for a command line."""


class Data(Options):
    """Where the audio comes from and how examples are cut from it."""

    prepared: str = ""
    """Folder of a prepared data set, made by Prepare.py; needed for training."""
    sources: Names = Field(tuple(INSTRUMENTS), min_length=1)
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
    mix: Range[Count] | None = None
    """Mix parts of different recordings, from so many to so many (2,3), instead of those of one track."""
    mix_same: bool = False
    """Whether `mix` may take several parts of one instrument."""
    cache: Literal["none", "device"] = "none"
    """`device`: the data set lies whole in the accelerator's memory; the training step cuts and mixes examples."""


class Optimisation(Objective, Fit):
    """How the weights are fitted, and to what end."""


class Training(Options):
    """What Training.py may be told."""

    name: FolderName = ""
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


class Test(Options):
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
    probes: Distinct[Probe] = ()
    """Separate once more for each of these, told something else than the truth (`Input/probes.py`)."""


class Evaluate(Options):
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
    probes: Distinct[Probe] = ()
    """Score also what Test.py separated for these, and tell how much each changes."""
    metrics: Literal["cheap", "all"] = "cheap"
    """`all` adds ISR, SIR and SAR of BSS Eval and the log-spectral distance, which take many times as long."""
    oracles: Distinct[Oracle] = ()
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


def filled(tree: Tree) -> Tree:
    """A run's stored configuration with the defaults of keys that the version which stored it did not know."""
    try:
        return to_dict(from_dict(Training, tree))
    except ValueError:
        return tree


def resolve(schema: type[Group], presets: Mapping[str, Tree], names: Sequence[str], updates: Tree) -> Group:
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
    return checked(schema, _merged(tree, updates))


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


def _preset(name: str, presets: Mapping[str, Tree]) -> Tree:
    if name in presets:
        return presets[name]
    if name.endswith(".json"):
        return _stored(Path(name))
    known = ", ".join(presets) or "none"
    near = did_you_mean(name, presets)
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
