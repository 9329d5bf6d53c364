"""A run's configuration, and the prepared data set and sources that one names; quick to import."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import Config
import Options
import Runs
from Files import Output, require_name, sha256
from Input.prepared import Prepared
from Input.sources import Sources

import pydantic


class Tested(pydantic.BaseModel, frozen=True):
    """What test.json holds about estimates.

    Args:
        loss: its expression, and `value` its mean over so many `excerpts`.
        checkpoint: checksum of the weights; empty where an earlier version did not say.
        mixture: what was separated: `sum` or `recorded`.
        tracks: those that were separated.
    """

    loss: str = ""
    value: float | None = None
    excerpts: int = 0
    checkpoint: str = ""
    mixture: str
    tracks: tuple[str, ...]


class Clip(pydantic.BaseModel, frozen=True):
    """What clips.json holds about a track's clips; `gain` is what they were multiplied by."""

    rank: Literal["best", "median", "worst"]
    track: Annotated[str, pydantic.AfterValidator(require_name)]
    start_seconds: float
    seconds: float
    gain: float
    si_sdri_db: float | None


class Row(pydantic.BaseModel, frozen=True, extra="allow"):
    """What a line of log.jsonl holds about a validation."""

    step: int
    loss: float
    validation_loss: float


def read_json(path: Path, shape: Any, remedy: str) -> Any:
    """What a json file of this program holds.

    Args:
        path: the file.
        shape: the type of what it holds, as pydantic knows types.
        remedy: what makes the file anew, for the error.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return pydantic.TypeAdapter(shape).validate_json(path.read_bytes())
    except pydantic.ValidationError as error:
        raise ValueError(f"{path} is damaged ({_first(error)}); make it again with  {remedy}") from None


def read_log(run_dir: Path) -> list[dict[str, float]]:
    """The validations of a run; none where there is no log.

    Raises:
        ValueError: if a line is damaged.
    """
    path, rows = run_dir / Runs.LOG, []
    for number, line in enumerate(path.read_bytes().splitlines() if path.is_file() else [], 1):
        try:
            Row.model_validate_json(line)
        except pydantic.ValidationError as error:
            raise ValueError(
                f"{path} is damaged in line {number} ({_first(error)}); the command that trained {run_dir}, given "
                "again, writes it anew"
            ) from None
        rows.append(json.loads(line))
    return rows


def _first(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong, in words."""
    mistake = error.errors()[0]
    return ": ".join([*map(str, mistake["loc"]), mistake["msg"]])


def configuration_of(run_dir: str | Path) -> Config.Training:
    """The configuration that a run was started with.

    Raises:
        FileNotFoundError: there is no such folder, or it is no run's.
        ValueError: its config.json is damaged, or has a key that is not known.
    """
    tree = Runs.stored_config(run_dir)
    try:
        return Options.from_dict(Config.Training, tree)
    except ValueError as error:
        raise ValueError(
            f"{Path(run_dir, 'config.json')}: {error}; it was edited, or another version of this program wrote it: "
            "put it back as it was, or use that version"
        ) from None


def require_emits(config: Config.Training, run_dir: str | Path, output: str) -> None:
    """Raises ValueError if the network of a run does not emit `sources`, or which classes are `playing`."""
    emitted, verb = config.model.emits, {"sources": "separates", "playing": "recognises instruments"}[output]
    if output not in emitted:
        raise ValueError(
            f"expected a run that {verb}, whose network emits {output}. Received: {run_dir}, whose "
            f"model.network={config.model.network} emits {', '.join(emitted)}"
        )


def wanted_stems(config: Config.Training, labels: Sequence[str], stems: Sequence[str] = ()) -> tuple[str, ...]:
    """The sources of a recording that a run is to give back.

    Args:
        config: the run's.
        labels: the class of each source that plays.
        stems: those that are wanted; if none are named, those that play, or all.

    Raises:
        ValueError: if a name is unknown, or the run needs labels and has none.
    """
    named = stem_names(config.data, labels)
    for what, names, known in (("labels", labels, config.data.sources), ("stems", stems, named)):
        if unknown := sorted(set(names) - set(known)):
            raise ValueError(f"{what}: this run does not know {', '.join(unknown)}; it knows {', '.join(known)}")
    if "labels" in config.model.received and not labels:
        raise ValueError(
            f"this run needs labels, the sources that play, among {', '.join(config.data.sources)} (--labels a,b), or "
            "a run that finds them (--recogniser RUN)"
        )
    playing = named if config.data.targets == "parts" else tuple(dict.fromkeys(labels))
    return tuple(stems) or playing or named


