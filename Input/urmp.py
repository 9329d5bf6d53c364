"""A folder in URMP's layout -> its tracks and parts. Source: Li et al. 2018, doi 10.5061/dryad.ng3r749."""

import json
import re
from pathlib import Path

from .preparation import SourcePart, SourceTrack

INSTRUMENTS = ("bn", "cl", "db", "fl", "hn", "ob", "sax", "tba", "tbn", "tpt", "va", "vc", "vn")

# Pieces of one title reuse the same takes (15/16, 17/18, 19/20, 21/22/23, 24/25, ...), so a split keeps a title whole.
# Test holds all 13 instruments; so does train. What is named nowhere is for training.
SPLIT_OF_TITLE = {
    **dict.fromkeys(("Spring", "GString", "March", "Maria", "Jerusalem", "Miserere", "Arioso"), "test"),
    **dict.fromkeys(("Dance", "Pavane", "Elise", "K515"), "validation"),
}


def urmp_tracks(root: Path) -> tuple[list[SourceTrack], list[str]]:
    """The tracks of a URMP-shaped folder, and remarks about what was mended on the way.

    The instruments come from the folder's name, also where a file's name disagrees (URMP's 15_Surprise calls its
    trombone `tpt`). Splits and groups come from `metadata.json` where there is one, else from the titles.

    Raises:
        FileNotFoundError: if `root` is missing or holds no piece.
        ValueError: one line for every folder with an unknown instrument, every part without its file and every stem
            without its part.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {root} (expected the folder that holds 01_Jupiter_vn_vc and so on)")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and re.match(r"\d+_", path.name))
    if not folders:
        raise FileNotFoundError(f"{root} holds no piece (expected folders like 01_Jupiter_vn_vc)")
    metadata = _metadata(root)
    tracks: list[SourceTrack] = []
    faults: list[str] = []
    remarks: list[str] = []
    for folder in folders:
        instruments = _instruments(folder)
        unknown = sorted(set(instruments) - set(INSTRUMENTS))
        if unknown or not instruments:
            faults.append(
                f"{folder}: expected NN_Title_inst_inst with instruments among {', '.join(INSTRUMENTS)}. "
                f"Received: {', '.join(unknown) or 'none'}"
            )
            continue
        parts, stems = [], _stems(folder)
        for number, instrument in enumerate(instruments, 1):
            path = stems.pop(number, None)
            if path is None:
                faults.append(f"{folder}: part {number} ({instrument}) has no file AuSep_{number}_*")
                continue
            if (written := path.name.split("_")[2]) != instrument:
                remarks.append(f"{path.name} says {written}; its folder says {instrument}, which is taken")
            parts.append(SourcePart(number, instrument, path))
        faults += [f"{folder}: its name gives no instrument for {path.name}" for path in stems.values()]
        row = metadata.get(folder.name, {})
        title = folder.name.split("_")[1]
        split = row.get("split", SPLIT_OF_TITLE.get(title, "train"))
        tracks.append(SourceTrack(folder.name, split, str(row.get("group", title)), tuple(parts)))
    if faults:
        raise ValueError("\n".join(faults))
    return tracks, remarks


def _instruments(folder: Path) -> list[str]:
    """The codes after number and title in the folder's name."""
    return folder.name.split("_")[2:]


def _stems(folder: Path) -> dict[int, Path]:
    """The audio file of each part by its number; hidden files do not count."""
    named = {path: re.fullmatch(r"AuSep_(\d+)_.*\.(wav|flac)", path.name, re.I) for path in sorted(folder.iterdir())}
    return {int(match[1]): path for path, match in named.items() if match}


def _metadata(root: Path) -> dict[str, dict]:
    path = root / "metadata.json"
    if not path.is_file():
        return {}
    try:
        return {row["piece"]: row for row in json.loads(path.read_text())}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no list of rows with a `piece` ({error})") from None
