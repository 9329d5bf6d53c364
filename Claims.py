"""Who trains a run: one process at a time has its folder, to begin in it, to go on, or to start over."""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import Config
import Options
import Runs
import Utils
from Files import OWN, RECORD, Output, clear_unfinished, whole_file

FREE = ("name", "fresh", "training.processes")  # settings that may change between the parts of a run


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
        config: the run's, whose `fresh` is whether it starts over.

    Raises:
        ValueError: if the folder is no run, that of another configuration and not to start over, or in the hands of
            another process.
    """
    if not folder.exists():
        return
    if not _is_run(folder) and not _is_empty(folder):
        raise ValueError(f"{folder} exists already and is no run: choose another name=...")
    for name in (*Runs.SACRED_FILES, *Runs.TRAINING_FILES):
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
    output.adopt(Runs.files_of_earlier_versions(folder))
    output.remove(output.names())
    for name in (*Runs.SACRED_FILES, *Runs.TRAINING_FILES):
        (folder / name).unlink(missing_ok=True)
    board = folder / Runs.BOARD
    if board.is_symlink():
        return  # it may hold the events of other runs
    for path in board.glob("events.out.tfevents.*"):
        path.unlink()
    with contextlib.suppress(OSError):  # there is none, or people's files are in it
        board.rmdir()


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a run; people keep files called config.json too."""
    beside = (folder / OWN / RECORD, folder / Runs.BEST, folder / Runs.STATE)
    return (folder / "config.json").is_file() and (any(path.is_file() for path in beside) or bool(Runs.status(folder)))


def _is_empty(folder: Path) -> bool:
    """Whether nothing is in a folder, or a run that stopped before it wrote anything of its own."""
    names = {path.name for path in folder.iterdir()} - {".lock", OWN}
    is_run = (folder / OWN / RECORD).is_file() or Runs.status(folder)
    return not names or bool(is_run and names <= set(Runs.SACRED_FILES) and not Output(folder).names())


def differences(folder: Path, config: Options.Tree) -> list[str]:
    """The settings in which a run differs from a configuration, in words."""
    stored, wanted = (
        {key: value for key, value in Options.flat(tree) if key not in FREE}
        for tree in (Config.filled(Runs.stored_config(folder)), json.loads(json.dumps(config)))
    )
    return Options.changes(stored, wanted)


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