def stem_names(data: Config.Data, labels: Sequence[str]) -> tuple[str, ...]:
    """What a run separates a recording into, in its order, given the class of each source that plays."""
    if data.targets == "parts":
        return tuple(f"{number}_{label}" for number, label in enumerate(labels, 1))
    return data.sources


def sources_of(data: Config.Data) -> Sources:
    """What the model emits."""
    return Sources(data.sources, data.sums, data.targets)


def opened(prepared: str, run_dir: str) -> Prepared:
    """The prepared data set of a run.

    Args:
        prepared: its folder or address.
        run_dir: the run that asks for it.

    Raises:
        FileNotFoundError, ValueError: if it is missing or damaged.
    """
    try:
        return Prepared(prepared)
    except FileNotFoundError:
        if "://" in prepared or Path(prepared).is_dir():
            raise
        raise FileNotFoundError(
            f"there is no prepared data set at {prepared} (looked for in {Path.cwd()}), where the run {run_dir} has "
            "it; name its folder with prepared=..."
        ) from None


def require_same_weights(run_dir: str | Path, made: Path, checksum: str, again: str) -> None:
    """Checks that a run still has the weights with which something was made.

    Args:
        run_dir: the run.
        made: the file with its checksum.
        checksum: of the checkpoint then; empty where an earlier version did not say.
        again: the command that makes it anew.

    Raises:
        ValueError: if the run has other weights now.
    """
    checkpoint = Path(run_dir, Runs.BEST)
    if not checkpoint.is_file():
        return  # the run was copied without its weights
    if checksum and checksum != sha256(checkpoint):
        raise ValueError(f"{made} was made with other weights than {checkpoint} holds now; make it again with  {again}")
    if not checksum and checkpoint.stat().st_mtime > made.stat().st_mtime:
        print(
            f"note: {checkpoint} is younger than {made}, which does not say what it was made with; to be sure:  {again}"
        )


def require_trainable_here(config: Config.Training) -> None:
    """Checks what a training needs, before an earlier run makes room for it.

    Raises:
        FileNotFoundError, ValueError: if the data set, or the run that lends its weights, is missing or does not fit.
    """
    prepared_for(config.data)
    if config.continue_from:
        Runs.checkpoint(config.continue_from)


def require_scorable(config: Config.Evaluate) -> None:
    """Checks that it is said what is scored against what.

    Raises:
        FileNotFoundError: if the run is missing.
        ValueError: if too little or too much is said, or the run is damaged.
    """
    if config.run:
        for key in ("estimates", "references", "sources", "sums"):
            if getattr(config, key):
                raise ValueError(f"expected run=RUN or estimates=DIR. Received: run={config.run} and {key}")
        if config.targets != "classes":
            raise ValueError(
                "targets is of estimates=DIR; a run knows whether its sources are parts. Received: run=RUN"
            )
        configuration_of(config.run)
    elif not config.estimates:
        raise ValueError("expected run=RUN or estimates=DIR. Received: neither")
    elif bool(config.prepared) == bool(config.references) or not config.out:
        raise ValueError("estimates=DIR needs out=DIR (for scores) and either prepared=PREPARED or references=DIR")
    elif config.probes:
        raise ValueError("probes are of runs: expected run=RUN. Received: estimates=DIR")


def require_current_scores(run_dir: Path, split: str, scores: Path) -> None:
    """Checks that the scores of a run are of the estimates that it has now, and those of its weights.

    Raises:
        ValueError: if they are of others.
    """
    tested = Runs.estimates_dir(run_dir, split) / Runs.TESTED
    if not tested.is_file():
        return  # a run without its estimates, or only a folder of scores
    again = " && ".join(f"python {script} with run={run_dir} split={split}" for script in ("Test.py", "Evaluate.py"))
    checksum = read_json(tested, Tested, again).checkpoint
    if not checksum:
        return  # an earlier version's, which does not say
    require_same_weights(run_dir, tested, checksum, again)
    if not Output(run_dir).is_current(scores.relative_to(run_dir).as_posix(), sha256(tested)):
        raise ValueError(f"{scores} is not of the estimates beside {tested}; make both again with  {again}")


def prepared_for(data: Config.Data) -> Prepared:
    """The prepared data set that a configuration names.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if none is named, or its rate or channels are not the configuration's.
    """
    if not data.prepared:
        raise ValueError("expected data.prepared=FOLDER, a data set that Prepare.py made. Received: none")
    prepared = Prepared(data.prepared)
    for name in ("sample_rate_hz", "channels"):
        if (wanted := getattr(data, name)) != (received := getattr(prepared, name)):
            raise ValueError(
                f"expected a data set with {name}={wanted}. Received: {data.prepared} with {received}; "
                f"prepare it again, or train with data.{name}={received}"
            )
    return prepared
