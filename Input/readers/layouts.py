"""What the readers of data sets' folders share: which files are sound, names that are safe, splits that stay.

Every reader is a function from a folder to its tracks and remarks. It lists all faults, a line each, before it stops.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from ..prepared import JOURNAL, MANIFEST
from ..track_preparation import SourceTrack

SPLITS = ("train", "validation", "test")
AUDIO_SUFFIXES = frozenset(
    ".wav .wave .flac .aif .aiff .aifc .au .caf .w64 .rf64 .ogg .oga .opus .mp2 .mp3 .m4a .m4b .mp4 .m4v .aac .ac3 "
    ".wma .wmv .asf .mka .mkv .mov .webm .avi .3gp .ape .wv .tta .amr".split()
)


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, in order, without hidden files such as .DS_Store and ._mixture.wav.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def folders(folder: Path) -> list[Path]:
    """The visible folders in a folder, in order, without prepared data sets, which are not what they were made of."""
    return [path for path in visible(folder) if path.is_dir() and not _is_prepared(path)]


def _is_prepared(folder: Path) -> bool:
    found = [folder / name for name in (MANIFEST, JOURNAL) if (folder / name).is_file()]
    return any('"sample_rate_hz"' in path.read_text(encoding="utf-8", errors="replace") for path in found)


def audio_files(folder: Path) -> list[Path]:
    """The visible files in a folder whose ending is that of sound or video, in order."""
    return [path for path in visible(folder) if path.is_file() and path.suffix.lower() in AUDIO_SUFFIXES]


def files_below(root: Path) -> list[Path]:
    """The visible files in a folder and all folders below, in order; linked folders are followed, each folder once."""
    found, waiting, seen = [], [root], set()
    while waiting:
        folder = waiting.pop()
        if (place := folder.resolve()) in seen:
            continue
        seen.add(place)
        inside = visible(folder)
        found += [path for path in inside if path.is_file()]
        waiting += [path for path in inside if path.is_dir()]
    return sorted(found)


def other_files(root: Path) -> list[str]:
    """A remark on the files below `root` that are not read as sound; none where all are."""
    found = [path for path in files_below(root) if path.suffix.lower() not in AUDIO_SUFFIXES]
    prepared = [path.parent for path in found if _is_prepared(path.parent)]
    others = [path for path in found if not any(path.is_relative_to(folder) for folder in prepared)]
    if not others:
        return []
    return [f"{len(others)} file(s) without an ending of sound are left alone, such as {others[0].relative_to(root)}"]


def clean_name(text: str) -> str:
    """A name as it may stand in data.sources: small letters, digits, _ and -; empty where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9-]+", "_", plain).strip("_-")


def repeated(tracks: Iterable[SourceTrack]) -> list[str]:
    """A line for every track's name that is there twice; on disk they would be one folder."""
    seen: dict[str, SourceTrack] = {}
    faults = []
    for track in tracks:
        first = seen.setdefault(track.name, track)
        if first is not track:
            faults.append(
                f"{track.parts[0].path}: the track {track.name} of the split {track.split} is also in {first.split} "
                f"({first.parts[0].path}); rename or remove one"
            )
    return faults


def missing_splits(tracks: Iterable[SourceTrack]) -> list[str]:
    """A line for each of train and validation that has no track; none where all the tracks are for tests."""
    found = {track.split for track in tracks}
    if all(split.startswith("test") for split in found):
        return []
    return [
        f"no track is left for the split '{split}' (found: {', '.join(sorted(found))}); training needs it"
        for split in ("train", "validation")
        if split not in found
    ]


def stable_place(name: str) -> float:
    """A number in [0, 1) that depends on nothing but the name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / (1 << 48)


def stable_splits(names: Iterable[str], validation: float, test: float) -> dict[str, str]:
    """The split of each name, drawn by its hash, so that another name more or less moves none of the others.

    Of three names or more at least one is in each split: where the draw left one empty, the name that came nearest
    stands in, until another name is drawn for it. Fewer are all for training.

    Args:
        names: what to share out.
        validation: the share for validation, in [0, 1).
        test: the share for test, in [0, 1); 0 for no such split.
    """
    ordered = sorted(set(names), key=stable_place)
    if len(ordered) < len(SPLITS):
        return dict.fromkeys(ordered, "train")
    splits = {name: _split_at(stable_place(name), validation, test) for name in ordered}
    shares = {"test": test, "validation": validation, "train": 1 - validation - test}
    for split in [split for split, share in shares.items() if share > 0]:
        counts = {other: list(splits.values()).count(other) for other in SPLITS}
        if not counts[split]:
            largest = max(SPLITS, key=lambda other: counts[other])
            donors = [name for name in ordered if splits[name] == largest]
            # From 0 on the places are those of test, then validation, then train.
            splits[donors[0 if SPLITS.index(largest) < SPLITS.index(split) else -1]] = split
    return splits


def _split_at(place: float, validation: float, test: float) -> str:
    if place < test:
        return "test"
    return "validation" if place < test + validation else "train"
