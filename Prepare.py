"""A data set's folder -> a prepared data set.

    python Prepare.py synthetic OUT              renders the embedded data set, in URMP's layout
    python Prepare.py urmp IN OUT                prepares a folder in URMP's layout
    python Prepare.py check PREPARED             reads everything again and compares checksums

Each command goes on where it was interrupted, and does nothing where nothing is left to do.
"""

import argparse
from pathlib import Path

from Input.preparation import check, prepare
from Input.synthetic import render_dataset
from Input.urmp import urmp_tracks
from Utils import errors_in_one_line, progress_calls


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and runs one command."""
    options = _parser().parse_args(arguments)
    with errors_in_one_line("Prepare.py"):
        options.command(options)


def synthetic(options: argparse.Namespace) -> None:
    """Renders the embedded data set."""
    with progress_calls(unit="piece", label="rendering") as progress:
        render_dataset(
            options.out,
            pieces=options.pieces,
            seconds=options.seconds,
            sample_rate_hz=options.sample_rate,
            seed=options.seed,
            bank=options.bank,
            lineups=options.lineups,
            workers=options.workers,
            progress=progress,
        )
    print(f"{options.out}: {options.pieces} pieces in URMP's layout")


def urmp(options: argparse.Namespace) -> None:
    """Prepares a folder in URMP's layout."""
    tracks, remarks = urmp_tracks(options.folder)
    with progress_calls(unit="track", label="preparing") as progress:
        remarks += prepare(
            tracks,
            options.out,
            sample_rate_hz=options.sample_rate,
            channels=options.channels,
            workers=options.workers,
            progress=progress,
        )
    for remark in remarks:
        print(f"note: {remark}")
    splits = {split: sum(track.split == split for track in tracks) for split in sorted({t.split for t in tracks})}
    print(f"{options.out}: {len(tracks)} tracks ({', '.join(f'{count} {split}' for split, count in splits.items())})")


def check_prepared(options: argparse.Namespace) -> None:
    """Compares every file of a prepared data set with its checksum."""
    with progress_calls(unit="file", label="checking") as progress:
        faults = check(options.prepared, progress)
    if faults:
        raise ValueError("\n".join(faults))
    print(f"{options.prepared}: every file is what was prepared")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    render = commands.add_parser("synthetic", help="render the embedded data set, in URMP's layout")
    render.add_argument("out", type=Path, metavar="OUT")
    render.add_argument("--pieces", type=_positive, default=44)
    render.add_argument("--seconds", type=float, default=30.0, help="length of a piece (default 30)")
    render.add_argument("--sample-rate", type=_positive, default=22_050, metavar="HZ")
    render.add_argument("--seed", type=int, default=0)
    render.add_argument("--bank", choices=("a", "b", "both"), default="b", help="recorded notes to train on")
    render.add_argument("--lineups", type=_list, metavar="vn_vc,fl_cl", help="instead of URMP's 44")
    render.set_defaults(command=synthetic)

    layout = commands.add_parser("urmp", help="prepare a folder in URMP's layout")
    layout.add_argument("folder", type=Path, metavar="IN")
    layout.add_argument("out", type=Path, metavar="OUT")
    layout.add_argument(
        "--sample-rate", type=_positive, default=22_050, metavar="HZ", help="of the training (default 22050)"
    )
    layout.add_argument("--channels", type=int, choices=(1, 2), default=1)
    layout.set_defaults(command=urmp)

    for command in (render, layout):
        command.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one a core)")

    verify = commands.add_parser("check", help="compare every file with its checksum")
    verify.add_argument("prepared", type=Path, metavar="PREPARED")
    verify.set_defaults(command=check_prepared)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1. Received: {text}")
    return int(text)


def _list(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
