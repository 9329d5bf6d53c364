"""A grid of settings -> runs: each is trained, tested and scored, and all are compared.

    python Sweep.py with demo data.prepared=demo/prepared name=loss training.loss=mse,l1 seed=1,2,3
    python Sweep.py with demo data.prepared=demo/prepared name=where model.places=bottleneck/every/every,output
    python Sweep.py with demo data.prepared=demo/prepared name=labels conditioning

Words are those of Training.py. A key with several values, separated by commas (by slashes where a value itself is a
list), makes a grid; so does the name of a grid of `GRIDS`. Each run is runs/<name>-<its values>. What is done is not
done again, what was stopped goes on. The same command on several machines that share the folder works on one grid:
each takes the next run that no other has taken.
"""

import argparse

import Config
import Options
import Utils
from Actions.sweeping import GRIDS, grid, summary, work


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and works on the grid."""
    options = _parser().parse_args(arguments)
    with Utils.errors_in_one_line("Sweep.py"):
        runs = grid(options.words)
        splits = tuple(options.splits.split(",")) if options.splits else ()
        print(f"{len(runs)} runs:", *(run.folder.name for run in runs), sep="\n  ")
        for run in runs:
            run.require_unchanged()
        if not options.dry_run:
            faults = work(runs, splits)
            for line in summary(runs, splits):
                print(line)
            if faults:
                raise ValueError("\n".join(faults))


def _parser() -> argparse.ArgumentParser:
    settings = ["settings of Training.py, each with its default:", *Options.explained(Config.Training())]
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nGrids: {', '.join(GRIDS)}. Presets: {', '.join(Config.PRESETS)}",
        epilog="\n".join(settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--splits", default="test", help="to score each run on, as test,test_unseen_bank; '' for none")
    parser.add_argument("--dry-run", action="store_true", help="only list the runs")
    parser.add_argument("with_", choices=["with"], metavar="with")
    parser.add_argument("words", nargs="+", metavar="WORD", help="presets, grids, and key=value[,value]")
    return parser


if __name__ == "__main__":
    main()
