"""What a script may be given: its own keys and the floors' options, the presets, and what a command line means by them.

`Options.py` is how keys are declared; the files of the folder `Presets` are what papers set.
"""

import contextlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from Input.augmentation import Augmentation
from Input.instruments import INSTRUMENTS
from Input.probes import Probe
from Input.streams import CONTEXTS
from Learning.options import Fit
from Models.options import NETWORKS, Model, Objective, Separator, WaveUNet, spelled_out, terms
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
    targets: Literal["classes", "parts"] = "classes"
    """What is separated: `classes`, each the sum of its parts, or `parts`: every player by himself, any number of them,
    each asked for by the label of his class."""
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
    """What Training.py may be given."""

    name: FolderName = ""
    """The run's folder below `runs`; empty takes the next free number."""
    fresh: bool = False
    """Start over instead of going on with an earlier run of this name."""
    continue_from: str = ""
    """Folder of a run whose best weights a new run begins with."""
    seed: int = Field(1337, ge=0, lt=2**32)
    """Fixes the first weights and every random draw of the data."""
    model: Model = WaveUNet()
    """The network: `network`, and the keys of that network."""
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    training: Optimisation = Optimisation()

    @model_validator(mode="after")
    def _fits_together(self) -> "Training":
        if self.training.processes > 1 and not self.name:
            raise ValueError("must have a name=... that all training.processes share")
        for _, _, output in terms(self.training.loss):
            if output not in self.model.emits:
                of = " or ".join(f"bce({name})" if name != "sources" else "mse" for name in self.model.emits)
                raise ValueError(
                    f"must have a training.loss of what model.network={self.model.network} emits, such as {of}, not "
                    f"{self.training.loss}"
                )
        contexts = self.model.contexts if isinstance(self.model, Separator) else {}
        named = [("model.contexts", name) for name in contexts]
        for key, name in [*named, *(("augmentation.drop", name) for name in self.augmentation.drop)]:
            if name not in CONTEXTS:
                raise ValueError(f"must name in {key} some of {', '.join(CONTEXTS)}, not {name}")
        if not isinstance(self.model, Separator):
            if self.data.targets == "parts":
                raise ValueError(f"must have data.targets=classes with model.network={self.model.network}")
        elif self.data.targets == "parts":
            within = [name for name in self.model.received if set(self.model.contexts[name].places) != {"output"}]
            if not within:
                raise ValueError(
                    "must have model.conditioning and model.places within the network, such as film and every, with "
                    "data.targets=parts: each part is asked for by its label"
                )
            if self.model.output == "difference":
                raise ValueError("must have model.output=direct or consistent with data.targets=parts")
        elif self.augmentation.drop.get("labels") and any("output" in each.places for each in contexts.values()):
            raise ValueError(
                "must have model.places without output with augmentation.drop.labels: where they gate, a source is "
                "silent whose label is withheld"
            )
        return self


class Test(Options):
    """What Test.py may be given; the model's numbers come from the run."""

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
    """Separate once more for each of these, given other labels than the true ones (`Input/probes.py`)."""


class Evaluate(Options):
    """What Evaluate.py may be given."""

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
    targets: Literal["classes", "parts"] = "classes"
    """What anybody's `estimates` are of: `classes`, or `parts`, one by one as 1_vn.wav, 2_vn.wav."""
    mixture: Literal["sum", "recorded"] = "sum"
    """What was separated into anybody's `estimates`: the sum of the references, or the recorded mixture."""
    probes: Distinct[Probe] = ()
    """Score also what Test.py separated for these, and show how much each changes."""
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
    return checked(schema, _merged(tree, _spelled_out(updates)))


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
        return _spelled_out(presets[name])
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
    # `fresh` was said of that run's start, not of a repeat's.
    return _spelled_out({key: value for key, value in tree.items() if key != "fresh"})


def _spelled_out(tree: Tree) -> Tree:
    """A configuration without the short keys of a model, so that what is said later wins in either form."""
    return {**tree, "model": spelled_out(tree["model"])} if "model" in tree else tree


def _merged(base: Tree, update: Tree) -> Tree:
    """`base` changed by `update`, group by group; another network keeps the keys that all separators have."""
    if (named := update.get("network", now := base.get("network", "wave_unet"))) != now and named in NETWORKS:
        kept = Separator.model_fields.keys() & NETWORKS[named].model_fields.keys()
        base = {key: value for key, value in base.items() if key in kept}
    both = {k: _merged(base[k], v) for k, v in update.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **update, **both}


# ---------------------------------------------------------------- presets


def _presets() -> tuple[dict[str, Tree], dict[str, str]]:
    """What each file of the folder Presets changes of the defaults, and where it comes from."""
    paths = sorted(Path(__file__).parent.glob("Presets/*.toml"))
    files = {path.stem: dict(_spelled_out(tomllib.loads(path.read_text(encoding="utf-8")))) for path in paths}
    origins, bases = ({name: file.pop(key, "") for name, file in files.items()} for key in ("origin", "based_on"))

    def whole(name: str) -> Tree:
        return _merged(whole(bases[name]), files[name]) if bases[name] else files[name]

    return {name: whole(name) for name in files}, origins


PRESETS, ORIGINS = _presets()
"""Differences from the defaults by name, and what published them."""
