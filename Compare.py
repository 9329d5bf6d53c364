"""Runs -> what differs between them: settings, scores, curves, sound.

    python Compare.py runs/a runs/b
    python Compare.py runs/a runs/b scores/somebody --split test_unseen_bank --out comparison

Each is a run that Evaluate.py has scored, or a folder of scores: Evaluate's, or json files in museval's form. All
numbers are of the tracks and sources that all have; differences are to the first. Runs that differ in their seed alone
are repeats of one: their means are compared, and how far they lie apart is told. OUT then holds report.html, which
needs nothing beside it and has sound inside, its tables as csv and its pictures as png.
"""

import argparse
from pathlib import Path

import Runs
import Utils


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and compares."""
    options = _parser().parse_args(arguments)
    with Utils.errors_in_one_line("Compare.py"):
        for folder in options.runs:
            if not folder.is_dir():
                Runs.stored_config(folder)  # raises an error that lists the runs there are

        from Actions.comparison import compare

        for table in compare(options.runs, options.split, options.out):
            print(f"\n{table.title}\n{Utils.markdown_table(table.headings, table.rows)}")
        print(f"\n{options.out}: {Utils.listing(options.out)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run, or a folder of scores")
    parser.add_argument("--split", default="test", help="which tracks (default: test)")
    parser.add_argument("-o", "--out", type=Path, default=Path("comparison"), help="folder (default: comparison)")
    return parser


if __name__ == "__main__":
    main()
