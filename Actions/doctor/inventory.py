"""What a prepared data set holds, in tables: its splits, and each source in each of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from Input.prepared import Prepared, Track

import numpy as np

FIRST_SPLITS = ("train", "validation")


@dataclass(frozen=True)
class SplitRow:
    """How large a split is.

    Attributes:
        split: its name.
        tracks, groups, minutes: of it.
        ensembles: how many of its tracks have one part, two parts, and so on.
    """

    split: str
    tracks: int
    groups: int
    minutes: float
    ensembles: dict[int, int]


@dataclass(frozen=True)
class SourceRow:
    """How often a source occurs in a split. It plays in a frame where any of its parts does.

    Attributes:
        split, source: which.
        tracks: that have a part of it.
        label_share: these among the tracks of the split, 0 to 1: how often its label is 1.
        parts: its players.
        minutes: the length of its tracks.
        playing_in_its_tracks: the frames in which it plays among those of its tracks, 0 to 1.
        playing_in_split: the same frames among those of the whole split, 0 to 1.
    """

    split: str
    source: str
    tracks: int
    label_share: float
    parts: int
    minutes: float
    playing_in_its_tracks: float
    playing_in_split: float


def tracks_by_split(prepared: Prepared) -> dict[str, list[Track]]:
    """The tracks of each split: train, validation, then the others by name."""
    found: dict[str, list[Track]] = {}
    for track in prepared.manifest.tracks:
        found.setdefault(track.split, []).append(track)
    return {split: found[split] for split in sorted(found, key=lambda name: (name not in FIRST_SPLITS, name))}


def split_rows(prepared: Prepared) -> list[SplitRow]:
    """The table of the splits."""
    return [
        SplitRow(
            split,
            len(tracks),
            groups=len({track.group for track in tracks}),
            minutes=_minutes(prepared, tracks),
            ensembles=dict(sorted(Counter(len(track.parts) for track in tracks).items())),
        )
        for split, tracks in tracks_by_split(prepared).items()
    ]


def source_rows(prepared: Prepared, plays: Mapping[str, np.ndarray]) -> list[SourceRow]:
    """The table of the sources: every instrument of the data set in every split, be it absent there.

    Args:
        prepared: the data set.
        plays: by file, in which frames the part plays; a file that is missing here plays in none.
    """
    sources = sorted({part.instrument for track in prepared.manifest.tracks for part in track.parts})
    return [
        _source_row(prepared, split, source, tracks, plays)
        for split, tracks in tracks_by_split(prepared).items()
        for source in sources
    ]


def _source_row(
    prepared: Prepared, split: str, source: str, tracks: list[Track], plays: Mapping[str, np.ndarray]
) -> SourceRow:
    its_tracks = [track for track in tracks if source in track.instruments]
    playing = sum(_playing_frames(track, source, plays) for track in its_tracks)
    return SourceRow(
        split,
        source,
        len(its_tracks),
        label_share=len(its_tracks) / len(tracks),
        parts=sum(part.instrument == source for track in its_tracks for part in track.parts),
        minutes=_minutes(prepared, its_tracks),
        playing_in_its_tracks=playing / max(1, _frames(its_tracks, plays)),
        playing_in_split=playing / max(1, _frames(tracks, plays)),
    )


def _playing_frames(track: Track, source: str, plays: Mapping[str, np.ndarray]) -> int:
    known = [plays[part.audio.file] for part in track.parts if part.instrument == source and part.audio.file in plays]
    return int(np.any(known, axis=0).sum()) if known else 0


def _frames(tracks: list[Track], plays: Mapping[str, np.ndarray]) -> int:
    return sum(
        max((len(plays[part.audio.file]) for part in track.parts if part.audio.file in plays), default=0)
        for track in tracks
    )


def _minutes(prepared: Prepared, tracks: list[Track]) -> float:
    return sum(track.samples for track in tracks) / prepared.sample_rate_hz / 60
