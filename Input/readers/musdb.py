"""MUSDB18 and MUSDB18-HQ as they lie on disk -> tracks and parts.

    MUSDB18      train|test/<Artist - Title>.stem.mp4      five stereo AAC streams at 44.1 kHz
    MUSDB18-HQ   train|test/<Artist - Title>/<source>.wav  mixture, drums, bass, other, vocals

Source: Rafii et al. 2017, doi 10.5281/zenodo.1117372; HQ doi 10.5281/zenodo.3338373.
"""

from pathlib import Path

from ..track_preparation import SourcePart, SourceTrack, recorded_mixture
from .layouts import folders, repeated, stable_place, visible

SOURCES = ("drums", "bass", "other", "vocals")  # the streams after the mixture, in their order
STEM = ".stem.mp4"

# The tracks of the training half that the `musdb` package (0.4.2) keeps for validation.
VALIDATION = frozenset(
    {
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    }
)
SPLITS = ("musdb", "stoller2018")

# What the data set's page lists as wrong: https://sigsep.github.io/datasets/musdb.html, errata.
ERRATA = {
    "Al James - Schoolboy Facination": "vocals of a synthesizer are in `other`",
    "Chris Durban - Celebrate": "other instruments bleed into `vocals`",
    "Detsky Sad - Walkie Talkie": "some of `other` is in `drums`",
    "Enda Reilly - Cur An Long Ag Seol": "`other` begins with speech",
    "Hop Along - Sister Cities": "other instruments bleed into `vocals`",
    "Leaf - Wicked": "an electric guitar is in `drums` at 2:20 and 3:02",
    "PR - Oh No": "the left channel of the mixture is not the sum of the sources",
}


def musdb_tracks(root: Path, splits: str = "musdb") -> tuple[list[SourceTrack], list[str]]:
    """The tracks of MUSDB18 or MUSDB18-HQ with their recorded mixtures, and remarks on those with known errata.

    Args:
        root: the folder that holds `train` and `test`; the whole data set, or some of its tracks.
        splits: which tracks of `train` are for validation. `musdb`: the 14 that the package of that name keeps.
            `stoller2018`: a quarter, as in Stoller et al. 2018 (75 and 25 tracks). Those were drawn at random and are
            not known; these are drawn by the hash of their names.

    Raises:
        FileNotFoundError: if there is no `train` or no `test`, or no track in them.
        ValueError: one line for every HQ file that is missing and every track that is there twice.
    """
    for half in ("train", "test"):
        if not (root / half).is_dir():
            raise FileNotFoundError(
                f"no such folder: {root / half} (expected the folder of MUSDB18 or MUSDB18-HQ, with train and test)"
            )
    halves = {half: _half(root / half) for half in ("train", "test")}
    if not any(halves.values()):
        raise FileNotFoundError(f"{root} holds no track (expected train/<Artist - Title>{STEM}, or a folder a track)")
    for_validation = _validation([name for name, _ in halves["train"]], splits)
    tracks, faults = [], []
    for half, found in halves.items():
        for name, place in found:
            split = "validation" if half == "train" and name in for_validation else half
            track = stem_track(place, split) if place.is_file() else _folder_track(place, split)
            faults += [f"{part.path} is missing" for part in track.files if not part.path.is_file()]
            tracks.append(track)
    faults += repeated(tracks)
    if faults:
        raise ValueError("\n".join(faults))
    return tracks, [f"{track.name}: {ERRATA[track.name]}" for track in tracks if track.name in ERRATA]


def _half(folder: Path) -> list[tuple[str, Path]]:
    """The name of each track of train or test, and its file or folder."""
    stems = [path for path in visible(folder) if path.is_file() and path.name.endswith(STEM)]
    return [(path.name.removesuffix(STEM), path) for path in stems] + [(path.name, path) for path in folders(folder)]


def stem_track(path: Path, split: str) -> SourceTrack:
    """A stem file: its first stream is the mixture."""
    parts = tuple(SourcePart(number, source, path, number) for number, source in enumerate(SOURCES, 1))
    name = path.name.removesuffix(STEM)
    return SourceTrack(name, split, name, parts, recorded_mixture(path))


def _folder_track(folder: Path, split: str) -> SourceTrack:
    """A folder of HQ."""
    parts = tuple(SourcePart(number, source, folder / f"{source}.wav") for number, source in enumerate(SOURCES, 1))
    return SourceTrack(folder.name, split, folder.name, parts, recorded_mixture(folder / "mixture.wav"))


def _validation(train: list[str], splits: str) -> frozenset[str]:
    if splits == "musdb":
        return VALIDATION
    return frozenset(sorted(train, key=stable_place)[: round(len(train) / 4)])
