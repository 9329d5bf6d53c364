"""What estimates are scored against: each track's sources and mixture, of a prepared data set or a folder of audio."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from .audio import audio_info, read_audio, with_channels
from .prepared import Prepared, Track, source_major
from .readers.layouts import audio_files, folders
from .readers.musdb import STEM, stem_track
from .readers.own_stems import folder_track, is_split
from .readers.urmp import urmp_tracks
from .sources import Sources
from .streams import Stretch, known
from .track_preparation import UNEVEN_SECONDS, SourcePart, SourceTrack


class Truth(NamedTuple):
    """A track as it is: mixture (T, C) and sources (T, S, C), float32, and their sample rate."""

    mixture: np.ndarray
    references: np.ndarray
    sample_rate_hz: int


class References(Protocol):
    """The tracks of a split, each with a name and `instruments`, and what is known of them."""

    tracks: tuple

    def read(self, track: Any, wanted: Sources, mixture: str) -> Truth:
        """A track's sources, and its mixture: their `sum`, or the `recorded` one."""
        ...

    def fingerprint(self, track: Any) -> str:
        """A text that changes where the track's audio does."""
        ...


class PreparedReferences:
    """Some tracks of a prepared data set.

    Args:
        prepared: the data set.
        tracks: the tracks.
    """

    def __init__(self, prepared: Prepared, tracks: tuple[Track, ...]):
        self.prepared, self.tracks = prepared, tracks

    def read(self, track: Track, wanted: Sources, mixture: str) -> Truth:
        """As `References.read`. Raises ValueError: if a file is damaged, or no mixture was recorded."""
        references = self.prepared.sources(track, wanted)
        mixed = references.sum(axis=1) if mixture == "sum" else self.prepared.recorded(track)
        return Truth(mixed, references, self.prepared.sample_rate_hz)

    def contexts(self, track: Track, wanted: Sources, names: Iterable[str]) -> dict[str, np.ndarray]:
        """What is known of a whole track, by name, as `streams.known` gives it; raises ValueError as that."""
        seconds = track.samples / self.prepared.sample_rate_hz
        classes = zip(track.parts, wanted.classes(track), strict=True)
        parts = [Stretch(of_class, 0.0, seconds, 1.0, self.prepared, track, part) for part, of_class in classes]
        return known(names, wanted, parts, seconds)

    def fingerprint(self, track: Track) -> str:
        """The checksums of the files."""
        return json.dumps([part.audio.sha256 for part in track.files])


class FolderReferences:
    """The tracks of a folder, as they lie on disk: in URMP's layout, MUSDB18's, or <track>/<source>.wav.

    Args:
        root: the folder; MUSDB18's, and one with a folder for each split, by the name of the split.
        split: which tracks; a folder without splits is taken whole.

    Raises:
        FileNotFoundError, ValueError: if there is no track, or one line for each fault of the layout.
    """

    def __init__(self, root: Path, split: str):
        self.tracks = tuple(_tracks(root, split))
        if not self.tracks:
            raise FileNotFoundError(
                f"{root} holds no track of the split '{split}': expected <track>/<source>.wav, {split}/<track>/..., "
                f"{split}/<track>{STEM}, or URMP's folders"
            )

    def read(self, track: SourceTrack, wanted: Sources, mixture: str) -> Truth:
        """As `References.read`, at the rate of the files.

        Raises:
            FileNotFoundError, ValueError: if a file is missing or damaged, rates or lengths differ, or no mixture was
                recorded.
        """
        files = track.parts if mixture == "sum" else track.files
        rate_hz = _common_rate_hz(files)
        signals = {part: read_audio(part.path, None, part.stream, part.span_seconds) for part in files}
        channels = max(signal.shape[1] for signal in signals.values())
        samples = max(len(signal) for signal in signals.values())
        references = source_major(samples, len(wanted.of(track)), channels)
        for part, row in zip(track.parts, wanted.rows(track), strict=True):
            references[:, row] += _whole(signals[part], part, samples, channels, rate_hz)
        if mixture == "sum":
            return Truth(references.sum(axis=1), references, rate_hz)
        if track.mixture is None:
            raise ValueError(f"{track.name} has no recorded mixture; take mixture=sum")
        return Truth(_whole(signals[track.mixture], track.mixture, samples, channels, rate_hz), references, rate_hz)

    def fingerprint(self, track: SourceTrack) -> str:
        """The sizes and times of the files."""
        stats = [(part.path, part.path.stat()) for part in track.files]
        return json.dumps([(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats])


def _tracks(root: Path, split: str) -> list[SourceTrack]:
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {root}")
    if any(root.glob("*/AuSep_*")):
        return [track for track in urmp_tracks(root)[0] if track.split == split]
    named = [folder.name for folder in folders(root) if is_split(folder.name)]
    if named and split not in named:
        raise FileNotFoundError(f"{root} holds no track of the split '{split}'; it has: {', '.join(named)}")
    place = root / split if named else root
    stems = [path for path in audio_files(place) if path.name.endswith(STEM)]
    if stems:
        return [stem_track(path, split) for path in stems]
    tracks, faults = [], []
    for folder in folders(place):
        if audio_files(folder):
            try:
                tracks.append(folder_track(folder, split))
            except ValueError as error:
                faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))
    return tracks


def _common_rate_hz(files: Sequence[SourcePart]) -> int:
    rates_hz = {audio_info(part.path, part.stream).sample_rate_hz for part in files}
    if len(rates_hz) > 1:
        given = ", ".join(f"{rate} Hz" for rate in sorted(rates_hz))
        raise ValueError(f"{files[0].path.parent}: expected files of one sample rate. Received: {given}")
    return rates_hz.pop()


def _whole(signal: np.ndarray, part: SourcePart, samples: int, channels: int, rate_hz: int) -> np.ndarray:
    """A part as long as the longest, whose end is silence if it is a little shorter."""
    if (samples - len(signal)) / rate_hz > UNEVEN_SECONDS:
        raise ValueError(
            f"{part.path} lasts {len(signal) / rate_hz:.2f} s, another part of its track {samples / rate_hz:.2f} s; "
            "expected parts of one length"
        )
    padded = np.zeros((samples, channels), np.float32)
    try:
        padded[: len(signal)] = with_channels(signal, channels)
    except ValueError as error:
        raise ValueError(f"{part.path}: {error}") from None
    return padded
