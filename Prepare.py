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
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from Input.prepared import Prepared
from Input.readers import musdb, urmp
from Input.readers.layouts import SPLITS, missing_splits
from Input.readers.musdb import musdb_tracks
from Input.readers.own_stems import own_stems
from Input.readers.solos import solo_tracks
from Input.readers.urmp import urmp_tracks
from Input.track_preparation import SourceTrack
from Utils import errors_in_one_line, markdown_table, progress_calls

if TYPE_CHECKING:
    from Actions.doctor import Diagnosis


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and runs one command."""
    options = _parser().parse_args(arguments)
    with errors_in_one_line("Prepare.py"):
        options.command(options)


def synthetic(options: argparse.Namespace) -> None:
    """Renders the embedded data set."""
    from Actions.rendering import render_dataset  # here, as those below: scipy takes seconds to load

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


def prepare_layout(options: argparse.Namespace) -> None:
    """Prepares a folder in one of the layouts, and says how to train on it."""
    from Input.preparation import prepare

    tracks, remarks = options.layout.read(options)
    if faults := missing_splits(tracks):
        raise ValueError("\n".join(faults))
    with progress_calls(unit="track", label="preparing") as progress:
        remarks += prepare(
            tracks,
            options.out,
            sample_rate_hz=options.sample_rate,
            channels=options.channels,
            workers=options.workers,
            scheduler=options.scheduler,
            progress=progress,
        )
    for remark in remarks:
        print(f"note: {remark}")
    print(*_contents(options.out), *_next_commands(options.out, options.layout), sep="\n")


def _contents(out: Path) -> list[str]:
    """A line for each split of a prepared data set."""
    tracks, rate_hz = Prepared(out).manifest.tracks, Prepared(out).sample_rate_hz
    lines = []
    for split in sorted({track.split for track in tracks}, key=lambda split: (*SPLITS, split).index(split)):
        lengths = [track.samples for track in tracks if track.split == split]
        lines.append(f"{out}: {split}: {len(lengths)} tracks, {sum(lengths) / rate_hz / 60:.1f} minutes")
    return lines


def _next_commands(out: Path, layout: "Layout") -> list[str]:
    """The commands that train on a prepared data set, or test on it where it is for nothing else."""
    prepared = Prepared(out)
    if all(track.split.startswith("test") for track in prepared.manifest.tracks):
        return [f"test on it: python Test.py with run=RUN {shlex.quote(f'prepared={out}')}"]
    instruments = ",".join(sorted({name for track in prepared.manifest.tracks for name in track.instruments}))
    keys = [
        f"data.prepared={out}",
        f"data.sample_rate_hz={prepared.sample_rate_hz}",
        f"data.channels={prepared.channels}",
    ]
    return [
        "train on it: python Training.py with "
        + shlex.join([preset, *keys, f"data.sources={sources or instruments}", *more])
        for preset, sources, *more in layout.presets
    ]


def check_prepared(options: argparse.Namespace) -> None:
    """Examines a prepared data set: what it holds, and what is wrong with it."""
    from Actions.doctor import examine

    with progress_calls(unit="track", label="checking") as progress:
        found = examine(options.prepared, workers=options.workers, progress=progress)
    _print_tables(found)
    for remark in found.remarks:
        print(f"note: {remark}")
    for leak in found.leaks:
        print(f"leak: {leak}")
    if found.faults:
        raise ValueError("\n".join(found.faults))
    print(f"{options.prepared}: every file is what was prepared; {len(found.leaks)} leaks between splits")


def _print_tables(found: "Diagnosis") -> None:
    print("recorded at", ", ".join(f"{rate_hz} Hz ({parts} parts)" for rate_hz, parts in found.rates_hz.items()), "\n")
    splits = [
        [row.split, ", ".join(f"{count} of {parts}" for parts, count in row.ensembles.items())]
        + [f"{row.tracks}", f"{row.groups}", f"{row.minutes:.1f}"]
        for row in found.splits
    ]
    print(markdown_table(["split", "tracks by number of parts", "tracks", "groups", "minutes"], splits), "\n")
    sources = [
        [row.split, row.source, f"{row.tracks}", f"{row.label_share:.0%}", f"{row.parts}", f"{row.minutes:.1f}"]
        + [f"{row.playing_in_its_tracks:.0%}", f"{row.playing_in_split:.0%}"]
        for row in found.sources
    ]
    headings = ["split", "source", "tracks", "of split", "parts", "minutes", "plays in its tracks", "in split"]
    print(markdown_table(headings, sources), "\n")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1. Received: {text}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 0.5:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 0.5. Received: {text}")
    return share


def _counts(text: str) -> tuple[int, ...]:
    counts = text.split(",")
    if not all(count.isdecimal() and int(count) > 1 for count in counts):
        raise argparse.ArgumentTypeError(f"expected numbers of parts from 2, such as 2,3. Received: {text}")
    return tuple(int(count) for count in counts)


def _list(text: str) -> list[str]:
    return text.split(",")


def _options(*names: str, **settings: object) -> tuple[tuple[str, ...], dict]:
    return names, settings


@dataclass(frozen=True)
class Layout:
    """A command for one layout of folders.

    Args:
        help: what it prepares.
        read: reads the tracks and remarks, given the options.
        presets: files of Presets, with the sources (empty for the instruments) and more words for the training command.
        channels: of the prepared audio, unless `--channels` says otherwise.
        options: what the command may be told besides.
    """

    help: str
    read: Callable[[argparse.Namespace], tuple[list[SourceTrack], list[str]]]
    presets: tuple[tuple[str, ...], ...]
    channels: int = 1
    options: tuple = ()


_SHARES = (
    _options("--validation", type=_share, default=0.1, metavar="SHARE", help="of the tracks (default 0.1)"),
    _options("--test", type=_share, default=0.1, metavar="SHARE", help="of the tracks (default 0.1)"),
)
LAYOUTS = {
    "urmp": Layout(
        "prepare a folder in URMP's layout",
        lambda options: urmp_tracks(options.folder, options.splits),
        (("urmp", ""),),
        options=(_options("--splits", choices=urmp.SPLITS, default="compositions"),),
    ),
    "musdb": Layout(
        "prepare MUSDB18 (stem.mp4) or MUSDB18-HQ (wav)",
        lambda options: musdb_tracks(options.folder, options.splits),
        (("full_multi_instrument", ""), ("baseline_stereo", "accompaniment,vocals")),
        channels=2,
        options=(_options("--splits", choices=musdb.SPLITS, default="musdb"),),
    ),
    "solos": Layout(
        "prepare <instrument>/<recording>, solos to be mixed",
        lambda options: solo_tracks(
            options.folder,
            tables=options.ranges,
            validation=options.validation,
            test=options.test,
            mix=options.mix,
        ),
        (("waveunet", "", "data.mix=2,3"),),
        options=(
            _options(
                "--ranges", type=Path, action="append", default=[], metavar="FILE", help="valid ranges, json or csv"
            ),
            *_SHARES,
            _options(
                "--mix", type=_counts, default=(2, 3), metavar="2,3", help="parts of the tracks to test on, in turn"
            ),
        ),
    ),
    "stems": Layout(
        "prepare your own <track>/<source>, in any format",
        lambda options: own_stems(options.folder, options.validation, options.test),
        (("waveunet", ""),),
        options=_SHARES,
    ),
}


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

    for name, layout in LAYOUTS.items():
        command = commands.add_parser(name, help=layout.help)
        command.add_argument("folder", type=Path, metavar="IN")
        command.add_argument("out", type=Path, metavar="OUT")
        for names, settings in layout.options:
            command.add_argument(*names, **settings)
        command.add_argument(
            "--sample-rate", type=_positive, default=22_050, metavar="HZ", help="of the training (default 22050)"
        )
        command.add_argument(
            "--channels", type=int, choices=(1, 2), default=layout.channels, help=f"(default {layout.channels})"
        )
        command.add_argument(
            "--scheduler", default="", metavar="tcp://HOST:PORT", help="of Dask, whose workers prepare instead"
        )
        command.set_defaults(command=prepare_layout, layout=layout)

    verify = commands.add_parser("check", help="examine a prepared data set: contents, faults, leaks between splits")
    verify.add_argument("prepared", metavar="PREPARED", help="its folder, or its address on object storage")
    verify.set_defaults(command=check_prepared)

    for command in commands.choices.values():
        command.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one a core)")
    return parser


if __name__ == "__main__":
    main()
