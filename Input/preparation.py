"""Tracks and parts, wherever they lie -> a prepared data set.

Each track is prepared into a folder of a temporary name, renamed when it is whole, and recorded in a journal of one
line a track; the manifest is written last. Killed at any moment, the same call goes on after the last whole track.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydantic

from .audio import AudioInfo, audio_blocks, audio_info, with_channels
from .files import PARTIAL, wav_writer, whole_file, whole_folder
from .prepared import FULL_SCALE, HEADER_BYTES, MANIFEST, Manifest, Part, Prepared, Track, sha256
from .workers import in_parallel

JOURNAL = "unfinished.jsonl"
UNEVEN_SECONDS = 0.1  # parts of one recording may end a few samples apart; more is a wrong file


@dataclass(frozen=True)
class SourcePart:
    """A part before preparation: its number, instrument code and audio file."""

    number: int
    instrument: str
    path: Path


@dataclass(frozen=True)
class SourceTrack:
    """A track before preparation."""

    name: str
    split: str
    group: str
    parts: tuple[SourcePart, ...]


def prepare(
    tracks: list[SourceTrack],
    out: Path,
    *,
    sample_rate_hz: int,
    channels: int = 1,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Prepares tracks into the folder `out`, going on where an earlier call was interrupted.

    A track whose files have not changed since it was prepared is left alone, so a second call does nothing.

    Args:
        tracks: what to prepare; names are unique.
        out: the folder of the prepared data set; made if missing.
        sample_rate_hz: the training rate; files of other rates are resampled by soxr (HQ).
        channels: 1 (the mean of the channels) or 2.
        workers: processes; None for one a core.
        progress: called with (tracks done, tracks in all).

    Returns:
        Remarks, a line each: samples that had to be clipped, parts that ended early.

    Raises:
        ValueError: one line for every track with an audio file that is missing, unreadable or of another length, the
            other tracks being prepared all the same; or if `out` holds a data set of another rate or other channels,
            or anything else.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = _already_prepared(out, sample_rate_hz, channels)
    waiting = [track for track in tracks if not _is_current(done.get(track.name), track, out)]
    finished = (out / MANIFEST).is_file() and not (out / JOURNAL).is_file()
    if not waiting and finished and len(done) == len(tracks):
        return []
    with whole_file(out / JOURNAL) as partial:
        partial.write_text("".join(_line(row) for row in [_header(sample_rate_hz, channels), *done.values()]))
    (out / MANIFEST).unlink(missing_ok=True)  # after the journal: one of the two always says what this folder is
    faults, remarks = [], []
    jobs = [(track, out, sample_rate_hz, channels) for track in waiting]
    for count, job in enumerate(in_parallel(prepare_track, jobs, workers), 1):
        try:
            record, said = job.result()
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
        else:
            done[record.name] = record
            remarks += said
            with (out / JOURNAL).open("a") as journal:
                journal.write(_line(record))
        progress(len(tracks) - len(waiting) + count, len(tracks))
    if faults:
        raise ValueError("\n".join(sorted(faults)))
    manifest = Manifest(
        sample_rate_hz=sample_rate_hz, channels=channels, tracks=tuple(done[track.name] for track in tracks)
    )
    _remove_strangers(out, done.keys() - {track.name for track in tracks})
    with whole_file(out / MANIFEST) as partial:
        partial.write_text(manifest.model_dump_json(indent=1))
    (out / JOURNAL).unlink()
    return sorted(remarks)


def prepare_track(track: SourceTrack, out: Path, sample_rate_hz: int, channels: int) -> tuple[Track, list[str]]:
    """Prepares one track: all of its parts, or nothing. Returns its record and remarks.

    Raises:
        FileNotFoundError, ValueError: one line for the first fault of its audio files.
    """
    infos = [audio_info(part.path) for part in track.parts]
    seconds = [info.samples / info.sample_rate_hz for info in infos]
    for part, length in zip(track.parts, seconds, strict=True):
        if max(seconds) - length > UNEVEN_SECONDS:
            raise ValueError(
                f"{part.path} lasts {length:.2f} s, another part of {track.name} {max(seconds):.2f} s; "
                "expected parts of one length"
            )
    samples = round(max(seconds) * sample_rate_hz)
    parts, remarks = [], []
    with whole_folder(out / track.name) as folder:
        for part, info, length in zip(track.parts, infos, seconds, strict=True):
            prepared, clipped = _prepare_part(part, info, folder, samples, sample_rate_hz, channels)
            parts.append(prepared.model_copy(update={"file": f"{track.name}/{prepared.file}"}))
            if clipped:
                remarks.append(f"{part.path}: {clipped} samples beyond full scale were clipped")
            if length < max(seconds):
                remarks.append(f"{part.path} ends {max(seconds) - length:.3f} s early; silence follows")
    record = Track(name=track.name, split=track.split, group=track.group, samples=samples, parts=tuple(parts))
    return record, remarks


def check(root: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
    """Reads every file of a prepared data set again. Returns one line for each fault; an empty list means whole."""
    prepared = Prepared(root)
    parts = [part for track in prepared.manifest.tracks for part in track.parts]
    faults = []
    for count, part in enumerate(parts, 1):
        if prepared.damaged(part):
            faults.append(
                f"{root / part.file} is missing or is not what was prepared; remove its folder and prepare again"
            )
        progress(count, len(parts))
    return faults


def _prepare_part(
    part: SourcePart, info: AudioInfo, folder: Path, samples: int, sample_rate_hz: int, channels: int
) -> tuple[Part, int]:
    """Writes exactly `samples` of 16-bit PCM; returns the record, and how many samples had to be clipped."""
    path = folder / f"{part.number}_{part.instrument}.wav"
    clipped, written = 0, 0
    with wav_writer(path, sample_rate_hz, channels, "PCM_16") as file:
        for block in audio_blocks(part.path, sample_rate_hz):
            scaled = np.rint(with_channels(block, channels)[: samples - written] * FULL_SCALE)
            pcm = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1)
            clipped += int(np.count_nonzero(scaled != pcm))
            file.write(pcm.astype(np.int16))
            written += len(pcm)
        file.write(np.zeros((samples - written, channels), np.int16))
    if (size := path.stat().st_size) != HEADER_BYTES + samples * channels * 2:
        raise OSError(f"{path} has {size} bytes after writing {samples} samples; is the disk full?")
    stat = part.path.stat()
    record = Part(
        number=part.number,
        instrument=part.instrument,
        file=path.name,
        sha256=sha256(path),
        source_rate_hz=info.sample_rate_hz,
        source_bytes=stat.st_size,
        source_mtime_ns=stat.st_mtime_ns,
    )
    return record, clipped


def _already_prepared(out: Path, sample_rate_hz: int, channels: int) -> dict[str, Track]:
    """What a finished or an interrupted preparation left in `out`, by track."""
    if (out / MANIFEST).is_file():
        manifest = Prepared(out).manifest
    elif (out / JOURNAL).is_file():
        manifest = _read_journal(out / JOURNAL)
    elif any(not path.name.startswith(".") for path in out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no prepared data set; choose an empty folder")
    else:
        return {}
    if (manifest.sample_rate_hz, manifest.channels) != (sample_rate_hz, channels):
        raise ValueError(
            f"{out} is prepared at {manifest.sample_rate_hz} Hz with {manifest.channels} channel(s). "
            f"Received: {sample_rate_hz} Hz, {channels}; choose another folder or remove this one"
        )
    return {track.name: track for track in manifest.tracks}


def _read_journal(path: Path) -> Manifest:
    header, *lines = path.read_text().split("\n")[:-1]  # a line without its end was cut by the kill
    return Manifest.model_validate_json(header).model_copy(
        update={"tracks": tuple(Track.model_validate_json(line) for line in lines)}
    )


def _header(sample_rate_hz: int, channels: int) -> Manifest:
    return Manifest(sample_rate_hz=sample_rate_hz, channels=channels, tracks=())


def _line(row: pydantic.BaseModel) -> str:
    return row.model_dump_json() + "\n"


def _is_current(record: Track | None, track: SourceTrack, out: Path) -> bool:
    """Whether the record describes this very track, from unchanged files, and its stems are there."""
    if record is None or (record.split, record.group) != (track.split, track.group):
        return False
    if [(part.number, part.instrument) for part in record.parts] != [(p.number, p.instrument) for p in track.parts]:
        return False
    return all(
        (out / part.file).is_file()
        and source.path.is_file()
        and (source.path.stat().st_size, source.path.stat().st_mtime_ns) == (part.source_bytes, part.source_mtime_ns)
        for part, source in zip(record.parts, track.parts, strict=True)
    )


def _remove_strangers(out: Path, names: set[str]) -> None:
    """Removes tracks that are no longer wanted and what was cut short, and nothing that is not of our making."""
    for path in [*(out / name for name in names), *out.glob(f"{PARTIAL}*")]:
        shutil.rmtree(path, ignore_errors=True)
