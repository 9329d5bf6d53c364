"""Anybody's stems, a folder a track -> tracks and parts.

    <root>/<split>/<track>/<source>.<ext>     splits as given: train, validation (also valid, val, dev), test, test_*
    <root>/<track>/<source>.<ext>             splits drawn by the tracks' names

Any format; a source that a track has no file of is silent there; `mixture` or `mix` is the recorded mixture.
"""

from collections import defaultdict
from pathlib import Path

from ..track_preparation import SourcePart, SourceTrack, recorded_mixture
from .layouts import audio_files, clean_name, folders, other_files, repeated, stable_splits

MIXTURES = ("mixture", "mix")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    "test": "test",
}
FEWEST = 3
EXPECTED = "expected <track>/<source>.wav, or train/<track>/<source>.wav"


def own_stems(root: Path, validation: float = 0.1, test: float = 0.1) -> tuple[list[SourceTrack], list[str]]:
    """The tracks of a folder of stems, and remarks on names that had to be changed and files that are no sound.

    Args:
        root: the folder of the data set.
        validation: the share of the tracks for validation, where no folders give the splits.
        test: the share of the tracks for test, where no folders give the splits.

    Raises:
        FileNotFoundError: if `root` is missing or holds no folder.
        ValueError: one line for every folder that is no split or no track, every source that is there twice or whose
            name cannot be used, and every track that is in two splits; or if there are fewer than three tracks to draw
            splits from.
    """
    found = folders(root)
    if not found:
        raise FileNotFoundError(f"{root} holds no folder ({EXPECTED})")
    flat = any(audio_files(folder) for folder in found)
    places, faults = _in_root(found) if flat else _in_splits(found)
    if not places and not faults:
        raise FileNotFoundError(f"{root} holds no track ({EXPECTED})")
    tracks: list[SourceTrack] = []
    names: dict[str, str] = {}
    for split, folder in places:
        try:
            tracks.append(folder_track(folder, split, names))
        except ValueError as error:
            faults += str(error).split("\n")
    if flat and len(places) < FEWEST and not faults:
        faults.append(
            f"{root} holds {len(places)} track(s); expected {FEWEST} or more to draw splits from, or folders train, "
            "validation and test around them"
        )
    faults += repeated(tracks)
    if faults:
        raise ValueError("\n".join(faults))
    if flat:
        drawn = stable_splits([track.name for track in tracks], validation, test)
        tracks = [SourceTrack(t.name, drawn[t.name], t.group, t.parts, t.mixture) for t in tracks]
    changed = [f"the source '{old}' is called {new} here" for old, new in sorted(names.items()) if old != new]
    return tracks, changed + other_files(root)


def is_split(name: str) -> bool:
    """Whether a folder of this name holds the tracks of a split."""
    return name.lower() in SPLIT_NAMES or name.lower().startswith("test_")


def _in_root(found: list[Path]) -> tuple[list[tuple[str, Path]], list[str]]:
    """The folder of each track, its split yet to be drawn; faults."""
    splits = [folder for folder in found if folder.name.lower() in SPLIT_NAMES]
    faults = [f"{folder} is named like a split and holds no tracks; {EXPECTED}" for folder in splits]
    return [("", folder) for folder in found if folder not in splits], faults


def _in_splits(found: list[Path]) -> tuple[list[tuple[str, Path]], list[str]]:
    """The split and folder of each track below folders that are splits; faults."""
    places, faults = [], []
    for folder in found:
        name = folder.name.lower()
        split = name if name.startswith("test_") else SPLIT_NAMES.get(name)
        if split is None:
            faults.append(
                f"{folder}: expected a track with sound files, or a split: {', '.join(SPLIT_NAMES)} or test_NAME"
            )
            continue
        places += [(split, track) for track in folders(folder)]
    return places, faults


def folder_track(folder: Path, split: str, names: dict[str, str] | None = None) -> SourceTrack:
    """A folder of sources as a track.

    Args:
        folder: with a file for each source.
        split: the track's.
        names: gathers what each source was called and is called.

    Raises:
        ValueError: one line for every source that is there twice or whose name cannot be used, or if there is none.
    """
    names = {} if names is None else names
    files: dict[str, list[Path]] = defaultdict(list)
    for path in audio_files(folder):
        name = clean_name(path.stem)
        if name in MIXTURES:
            files["mixture"].append(path)
        else:
            files[name].append(path)
            names[path.stem] = name
    faults = [f"{path}: its name holds no letter or digit that a source's may have" for path in files.pop("", [])]
    for name, paths in files.items():
        if len(paths) > 1:
            given = ", ".join(path.name for path in paths)
            faults.append(f"{folder}: the source {name} is there {len(paths)} times ({given}); keep one")
    if not files.keys() - {"mixture"} and not faults:
        faults.append(f"{folder} holds no source (expected files such as vocals.wav)")
    if faults:
        raise ValueError("\n".join(faults))
    mixture = recorded_mixture(files.pop("mixture")[0]) if "mixture" in files else None
    parts = tuple(SourcePart(number, name, files[name][0]) for number, name in enumerate(sorted(files), 1))
    return SourceTrack(folder.name, split, folder.name, parts, mixture)
