"""A folder in URMP's layout -> its tracks and parts. Source: Li et al. 2018, doi 10.5061/dryad.ng3r749."""

import dataclasses
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from Files import require_name

from ..instruments import INSTRUMENTS
from ..track_preparation import SourcePart, SourceTrack, recorded_mixture
from .layouts import visible

# Pieces of one title reuse the same takes (15/16, 17/18, 19/20, 21/22/23, 24/25, ...), so a split keeps a title whole.
# Test holds all 13 instruments; so does train. What is named nowhere is for training.
SPLIT_OF_TITLE = {
    **dict.fromkeys(("Spring", "GString", "March", "Maria", "Jerusalem", "Miserere", "Arioso"), "test"),
    **dict.fromkeys(("Dance", "Pavane", "Elise", "K515"), "validation"),
}


@dataclass(frozen=True)
class Published:
    """A split of a paper, by the numbers of the pieces: those for test, and those in neither half."""

    test: frozenset[int]
    left_out: frozenset[int] = frozenset()


PUBLISHED = {
    # Slizovskaia, Kim, Haro, Gomez (ICASSP 2019, arXiv 1811.01850): 40 pieces. Its lists were never published and are
    # lost; the code published with it counts 40 pieces up in two alphabetical runs, of 29 and of 11, which are taken
    # for training and test. The paper gives 30 and 10; its author remembers 11 for test.
    "icassp2019": Published(frozenset({1, 9, 13, 16, 18, 24, 28, 31, 35, 42, 44}), frozenset({2, 4, 5, 6})),
    # Gardner et al. (MT3, ICLR 2022, arXiv 2111.03017).
    "mt3": Published(frozenset({1, 2, 12, 13, 24, 25, 31, 38, 39})),
}
SPLITS = ("compositions", *PUBLISHED)


def urmp_tracks(root: Path, splits: str = "compositions") -> tuple[list[SourceTrack], list[str]]:
    """The tracks of a URMP-shaped folder, and remarks about what was mended on the way.

    The instruments come from the folder's name, also where a file's name disagrees (URMP's 15_Surprise calls its
    trombone `tpt`). `AuMix_*` is the recorded mixture.

    Args:
        root: the folder that holds 01_Jupiter_vn_vc and so on.
        splits: `compositions` keeps the pieces of one composition together; splits and groups come from
            `metadata.json` where there is one, else from the titles. `icassp2019` and `mt3` are published splits of
            pieces, which do not: for comparison, with compositions for validation taken out of their training pieces.

    Raises:
        FileNotFoundError: if `root` is missing or holds no piece.
        ValueError: one line for every folder with an unknown instrument, every part without its file, every stem
            without its part and every file that is there twice; or if a published split is wanted of a folder that has
            splits of its own.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {root} (expected the folder that holds 01_Jupiter_vn_vc and so on)")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and re.match(r"\d+_", path.name))
    if not folders:
        raise FileNotFoundError(f"{root} holds no piece (expected folders like 01_Jupiter_vn_vc)")
    metadata = _metadata(root)
    if splits != "compositions" and metadata:
        raise ValueError(f"{root}/metadata.json gives splits of its own; the split {splits} is one of URMP's pieces")
    tracks: list[SourceTrack] = []
    faults: list[str] = []
    remarks: list[str] = []
    for folder in folders:
        try:
            track, remarked = _piece(folder, metadata.get(folder.name, {}))
        except ValueError as error:
            faults += str(error).split("\n")
        else:
            tracks.append(track)
            remarks += remarked
    if faults:
        raise ValueError("\n".join(faults))
    if splits != "compositions":
        tracks, remarked = _published(tracks, splits)
        remarks += remarked
    return tracks, remarks


def _piece(folder: Path, row: dict) -> tuple[SourceTrack, list[str]]:
    """The track of one piece's folder, and remarks; raises ValueError with all of its faults."""
    _, title, *instruments = folder.name.split("_")  # it has a _, or it were no piece
    unknown = sorted(set(instruments) - set(INSTRUMENTS))
    if unknown or not instruments:
        raise ValueError(
            f"{folder}: expected NN_Title_inst_inst with instruments among {', '.join(INSTRUMENTS)}. "
            f"Received: {', '.join(unknown) or 'none'}"
        )
    stems, mixtures = _sound(folder, r"AuSep_(\d+)_.*"), _sound(folder, r"AuMix(_).*")
    faults = [
        f"{folder}: {' and '.join(path.name for path in paths)} are one part; remove all but one"
        for paths in [*stems.values(), *mixtures.values()]
        if len(paths) > 1
    ]
    parts, remarks = [], []
    for number, instrument in enumerate(instruments, 1):
        if (paths := stems.pop(str(number), None)) is None:
            faults.append(f"{folder}: part {number} ({instrument}) has no file AuSep_{number}_*")
            continue
        if (written := paths[0].name.split("_")[2]) != instrument:
            remarks.append(f"{paths[0].name} says {written}; its folder says {instrument}, which is taken")
        parts.append(SourcePart(number, instrument, paths[0]))
    faults += [f"{folder}: its name gives no instrument for {paths[0].name}" for paths in stems.values()]
    if faults:
        raise ValueError("\n".join(faults))
    mixture = recorded_mixture(mixtures["_"][0]) if mixtures else None
    if mixture is None:
        remarks.append(f"{folder.name} has no file AuMix_*; its mixture is the sum of its parts")
    split = require_name(row.get("split", SPLIT_OF_TITLE.get(title, "train")), f"the split of {folder.name}")
    return SourceTrack(folder.name, split, str(row.get("group", title)), tuple(parts), mixture), remarks


def _sound(folder: Path, name: str) -> dict[str, list[Path]]:
    """The visible sound files of a name, by the first group of its pattern without leading zeros."""
    found = defaultdict(list)
    for path in visible(folder):
        if match := re.fullmatch(rf"{name}\.(wav|flac)", path.name, re.I):
            found[match[1].lstrip("0")].append(path)
    return found


def _published(tracks: list[SourceTrack], name: str) -> tuple[list[SourceTrack], list[str]]:
    """The tracks in a published split, and what is to be known about it."""
    published = PUBLISHED[name]
    kept = [track for track in tracks if _number(track) not in published.left_out]
    both = {track.group for track in kept if _number(track) in published.test}
    both &= {track.group for track in kept if _number(track) not in published.test}
    shared = [track.name for track in kept if track.group in both and _number(track) in published.test]
    remarks = []
    if both:
        remarks.append(
            f"the split {name} is for comparison only: it divides {len(both)} composition(s) "
            f"({', '.join(sorted(both))}), whose pieces share recordings: those of {len(shared)} test piece(s), "
            f"such as {shared[0]}, are in training too"
        )
    if len(kept) < len(tracks):
        remarks.append(f"the split {name} leaves out {', '.join(t.name for t in tracks if t not in kept)}")
    return [dataclasses.replace(track, split=_published_split(track, published)) for track in kept], remarks


def _published_split(track: SourceTrack, published: Published) -> str:
    if _number(track) in published.test:
        return "test"
    # No published split has one for validation: the compositions of the default one, none of which they divide.
    return "validation" if SPLIT_OF_TITLE.get(track.group) == "validation" else "train"


def _number(track: SourceTrack) -> int:
    return int(track.name.split("_")[0])


def _metadata(root: Path) -> dict[str, dict]:
    path = root / "metadata.json"
    if not path.is_file():
        return {}
    try:
        return {row["piece"]: row for row in json.loads(path.read_text())}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no list of rows with a `piece` ({error})") from None
