"""What is wrong with a prepared data set, or worth knowing, in words: one line for each kind of fault."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from Input.prepared import Prepared, Stream, Track

import numpy as np

from .loudness import PLAYING_DB
from .shared_takes import SharedTake

CLIPPED_SAMPLES = 3  # at full scale in a row; a peak that was brought to full scale is one
LISTED = 3  # names in a line, before `and 17 more`

ByFile = Mapping[str, np.ndarray]
"""Something about each file that is whole."""

# ---------------------------------------------------------------- faults


def damages(prepared: Prepared, whole: Collection[str]) -> Iterator[str]:
    """Files that are not among the whole ones."""
    for track in prepared.manifest.tracks:
        for part in track.files:
            if part.audio.file not in whole:
                path = f"{prepared.address}/{part.audio.file}"
                yield f"{path} is missing or is not what was prepared; remove its folder and prepare again"


def unfit_splits(prepared: Prepared, names: Sequence[str], plays: ByFile) -> Iterator[str]:
    """Splits of these names that have no track, or none that plays. A damaged file might play."""
    tracks = prepared.manifest.tracks
    for name in names:
        files = [part.audio.file for track in tracks if track.split == name for part in track.parts]
        if not files:
            known = ", ".join(sorted({track.split for track in tracks}))
            yield f"{prepared.address} has no track in the split '{name}'; it has: {known}"
        elif all(file in plays and not plays[file].any() for file in files):
            yield silent_split(prepared, name)


def silent_split(prepared: Prepared, name: str) -> str:
    """The line for a split in which nothing plays."""
    return (
        f"every track of the split '{name}' of {prepared.address} is silent (no second above {PLAYING_DB:.0f} dBFS); "
        "listen to the files it was prepared from"
    )


# ---------------------------------------------------------------- leaks


def divided_groups(tracks: Sequence[Track]) -> Iterator[str]:
    """Compositions that lie in several splits."""
    groups: dict[str, dict[str, str]] = {}
    for track in tracks:
        groups.setdefault(track.group, {}).setdefault(track.split, track.name)
    for group, examples in groups.items():
        if len(examples) > 1:
            where = ", ".join(f"{split} ({name})" for split, name in examples.items())
            yield f"the group '{group}' is divided between the splits {where}"


def takes_across_splits(shared: Sequence[SharedTake]) -> Iterator[str]:
    """Recordings that a model would be trained on and judged by: a line each."""
    return (str(take) for take in shared if take.across_splits)


# ---------------------------------------------------------------- remarks


def never_plays(source: str) -> str:
    """The line for a source that never plays in training."""
    return f"the source '{source}' never plays in the split 'train', so no model can learn it"


def silent_files(tracks: Sequence[Track], plays: ByFile) -> Iterator[str]:
    """Files in which nothing plays."""
    files = [part.audio.file for track in tracks for part in track.files]
    if silent := [file for file in files if file in plays and not plays[file].any()]:
        yield f"silent files (no second above {PLAYING_DB:.0f} dBFS), {listed(silent)}"


def clipped_files(runs: ByFile) -> Iterator[str]:
    """Files with runs of samples at full scale, given all runs of each; the worst first."""
    clipped = {file: found[found >= CLIPPED_SAMPLES] for file, found in runs.items()}
    worst = sorted((file for file in clipped if len(clipped[file])), key=lambda file: -clipped[file].sum())
    if worst:
        counted = [
            f"{file} ({runs[file].sum()} samples at full scale; {len(clipped[file])} runs of {CLIPPED_SAMPLES} "
            f"or more, the longest {clipped[file].max()})"
            for file in worst
        ]
        yield f"clipped files, {listed(counted)}"


def upsampled_files(prepared: Prepared) -> Iterator[str]:
    """Files whose recording has a lower rate than the data set."""
    by_rate: dict[int, list[str]] = {}
    for track in prepared.manifest.tracks:
        for part in track.files:
            origin = part.audio.origin
            if origin and origin.rate_hz < prepared.sample_rate_hz:
                by_rate.setdefault(int(origin.rate_hz), []).append(part.audio.file)
    for rate_hz, files in sorted(by_rate.items()):
        rates = f"from {rate_hz} to {prepared.sample_rate_hz} Hz, which leaves nothing above {rate_hz / 2:g} Hz"
        yield f"upsampled {rates}, {listed(files)}"


def repeated_files(tracks: Sequence[Track], plays: ByFile) -> Iterator[str]:
    """Parts of one track that are the same, byte by byte."""
    repeated = []
    for track in tracks:
        first: dict[str, Stream] = {}
        for audio in (part.audio for part in track.parts):
            if audio.file in plays and plays[audio.file].any() and first.setdefault(audio.sha256, audio) is not audio:
                repeated.append(f"{audio.file} = {first[audio.sha256].file}")
    if repeated:
        yield f"parts of one track that are one file, {listed(repeated)}"


def takes_inside_splits(shared: Sequence[SharedTake]) -> Iterator[str]:
    """How many takes different groups share inside a split."""
    counts = Counter(take.first.track.split for take in shared if not take.across_splits)
    for split, count in counts.items():
        yield f"in the split '{split}' {count} pairs of recordings of different groups share a take"


def listed(names: Sequence[str]) -> str:
    """Their number and the first of them."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{len(names)}: {', '.join(names[:LISTED])}{more}"
