"""A grid of settings: the runs that it means, and working on them, beside other processes that do.

A run that another process trains, tests or scores is left to it.
"""

import itertools
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import Claims
import Config
import Options
import Runs
from Models.options import NETWORKS

ROOT = Path(__file__).resolve().parents[1]
GRIDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    # The question of the original: does conditioning on labels help, which method, and where?
    "conditioning": {
        "model.conditioning": ("concat", "additive", "multiplicative", "film"),
        "model.places": ("bottleneck", "every"),
        "seed": ("1", "2", "3"),
    },
}
"""Grids by name: what each varies."""


@dataclass(frozen=True)
class Cell:
    """One run of a grid: its folder, the words that train it, and what they mean."""

    folder: Path
    words: tuple[str, ...]
    settings: Options.Tree

    def require_unchanged(self) -> None:
        """Raises ValueError if the folder holds a finished run of other settings, which would pass for this one."""
        if Runs.status(self.folder) != "COMPLETED" or not (self.folder / "config.json").is_file():
            return  # Training.py itself refuses to go on with other settings
        if differing := Claims.differences(self.folder, self.settings):
            raise ValueError(
                f"the run {self.folder} was trained with other settings: {'; '.join(differing)}. Choose another "
                "name=... for this grid, or remove the folder"
            )

    def is_done(self, splits: Sequence[str]) -> bool:
        """Whether it is trained, and scored on each split."""
        scored = all((Runs.scores_dir(self.folder, split) / "scores.csv").is_file() for split in splits)
        return scored and Runs.status(self.folder) == "COMPLETED"

    def commands(self, splits: Sequence[str]) -> Iterator[list[str]]:
        """What trains, tests and scores it."""
        yield ["Training.py", "with", *self.words, f"name={self.folder.name}"]
        if splits:
            for script in ("Test.py", "Evaluate.py"):
                yield [script, "with", f"run={self.folder}", f"split={','.join(splits)}"]


def grid(words: Sequence[str]) -> list[Cell]:
    """The runs that words mean, in order.

    Raises:
        ValueError: one line about the first mistake in them.
    """
    plain = [word for word in words if "=" not in word and word not in GRIDS]
    keys = dict(pair.split("=", 1) for pair in words if "=" in pair)
    name = keys.pop("name", "sweep")
    choices = {key: list(values) for word in words for key, values in GRIDS.get(word, {}).items()}
    if "fresh" in keys:
        raise ValueError(
            "expected no fresh=...: a grid does what is missing. To start over choose another name=..., or remove "
            f"{Runs.RUNS}/{name}-*"
        )
    network = {key: value for key, value in keys.items() if key == "model.network" and value in NETWORKS}
    choices |= {key: Config.alternatives(plain, key, value, network) for key, value in keys.items()}
    varied = sorted((key for key, values in choices.items() if len(values) > 1), key="seed".__eq__)  # the seed last
    # All with one seed, then with the next: a whole table is soon there.
    outer_first = sorted(choices, key="seed".__ne__)
    cells = []
    for values in itertools.product(*(choices[key] for key in outer_first)):
        chosen = dict(zip(outer_first, values, strict=True))
        label = "-".join([name, *(_label(key, chosen[key]) for key in varied)])
        settings = [f"{key}={value}" for key, value in chosen.items()]
        config = Config.resolve(
            Config.Training,
            Config.PRESETS,
            plain,
            Options.nested({key: Options.Word(value) for key, value in {**chosen, "name": label}.items()}),
        )
        if config.training.processes > 1:
            raise ValueError("expected training.processes=1: the workers of a grid train runs of their own")
        cells.append(Cell(Path(Runs.RUNS, label), (*plain, *settings), Options.to_dict(config)))
    return cells


def _label(key: str, value: str) -> str:
    """A value as part of a folder's name, with its key where it is a number."""
    plain = re.sub(r"[^\w.-]", "_", value)
    return f"{key.rpartition('.')[2]}{plain}" if plain[:1].isdigit() else plain


def work(runs: Sequence[Cell], splits: Sequence[str]) -> list[str]:
    """Does what nobody else does or has done; returns a line for each run that failed.

    Raises:
        KeyboardInterrupt: if it was asked to stop, when what ran has saved.
    """
    faults = []
    for run in runs:
        with _claimed(run) as claim:
            if not claim or run.is_done(splits) or Claims.is_taken(run.folder):
                continue
            for command in run.commands(splits):
                print(f"\n{shlex.join(['python', *command])}", flush=True)
                code = _finished(command, claim)
                if code in (130, -signal.SIGINT, -signal.SIGTERM):
                    raise KeyboardInterrupt
                if code:
                    if not Claims.is_taken(run.folder):
                        faults.append(f"{run.folder} failed: {shlex.join(['python', *command])}")
                    break
    return faults


def _finished(command: Sequence[str], claim: TextIO) -> int:
    """Runs a script to its end; returns its exit status.

    Ctrl-C and SIGTERM are handed on to it, once each, and it is waited for while it saves. It holds the claim as well,
    so that its run stays its own until it ends, should this process be killed.
    """
    words = [sys.executable, str(ROOT / command[0]), *command[1:]]
    script = subprocess.Popen(words, pass_fds=(claim.fileno(),), start_new_session=True)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: script.send_signal(number)) for number in numbers}
    try:
        return script.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _claimed(run: Cell) -> Iterator[TextIO | None]:
    """What makes a run this sweep's to train, test and score until the block ends; None where it is another one's.

    The lock of the run's own folder means only that somebody trains it.
    """
    folder = run.folder.with_name(".sweep") / run.folder.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = Claims.locked(folder)
    except ValueError:
        yield None
        return
    with lock:
        yield lock


def summary(runs: Sequence[Cell], splits: Sequence[str]) -> Iterator[str]:
    """What is left to do, and how what is done is compared: a line each."""
    done = [run.folder for run in runs if run.is_done(splits)]
    if left := [run.folder.name for run in runs if run.folder not in done]:
        yield f"{len(done)} of {len(runs)} runs are done; others work on: {', '.join(left)}"
    if len(done) > 1:
        folders = shlex.join(map(str, done))
        for split in splits:
            yield f"compare them with  python Compare.py {folders} --split {split} --out comparison/{split}"
