"""A grid of settings -> runs: each is trained, tested and scored, and all are compared.

    python Sweep.py with demo data.prepared=demo/prepared name=loss training.loss=mse,l1 seed=1,2,3
    python Sweep.py with demo data.prepared=demo/prepared name=where model.places=bottleneck/every/every,output
    python Sweep.py with demo data.prepared=demo/prepared name=labels conditioning

Words are those of Training.py. A key with several values, separated by commas (by slashes where a value itself is a
list), makes a grid; so does the name of a grid in Config.py. Each run is runs/<name>-<its values>. What is done is not
done again, what was stopped goes on. The same command on several machines that share the folder works on one grid:
each takes the next run that no other has taken.
"""

import argparse
import itertools
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import Config
import Utils
from Experiment import is_taken, locked

ROOT = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and works on the grid."""
    options = _parser().parse_args(arguments)
    with Utils.errors_in_one_line("Sweep.py"):
        runs = grid(options.words)
        splits = tuple(options.splits.split(",")) if options.splits else ()
        print(f"{len(runs)} runs:", *(run.folder.name for run in runs), sep="\n  ")
        if not options.dry_run:
            work(runs, splits)
            report(runs, splits)


@dataclass(frozen=True)
class Cell:
    """One run of a grid: its folder, and the words that train it."""

    folder: Path
    words: tuple[str, ...]

    def is_done(self, splits: Sequence[str]) -> bool:
        """Whether it is trained, and scored on each split."""
        scored = all((Utils.scores_dir(self.folder, split) / "scores.csv").is_file() for split in splits)
        return scored and Utils.run_status(self.folder) == "COMPLETED"

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
    plain = [word for word in words if "=" not in word and word not in Config.GRIDS]
    keys = dict(pair.split("=", 1) for pair in words if "=" in pair)
    name = keys.pop("name", "sweep")
    choices = {key: Config.alternatives(plain, key, value) for key, value in keys.items()}
    for word in words:
        choices |= {key: list(values) for key, values in Config.GRIDS.get(word, {}).items()}
    varied = sorted((key for key, values in choices.items() if len(values) > 1), key="seed".__eq__)  # the seed last
    # All with one seed, then with the next: a whole table is soon there.
    outer_first = sorted(choices, key="seed".__ne__)
    cells = []
    for values in itertools.product(*(choices[key] for key in outer_first)):
        chosen = dict(zip(outer_first, values, strict=True))
        label = "-".join([name, *(_label(key, chosen[key]) for key in varied)])
        settings = [f"{key}={value}" for key, value in chosen.items()]
        Config.resolve(Config.Training, Config.PRESETS, plain, Config.nested({**chosen, "name": label}))
        cells.append(Cell(Path(Utils.RUNS, label), (*plain, *settings)))
    return cells


def _label(key: str, value: str) -> str:
    """A value as part of a folder's name, with its key where it is a number."""
    plain = value.replace(",", "_").replace("/", "_")
    return f"{key.rpartition('.')[2]}{plain}" if plain[:1].isdigit() else plain


def work(runs: Sequence[Cell], splits: Sequence[str]) -> None:
    """Does what nobody else does or has done.

    Raises:
        ValueError: one line for each run that failed.
    """
    faults = []
    for run in runs:
        with claimed(run) as free:
            if not free or run.is_done(splits) or is_taken(run.folder):
                continue
            for command in run.commands(splits):
                print(f"\n{shlex.join(['python', *command])}", flush=True)
                code = subprocess.run([sys.executable, ROOT / command[0], *command[1:]]).returncode
                if code == 130:
                    raise KeyboardInterrupt
                if code:
                    if not is_taken(run.folder):
                        faults.append(f"{run.folder} failed: {shlex.join(['python', *command])}")
                    break
    if faults:
        raise ValueError("\n".join(faults))


@contextmanager
def claimed(run: Cell) -> Iterator[bool]:
    """Whether a run is this sweep's to train, test and score: until the block ends no other sweep may.

    The lock of the run's own folder says only that somebody trains it.
    """
    folder = run.folder.with_name(".sweep") / run.folder.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = locked(folder)
    except ValueError:
        yield False
        return
    with lock:
        yield True


def report(runs: Sequence[Cell], splits: Sequence[str]) -> None:
    """Says what is left to do, and how to compare."""
    left = [run.folder.name for run in runs if not run.is_done(splits)]
    if left:
        print(f"{len(runs) - len(left)} of {len(runs)} runs are done; others work on: {', '.join(left)}")
    folders = [str(run.folder) for run in runs if run.is_done(splits)]
    for split in splits:
        if len(folders) > 1:
            print(
                f"compare them with  python Compare.py {shlex.join(folders)} --split {split} --out comparison/{split}"
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", default="test", help="to score each run on, as test,test_unseen_bank; '' for none")
    parser.add_argument("--dry-run", action="store_true", help="only list the runs")
    parser.add_argument("with_", choices=["with"], metavar="with")
    parser.add_argument("words", nargs="+", metavar="WORD", help="presets, grids, and key=value[,value]")
    return parser


if __name__ == "__main__":
    main()
