"""A data set's folder -> a prepared data set.

    python Prepare.py synthetic OUT              renders the embedded data set, in URMP's layout
    python Prepare.py urmp IN OUT                prepares a folder in URMP's layout
    python Prepare.py musdb IN OUT               prepares MUSDB18 (stem.mp4) or MUSDB18-HQ (wav)
    python Prepare.py solos IN OUT               prepares <instrument>/<recording>, solos to be mixed
    python Prepare.py stems IN OUT               prepares your own <track>/<source>, in any format
    python Prepare.py check PREPARED             examines everything: contents, damage, leaks between splits

Each command goes on where it was interrupted, and does nothing where nothing is left to do.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from Actions.preparing import LAYOUTS, prepare_layout
from Input.readers import musdb, urmp
from Utils import errors_in_one_line, positive, progress_calls


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, runs one command and prints what it says."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    with errors_in_one_line("Prepare.py"):
        for line in command(**options):
            print(line)


def synthetic(out: Path, pieces: int, **options: Any) -> list[str]:
    """Renders the embedded data set."""
    from Actions.rendering import render_dataset  # here, as in `check`: scipy takes seconds to load

    with progress_calls(unit="piece", label="rendering") as progress:
        render_dataset(out, pieces=pieces, progress=progress, **options)
    return [f"{out}: {pieces} pieces in URMP's layout"]


def check(prepared: str, workers: int | None) -> Iterator[str]:
    """Examines a prepared data set: what it holds, and what is wrong with it."""
    from Actions.doctor import report_of

    return report_of(prepared, workers)


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < 0.5:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a share from 0 to below 0.5. Received: {text}")


def _counts(text: str) -> tuple[int, ...]:
    counts = text.split(",")
    if not all(count.isdecimal() and int(count) > 1 for count in counts):
        raise argparse.ArgumentTypeError(f"expected numbers of parts from 2, such as 2,3. Received: {text}")
    return tuple(int(count) for count in counts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser

    render = add("synthetic", help="render the embedded data set, in URMP's layout")
    render.add_argument("out", type=Path, metavar="OUT")
    render.add_argument("--pieces", type=positive, default=44)
    render.add_argument("--seconds", type=float, default=30.0, help="length of a piece (default 30)")
    render.add_argument("--sample-rate", dest="sample_rate_hz", type=positive, default=22_050, metavar="HZ")
    render.add_argument("--seed", type=int, default=0)
    render.add_argument("--bank", choices=("a", "b", "both"), default="b", help="recorded notes to train on")
    lineups = "instead of URMP's 44"
    render.add_argument("--lineups", type=lambda text: text.split(","), metavar="vn_vc,fl_cl", help=lineups)
    render.set_defaults(command=synthetic)

    of = {name: add(name, help=f"prepare {layout.help}") for name, layout in LAYOUTS.items()}
    of["urmp"].add_argument("--splits", choices=urmp.SPLITS, default="compositions")
    of["musdb"].add_argument("--splits", choices=musdb.SPLITS, default="musdb")
    of["solos"].add_argument(
        "--ranges",
        dest="tables",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="valid ranges, json or csv",
    )
    for command in (of["solos"], of["stems"]):
        for part in ("--validation", "--test"):
            command.add_argument(part, type=_share, default=0.1, metavar="SHARE", help="of the tracks (default 0.1)")
    mix = "parts of the tracks to test on, in turn"
    of["solos"].add_argument("--mix", type=_counts, default=(2, 3), metavar="2,3", help=mix)
    for name, layout in LAYOUTS.items():
        command, rate, channels = of[name], "of the training (default 22050)", layout.channels
        command.add_argument("folder", type=Path, metavar="IN")
        command.add_argument("out", type=Path, metavar="OUT")
        command.add_argument(
            "--sample-rate", dest="sample_rate_hz", type=positive, default=22_050, metavar="HZ", help=rate
        )
        command.add_argument("--channels", type=int, choices=(1, 2), default=channels, help=f"(default {channels})")
        dask = "of Dask, whose workers prepare instead"
        command.add_argument("--scheduler", default="", metavar="tcp://HOST:PORT", help=dask)
        command.set_defaults(command=prepare_layout, layout=layout)

    verify = add("check", help="examine a prepared data set: contents, faults, leaks between splits")
    verify.add_argument("prepared", metavar="PREPARED", help="its folder, or its address on object storage")
    verify.set_defaults(command=check)
    for command in commands.choices.values():
        command.add_argument("--workers", type=positive, metavar="N", help="processes (default: one a core)")
    return parser


if __name__ == "__main__":
    main()
