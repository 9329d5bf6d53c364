"""The folder of a run: what is in it, what it says of its run, and who may write there.

One process at a time holds a run's folder, for as long as it keeps its `.lock`.
"""

import contextlib
import fcntl
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import Config
import Options
import Utils
from Files import OWN, RECORD, Output, clear_unfinished, require_path, whole_file

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
FREE = ("name", "fresh", "training.processes")  # settings that may change between the parts of a run

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


def differences(folder: Path, config: Options.Tree) -> list[str]:
    """The settings in which a run differs from a configuration, in words."""
    stored, wanted = (
        {key: value for key, value in Options.flat(tree) if key not in FREE}
        for tree in (Config.filled(stored_config(folder)), json.loads(json.dumps(config)))
    )
    return Options.changes(stored, wanted)


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


# ---------------------------------------------------------------- who may write there


@contextlib.contextmanager
def run_folder(folder: Path, config: Options.Tree) -> Iterator[None]:
    """Makes a folder a run's, of this configuration, for a training without Sacred; keeps other processes out of it.

    Raises:
        ValueError: as `make_room` and `begun` do.
    """
    make_room(folder, config)
    with begun(folder):
        if not (folder / "config.json").is_file():
            with whole_file(folder / "config.json") as partial:
                partial.write_text(Utils.json_text(config))
        yield


def begun(folder: Path) -> TextIO:
    """Locks the folder of a run that starts or goes on, and clears what a killed process left unfinished.

    Returns:
        What keeps other processes out until it is closed.

    Raises:
        ValueError: if another process trains the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = locked(folder)
    if not (folder / "config.json").is_file():
        Output(folder).adopt()  # from now on whatever it does not record is people's
    clear_unfinished(folder)
    return lock


def make_room(folder: Path, config: Options.Tree) -> None:
    """Clears the folder of a run that starts over.

    Args:
        folder: the run's, which need not be there.
        config: the run's, which says with `fresh` whether it starts over.

    Raises:
        ValueError: if the folder is no run, that of another configuration and not to start over, or in the hands of
            another process.
    """
    if not folder.exists():
        return
    if not _is_run(folder) and not _is_empty(folder):
        raise ValueError(f"{folder} exists already and is no run: choose another name=...")
    for name in (*SACRED_FILES, *TRAINING_FILES):
        if (folder / name).is_dir():
            raise ValueError(f"{folder / name} is a folder; expected a file of the run, or nothing yet: move it away")
    if config["fresh"] and (source := config.get("continue_from")) and Path(source).resolve() == folder.resolve():
        raise ValueError(f"{folder} cannot both start over and lend its weights: choose another name=...")
    if config["fresh"] or _is_empty(folder):
        with locked(folder):
            _clear(folder)
    elif differing := differences(folder, config):
        raise ValueError(
            f"the run {folder} was started with other settings: {'; '.join(differing)}. Choose another name=..., start "
            f"over with fresh=true, or begin a new run with its weights: name=... continue_from={folder}"
        )


def _clear(folder: Path) -> None:
    """Removes what earlier trainings, tests and scorings wrote into a locked folder; whatever is people's stays.

    The lock stays too; NFS would keep it there under another name.
    """
    output = Output(folder)
    output.adopt(files_of_earlier_versions(folder))
    output.remove(output.names())
    for name in (*SACRED_FILES, *TRAINING_FILES):
        (folder / name).unlink(missing_ok=True)
    board = folder / BOARD
    if board.is_symlink():
        return  # it may hold the events of other runs
    for path in board.glob("events.out.tfevents.*"):
        path.unlink()
    with contextlib.suppress(OSError):  # there is none, or people's files are in it
        board.rmdir()


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a run; people keep files called config.json too."""
    beside = (folder / OWN / RECORD, folder / BEST, folder / STATE)
    return (folder / "config.json").is_file() and (any(path.is_file() for path in beside) or bool(status(folder)))


def _is_empty(folder: Path) -> bool:
    """Whether nothing is in a folder, or a run that stopped before it wrote anything of its own."""
    names = {path.name for path in folder.iterdir()} - {".lock", OWN}
    is_run = (folder / OWN / RECORD).is_file() or status(folder)
    return not names or bool(is_run and names <= set(SACRED_FILES) and not Output(folder).names())


def is_taken(folder: Path) -> bool:
    """Whether another process has locked a folder, as one does that trains its run."""
    if not (folder / ".lock").exists():
        return False  # there is no such run yet
    try:
        locked(folder).close()
    except ValueError:
        return True
    return False


def locked(folder: Path) -> TextIO:
    """Keeps other processes out of a folder until the file that is returned is closed, or this process dies.

    Raises:
        ValueError: if another process is in.
    """
    file = open(folder / ".lock", "a")  # which leaves what may be in a file of that name
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ValueError(f"the run {folder} is being trained by another process") from None
    return file
