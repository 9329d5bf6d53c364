"""What is wanted of a run: which audio files it separates, and the file of each stem. Quick to load."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from Files import STEMS, is_recorded
from Input.readers.layouts import AUDIO_SUFFIXES, files_below
from Input.writers import Format


@dataclass(frozen=True)
class Order:
    """What is wanted of an audio file.

    Args:
        path: the file.
        run_dir: the run that separates.
        playing: the class of each source that plays, for a conditioned run; empty for one that is not.
        stems: the sources to write.
        out: the folder of the output.
        filename: each stem's file below it, with {track}, {trackext}, {stem} and {ext}.
        format: how stems are written.
        clip_mode: what is done where stems exceed full scale and their format cannot: `rescale` lowers all stems of a
            file by one factor, `clamp` and `none` cut what is beyond.
    """

    path: Path
    run_dir: Path
    playing: tuple[str, ...]
    stems: tuple[str, ...]
    out: Path
    filename: str
    format: Format
    clip_mode: str

    @property
    def files(self) -> dict[str, str]:
        """The file of each stem, relative to the folder of the output."""
        parts = {"track": self.path.stem, "trackext": self.path.suffix[1:], "ext": self.format.ending}
        return {stem: self.filename.format(stem=stem, **parts) for stem in self.stems}


def require_apart(orders: Sequence[Order]) -> None:
    """Raises ValueError if an audio file lies in a folder of stems, or several stems would be one file."""
    files = [(order, file) for order in orders for file in order.files.values()]
    roots = {order.out.resolve() for order in orders}
    folders = {(order.out / file).parent.resolve() for order, file in files} - roots
    for order in orders:
        if inside := folders & set(order.path.resolve().parents):
            raise ValueError(
                f"{order.path} lies in {inside.pop()}, where stems are to be written; choose another --out"
            )
    if doubled := _repeated(str(order.out / file) for order, file in files):
        raise ValueError(
            f"several stems would be one file: {', '.join(doubled[:3])}; expected --filename with {{track}} and "
            f"{{stem}} that tells them apart. Received: {orders[0].filename}"
        )


def audio_files(paths: list[Path]) -> list[Path]:
    """The files named, and those in the folders named and below. What is left out is noted on stderr.

    Hidden files, and stems that this program wrote, are left out; linked folders are followed, each once.

    Raises:
        FileNotFoundError: if a folder holds none.
        ValueError: if two files have one name, so that both would write the same stems.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        below = files_below(path)
        inside = [each for each in below if each.suffix.lower() in AUDIO_SUFFIXES]
        others = [each for each in below if each.suffix.lower() not in AUDIO_SUFFIXES]
        own = {each for each in inside if is_recorded(each, STEMS)}
        for left_out, why in ((own, "that this program made"), (others, "without an ending of sound")):
            if left_out:
                some = ", ".join(str(each) for each in sorted(left_out)[:3])
                print(f"note: {len(left_out)} file(s) {why} are left out: {some}", file=sys.stderr)
        found = [each for each in inside if each not in own]
        if not found:
            raise FileNotFoundError(f"{path} holds no audio file to separate ({', '.join(sorted(AUDIO_SUFFIXES))})")
        files += found
    if doubled := _repeated(path.stem for path in files):
        raise ValueError(f"several files are called {', '.join(doubled)}; separate them into different --out folders")
    return files


def _repeated(names: Iterable[str]) -> list[str]:
    """The names that are there more than once, in order."""
    return sorted(name for name, count in Counter(names).items() if count > 1)
