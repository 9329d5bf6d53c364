"""A run + anybody's audio files -> stems.

    python Separate.py song.wav --run runs/demo --labels vn,vc --out separated
    python Separate.py folder/ other.flac --run runs/urmp --labels fl,cl --stems cl --float32
    python Separate.py song.wav --run runs/demo --recogniser runs/instruments
    python Separate.py folder/ --run runs/mine --mp3 --filename "{track} ({stem}).{ext}" -j 2

Writes OUT/<file's name>/<source>.wav with the file's own rate and length, and as many channels: a mono run separates
each channel on its own, a stereo run takes a mono file on both sides. Memory does not grow with the length of a file.
Nothing is overwritten but stems that this program wrote.
"""

import argparse
import sys
from pathlib import Path

import Runs
import Utils
from Files import require_path

FILENAME = "{track}/{stem}.{ext}"
PLACEHOLDERS = ("track", "trackext", "stem", "ext")


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and separates file after file."""
    options = _parser().parse_args(arguments)
    with Utils.errors_in_one_line("Separate.py"):
        from Actions.data import configuration_of, require_emits, wanted_stems
        from Actions.order import Order, audio_files, require_apart
        from Input.writers import Format

        config = configuration_of(options.run)
        Runs.checkpoint(options.run)
        require_emits(config, options.run, "sources")
        form = Format(options.ending, options.subtype, options.mp3_bitrate)
        clip_mode = options.clip_mode or ("none" if form.holds_all else "rescale")
        paths = audio_files(options.files)
        labels, faults = dict.fromkeys(paths, options.labels), list[str]()
        if options.recogniser:
            from Actions.recognition import proposed_labels

            labels, faults = proposed_labels(options.recogniser, config, paths)
        orders = [
            Order(path, options.run, tuple(playing), stems, options.out, options.filename, form, clip_mode)
            for path, playing in labels.items()
            for stems in [wanted_stems(config, playing, options.stems)]
        ]
        require_apart(orders)

        from Actions.separation import separate_files

        for _, remarks, fault in separate_files(orders, options.jobs):
            faults += [fault] if fault else []
            for remark in remarks:
                print(f"note: {remark}", file=sys.stderr)
        if faults:
            raise ValueError("\n".join(faults))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES", help="audio files, or folders of them")
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run, like runs/demo")
    parser.add_argument("-o", "--out", type=Path, default=Path("separated"), metavar="DIR", help="(default: separated)")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--labels", type=_names, default=[], metavar="vn,vc", help="the class of each source playing")
    known.add_argument("--recogniser", type=Path, metavar="RUN", help="a run that finds those classes in each file")
    parser.add_argument(
        "--stems", type=_names, default=[], metavar="vn", help="write only these (default: those of --labels, or all)"
    )
    parser.add_argument(
        "--filename",
        type=_filename,
        default=FILENAME,
        help=f'each stem below DIR (default: "{FILENAME}"; also {{trackext}})',
    )
    parser.add_argument(
        "-j", "--jobs", type=Utils.positive, default=1, metavar="N", help="files at a time (default: 1)"
    )
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--int24", dest="subtype", action="store_const", const="PCM_24", help="24 bits instead of 16")
    depth.add_argument("--float32", dest="subtype", action="store_const", const="FLOAT", help="wavs that never clip")
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument("--flac", dest="ending", action="store_const", const="flac", help="flac instead of wav")
    ending.add_argument("--mp3", dest="ending", action="store_const", const="mp3", help="mp3 instead of wav")
    parser.add_argument(
        "--mp3-bitrate", type=Utils.positive, default=320, metavar="KBPS", help="of mp3, in kbit/s (default: 320)"
    )
    parser.add_argument(
        "--clip-mode",
        choices=("rescale", "clamp", "none"),
        help="where stems exceed full scale: lower all stems of a file by one factor, or cut what is beyond "
        "(default: rescale; with --float32 they stay as they are)",
    )
    parser.set_defaults(subtype="PCM_16", ending="wav")
    return parser


def _names(text: str) -> list[str]:
    return [name for name in (each.strip() for each in text.split(",")) if name]


def _filename(text: str) -> str:
    try:
        one, other = (text.format(**dict.fromkeys(PLACEHOLDERS, "x") | {"stem": stem}) for stem in ("a", "b"))
        require_path(one)
        if one == other:
            raise ValueError("it is one file for all stems")
    except (ValueError, KeyError, IndexError) as error:
        raise argparse.ArgumentTypeError(
            f"expected a relative path with {{stem}}, and perhaps {{track}}, {{trackext}} and {{ext}}. "
            f"Received: {text} ({error})"
        ) from None
    return text


if __name__ == "__main__":
    main()
