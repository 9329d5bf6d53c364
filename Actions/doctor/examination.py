"""Is a prepared data set fit to train on? What is in it, and what is wrong with it."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from Input.prepared import Prepared, Track
from Input.sources import Sources
from Input.workers import in_parallel

import numpy as np

from . import findings
from .inventory import SourceRow, SplitRow, source_rows, split_rows
from .landmarks import landmarks
from .loudness import ever_plays, full_scale_runs, playing_frames
from .shared_takes import Recording, SharedTake, shared_takes

NEEDED_SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Diagnosis:
    """What `examine` found.

    Attributes:
        splits, sources: the tables.
        rates_hz: how many parts were recorded at each rate.
        shared: the takes that different tracks share, but for those that a group keeps together in one split.
        faults: what forbids training, a line each.
        leaks: what would be trained on and judged by, a line each.
        remarks: what is worth knowing, a line each.
    """

    splits: list[SplitRow]
    sources: list[SourceRow]
    rates_hz: dict[int, int]
    shared: list[SharedTake]
    faults: list[str]
    leaks: list[str]
    remarks: list[str]


def examine(
    root: Path | str, *, workers: int | None = None, progress: Callable[[int, int], None] = lambda done, total: None
) -> Diagnosis:
    """Reads every file of a prepared data set again, in memory that does not grow with the files' lengths.

    Args:
        root: its folder.
        workers: processes; None for one a core.
        progress: called with (tracks read, tracks in all).

    Raises:
        FileNotFoundError, ValueError: if there is no data set, or its manifest is damaged. Other faults are listed.
    """
    prepared = Prepared(root)
    tracks = prepared.manifest.tracks
    files: dict[str, _WholeFile] = {}
    jobs = [(prepared.address, number) for number in range(len(tracks))]
    for done, job in enumerate(in_parallel(_whole_files, jobs, workers), 1):
        files |= job.result()
        progress(done, len(tracks))
    recordings = [Recording(track, part) for track in tracks for part in track.parts if part.audio.file in files]
    marks = [files[recording.part.audio.file].marks for recording in recordings]
    shared = shared_takes(prepared, recordings, marks, workers)
    plays = {file: whole.plays for file, whole in files.items()}
    sources = source_rows(prepared, plays)
    origins = [part.audio.origin for track in tracks for part in track.parts if part.audio.origin]
    unheard = [row.source for row in sources if row.split == NEEDED_SPLITS[0] and row.playing_in_split == 0]
    return Diagnosis(
        splits=split_rows(prepared),
        sources=sources,
        rates_hz=dict(sorted(Counter(int(origin.rate_hz) for origin in origins).items())),
        shared=shared,
        faults=[*findings.damages(prepared, files), *findings.unfit_splits(prepared, NEEDED_SPLITS, plays)],
        leaks=[*findings.divided_groups(tracks), *findings.takes_across_splits(shared)],
        remarks=[
            *map(findings.never_plays, unheard),
            *findings.silent_files(tracks, plays),
            *findings.clipped_files({file: whole.runs for file, whole in files.items()}),
            *findings.upsampled_files(prepared),
            *findings.repeated_files(tracks, plays),
            *findings.takes_inside_splits(shared),
        ],
    )


def require_trainable(prepared: Prepared, sources: Sources) -> list[str]:
    """The quick part of `examine`: reads the manifest, the sizes of the files, and sound until each source has played.

    Args:
        prepared: the data set.
        sources: those of the model.

    Returns:
        Remarks, a line each: sources that never play in training; what would be trained on and judged by.

    Raises:
        ValueError: one line for `train` and for `validation` if it has no track, a file that is missing or cut short,
            or nothing but silence.
    """
    faults = [fault for split in NEEDED_SPLITS for fault in _quick_faults(prepared, split)]
    if faults:
        raise ValueError("\n".join(faults))
    training, judging = (prepared.split(split) for split in NEEDED_SPLITS)
    instruments = {name: sources.sums.get(name, (name,)) for name in sources.names}
    unheard = [name for name, members in instruments.items() if not _any_plays(prepared, training, members)]
    return [
        *map(findings.never_plays, unheard),
        *findings.divided_groups([*training, *judging]),
        *_equal_files(prepared, training, judging),
    ]


# ---------------------------------------------------------------- every file


@dataclass(frozen=True)
class _WholeFile:
    """Of a file that is what was prepared: the frames in which it plays, its runs at full scale, its landmarks."""

    plays: np.ndarray
    runs: np.ndarray
    marks: np.ndarray


@functools.cache
def _opened(address: str) -> Prepared:
    return Prepared(address)  # once a process: the manifest of thousands of tracks is long


def _whole_files(address: str, number: int) -> dict[str, _WholeFile]:
    """By name, those of a track, its recorded mixture too, that are not damaged."""
    prepared = _opened(address)
    track = prepared.manifest.tracks[number]
    return {
        part.audio.file: _WholeFile(
            playing_frames(prepared, track, part),
            full_scale_runs(prepared, track, part),
            landmarks(prepared, track, part),
        )
        for part in track.files
        if not prepared.damaged(part.audio)
    }


# ---------------------------------------------------------------- a quick look


def _any_plays(prepared: Prepared, tracks: Sequence[Track], instruments: Sequence[str] | None = None) -> bool:
    """Whether any part plays, or any of these instruments."""
    return any(
        ever_plays(prepared, track, part)
        for track in tracks
        for part in track.parts
        if instruments is None or part.instrument in instruments
    )


def _quick_faults(prepared: Prepared, split: str) -> Iterator[str]:
    try:
        tracks = prepared.split(split)
    except ValueError as error:
        yield str(error)
    else:
        if not _any_plays(prepared, tracks):
            yield findings.silent_split(prepared, split)


def _equal_files(prepared: Prepared, training: Sequence[Track], judging: Sequence[Track]) -> Iterator[str]:
    known = {part.audio.sha256: part.audio.file for track in training for part in track.parts}
    equal = [
        f"{part.audio.file} = {known[part.audio.sha256]}"
        for track in judging
        for part in track.parts
        if part.audio.sha256 in known and ever_plays(prepared, track, part)
    ]
    if equal:
        yield f"files of validation are files of train, byte by byte, {findings.listed(equal)}"
