"""Solo recordings, a folder an instrument -> tracks to be mixed: Solos, MUSIC, Sound of Pixels, one's own.

    <root>/<instrument>/<recording>.<ext>    any format; the instrument as Violin, violin, vn, "Double Bass", ...

A recording, or each valid range of it, becomes a track of one part for training, where examples are mixed on the fly.
For validation and test, which must be the same every time, recordings of different instruments are combined once.
Source: Montesinos, Slizovskaia, Haro 2020 (Solos, arXiv 2006.07931).
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..audio import audio_info
from ..track_preparation import SourcePart, SourceTrack
from .layouts import audio_files, folders, other_files, repeated, stable_splits
from .ranges import Ranges, instrument_code, read_ranges


@dataclass(frozen=True)
class Excerpt:
    """A recording, or one valid range of it; `seconds` is its length."""

    instrument: str
    recording: str
    path: Path
    span_seconds: tuple[float, float] | None
    seconds: float

    @property
    def name(self) -> str:
        """A name that no other excerpt has."""
        span = "" if self.span_seconds is None else "_{:.2f}-{:.2f}".format(*self.span_seconds)
        return f"{self.instrument}_{self.recording}{span}"


def solo_tracks(
    root: Path,
    *,
    tables: Sequence[Path] = (),
    validation: float = 0.1,
    test: float = 0.1,
    mix: Sequence[int] = (2, 3),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[SourceTrack], list[str]]:
    """The tracks of a folder of solo recordings, and remarks.

    Recordings are shared out by the hash of their names, instrument by instrument: another recording moves none of the
    others, and all ranges of one recording are in one split. An instrument of three recordings or more is in every
    split, one of fewer in train alone.

    Args:
        root: the folder that holds a folder an instrument.
        tables: files of valid ranges, as `read_ranges` reads them; a recording that is in none is taken whole.
        validation: the share of each instrument's recordings for validation.
        test: the share of each instrument's recordings for test.
        mix: of how many parts the tracks for validation and test are, in turn.
        progress: called with (recordings read, recordings in all): some are decoded to count their samples.

    Raises:
        FileNotFoundError: if `root` is missing or holds no recording.
        ValueError: one line for every recording that cannot be read or is there twice, every folder whose name cannot
            be used, every mistake in a table and every range outside of its recording, or if the recordings for
            validation or test are all of one instrument.
    """
    recordings, faults = _recordings(root)
    ranges, wrong = read_ranges(tables)
    excerpts, unreadable = _excerpts(recordings, ranges, progress)
    faults += wrong + unreadable
    splits: dict[str, str] = {}
    for instrument in sorted({excerpt.instrument for excerpt in excerpts}):
        names = {excerpt.recording for excerpt in excerpts if excerpt.instrument == instrument}
        # One name under two instruments is one recording: it stays where it was put first.
        splits = stable_splits(names, validation, test) | splits
    tracks = [_solo(excerpt) for excerpt in excerpts if splits[excerpt.recording] == "train"]
    all_read = not faults
    for split in ("validation", "test"):
        chosen = [excerpt for excerpt in excerpts if splits[excerpt.recording] == split]
        instruments = {excerpt.instrument for excerpt in chosen}
        if len(instruments) == 1 and all_read:
            faults.append(
                f"{root}: all recordings for {split} are of {', '.join(instruments)}; a mixture needs two instruments"
            )
        tracks += _combined(chosen, split, mix) if len(instruments) > 1 else []
    faults += repeated(tracks)
    if faults:
        raise ValueError("\n".join(faults))
    return tracks, _on_ranges(recordings, ranges) + other_files(root)


def _recordings(root: Path) -> tuple[dict[tuple[str, str], Path], list[str]]:
    """The file of each instrument and recording; faults."""
    found: dict[tuple[str, str], Path] = {}
    faults = []
    for folder in folders(root):
        instrument = instrument_code(folder.name)
        if not instrument:
            faults.append(f"{folder}: its name holds no letter or digit that an instrument's may have")
            continue
        for path in audio_files(folder):
            first = found.setdefault((instrument, path.stem), path)
            if first != path:
                faults.append(f"{path}: this recording is also {first}; keep one")
    if not found and not faults:
        raise FileNotFoundError(f"{root} holds no recording (expected files like Violin/recording.wav)")
    return found, faults


def _excerpts(
    recordings: dict[tuple[str, str], Path], ranges: Ranges, progress: Callable[[int, int], None]
) -> tuple[list[Excerpt], list[str]]:
    """What may be used of each recording; faults."""
    excerpts, faults = [], []
    for done, ((instrument, recording), path) in enumerate(recordings.items(), 1):
        try:
            info = audio_info(path)
        except ValueError as error:
            faults.append(str(error))
            continue
        finally:
            progress(done, len(recordings))
        seconds = info.samples / info.sample_rate_hz
        for span in ranges.get((instrument, recording), [None]):
            start, end = span or (0.0, seconds)
            if start >= seconds:
                faults.append(f"{path} lasts {seconds:.2f} s; its table has a range from {start:.2f} s to {end:.2f} s")
            else:
                excerpts.append(Excerpt(instrument, recording, path, span, min(end, seconds) - start))
    return excerpts, faults


def _solo(excerpt: Excerpt) -> SourceTrack:
    part = SourcePart(1, excerpt.instrument, excerpt.path, 0, excerpt.span_seconds)
    return SourceTrack(excerpt.name, "train", excerpt.recording, (part,))


def _combined(excerpts: list[Excerpt], split: str, mix: Sequence[int]) -> list[SourceTrack]:
    """Tracks of different instruments, in which each excerpt is once; again only where its instrument runs out.

    The longest of each instrument go together, so that little is cut away.
    """
    longest_first: dict[str, list[Excerpt]] = defaultdict(list)
    for excerpt in sorted(excerpts, key=lambda excerpt: (-excerpt.seconds, excerpt.name)):
        longest_first[excerpt.instrument].append(excerpt)
    waiting = {instrument: list(found) for instrument, found in longest_first.items()}
    tracks: list[SourceTrack] = []
    while left := [instrument for instrument, found in waiting.items() if found]:
        count = max(2, min(mix[len(tracks) % len(mix)], len(left)))
        chosen = sorted(waiting, key=lambda instrument: (-len(waiting[instrument]), instrument))[:count]
        parts = []
        for instrument in chosen:
            again = longest_first[instrument][len(tracks) % len(longest_first[instrument])]
            parts.append(waiting[instrument].pop(0) if waiting[instrument] else again)
        tracks.append(_mixture(parts, split, len(tracks) + 1))
    return tracks


def _mixture(excerpts: list[Excerpt], split: str, number: int) -> SourceTrack:
    """One track of several excerpts, all as long as the shortest; its name changes with what is in it."""
    seconds = min(excerpt.seconds for excerpt in excerpts)
    parts = []
    for place, excerpt in enumerate(excerpts, 1):
        start = excerpt.span_seconds[0] if excerpt.span_seconds else 0.0
        parts.append(SourcePart(place, excerpt.instrument, excerpt.path, 0, (start, start + seconds)))
    content = hashlib.sha256(repr([(excerpt.name, seconds) for excerpt in excerpts]).encode()).hexdigest()
    instruments = "_".join(excerpt.instrument for excerpt in excerpts)
    name = f"{split}_{number:03d}_{instruments}_{content[:6]}"
    return SourceTrack(name, split, name, tuple(parts), combined=True)


def _on_ranges(recordings: dict[tuple[str, str], Path], ranges: Ranges) -> list[str]:
    """Remarks on recordings without ranges and ranges without recordings."""
    if not ranges:
        return []
    kinds = {
        "are in no table and taken whole": sorted(recordings.keys() - ranges.keys()),
        "have no valid range in the tables and are left out": sorted(
            key for key in recordings if ranges.get(key, [None]) == []
        ),
        "of the tables have no file": sorted(ranges.keys() - recordings.keys()),
    }
    return [f"{len(keys)} recording(s) {kind}, such as {'/'.join(keys[0])}" for kind, keys in kinds.items() if keys]
