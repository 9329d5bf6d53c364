"""The folder of a run: what it holds, and what that says of the run."""

import contextlib
import json
import shlex
from pathlib import Path
from typing import Any

from Files import require_path

RUNS = "runs"
BEST = "best.keras"
STATE, PREVIOUS_STATE = "state.npz", "state.previous.npz"
LOG, CURVE = "log.jsonl", "curve.png"
OFFENDING = "offending.npz"  # the examples whose loss was no number
SPECTROGRAMS = "spectrograms.png"
SACRED_FILES = ("config.json", "cout.txt", "info.json", "metrics.json", "run.json")
TRAINING_FILES = (BEST, STATE, PREVIOUS_STATE, LOG, CURVE, OFFENDING, SPECTROGRAMS)
BOARD = "tensorboard"
TESTED = "test.json"  # beside the estimates of a split, when all are there
CLIPS = "clips.json"  # beside the clips of a split
RANKS = ("best", "median", "worst")  # of the tracks whose clips are kept

# ---------------------------------------------------------------- what it says of its run


def stored_config(run_dir: str | Path) -> dict[str, Any]:
    """The configuration that a run was started with.

    Raises:
        FileNotFoundError: there is no such folder, or it is no run's.
        ValueError: its config.json is damaged.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise FileNotFoundError(f"there is no run at {run_dir}; {_known_runs(run_dir)}")
    path = run_dir / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run_dir} is no run: it has no config.json; {_known_runs(run_dir)}")
    remedy = f"put it back as it was, or start over:  {training_again(run_dir, '...')}"
    if Path(run_dir, BEST).is_file():
        remedy = f"{BEST} holds it too:  unzip -p {run_dir}/{BEST} vimss.json > {path}"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} is damaged (expected an object, received a {type(config).__name__}); {remedy}")
    return config


def _known_runs(near: Path) -> str:
    folders = {near, near.parent, Path(RUNS)}
    runs = sorted({str(path.parent) for folder in folders for path in folder.glob("*/config.json")})
    return f"known runs: {', '.join(runs)}" if runs else "make one with Training.py"


def training_again(run_dir: Path, settings: str = "") -> str:
    """The command that trains a run anew: in its place where that is `RUNS`, else under another name.

    Args:
        run_dir: the run.
        settings: those it was started with; from its config.json if empty.
    """
    in_place = run_dir.resolve().parent == Path(RUNS).resolve()
    name = f"name={shlex.quote(run_dir.name)} fresh=true" if in_place else "name=..."
    return f"python Training.py with {settings or shlex.quote(str(run_dir / 'config.json'))} {name}"


def status(run_dir: str | Path) -> str:
    """What Sacred last wrote of a run: RUNNING, COMPLETED, INTERRUPTED or FAILED; empty where there is none."""
    try:
        return str(json.loads(Path(run_dir, "run.json").read_text(encoding="utf-8"))["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def checkpoint(run_dir: str | Path, name: str = BEST) -> Path:
    """Path of a run's checkpoint.

    Raises:
        FileNotFoundError: there is no such run, it has not reached its first checkpoint, or has lost it.
    """
    stored_config(run_dir)
    path = Path(run_dir, name)
    if not path.is_file() and Path(run_dir, LOG).is_file():
        raise FileNotFoundError(f"{path} is gone; copy it back, or train it again:  {training_again(Path(run_dir))}")
    if not path.is_file():
        raise FileNotFoundError(f"the run {run_dir} has no checkpoint {name} yet; train it until its first validation")
    return path


# ---------------------------------------------------------------- what lies where


def estimates_dir(run_dir: str | Path, split: str, probe: str = "") -> Path:
    """Where a run keeps its estimates of a split: a folder for each track, a wav for each source."""
    return probe_dir(run_dir, probe) / "estimates" / split


def scores_dir(run_dir: str | Path, split: str, probe: str = "") -> Path:
    """Where a run keeps its scores of a split."""
    return probe_dir(run_dir, probe) / "scores" / split


def probe_dir(run_dir: str | Path, probe: str) -> Path:
    """Where a run keeps what it made when told something else than the truth; the run itself for no probe."""
    return Path(run_dir, "probes", probe) if probe else Path(run_dir)


def listening_dir(run_dir: str | Path, split: str) -> Path:
    """Where a run keeps clips of its best, median and worst track of a split, and clips.json about them."""
    return Path(run_dir, "listening", split)


def files_of_earlier_versions(folder: Path) -> list[str]:
    """What is in a run, or in a folder of scores, of versions that kept no record of what they wrote (`Files.Output`).

    Returns:
        Names relative to the folder, of files that may be there.
    """
    sources: list[str] = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        sources = [str(source) for source in json.loads((folder / "config.json").read_bytes())["data"]["sources"]]
    estimates = [*folder.glob("estimates/*"), *folder.glob("probes/*/estimates/*")]  # a kill left some unfinished
    files = [split / TESTED for split in estimates]
    files += [path for split in estimates for source in sources for path in split.glob(f"*/{source}.wav")]
    clips = ("mixture", *(f"{source}.{kind}" for source in sources for kind in ("reference", "estimate")))
    for split in folder.glob("listening/*"):
        files += [split / CLIPS, *(split / rank / f"{clip}.flac" for rank in RANKS for clip in clips)]
    for path in folder.rglob("tracks/scored.jsonl"):
        files += [path, *(path.parents[1] / name for name in ("scores.csv", "boxplot.png", "spectrograms.png"))]
        files += [path.parents[1] / f"{name}.{kind}" for name in ("summary", "probes") for kind in ("csv", "md")]
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                name = json.loads(line)["track"]
                files += [path.parent / f"{name}.{ending}" for ending in ("csv", "json")]
    names = []
    for path in files:
        with contextlib.suppress(ValueError):  # a name that leads elsewhere, which none of ours ever did
            names.append(require_path(path.relative_to(folder).as_posix()))
    return names
