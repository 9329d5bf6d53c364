"""Tracks and parts, wherever they lie -> a prepared data set.

Each track is prepared into a temporary folder, takes its place when it is whole, and is recorded in a journal of one
line a track; the manifest is written last. Killed at any moment, the same call goes on after the last whole track.
"""

import json
from collections.abc import Callable
from pathlib import Path

from Files import Output, whole_file

import pydantic

from .prepared import AUDIO, JOURNAL, MANIFEST, Manifest, Prepared, Stream, Track
from .remarks import Remark, in_words
from .track_preparation import SourcePart, SourceTrack, prepare_track
from .workers import in_parallel

__all__ = ["SourcePart", "SourceTrack", "prepare", "prepare_track"]


def prepare(
    tracks: list[SourceTrack],
    out: Path,
    *,
    sample_rate_hz: int,
    channels: int = 1,
    workers: int | None = None,
    scheduler: str = "",
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
        scheduler: address of a Dask scheduler whose workers prepare instead; they must see the same files.
        progress: called with (tracks done, tracks in all).

    Returns:
        Remarks, a line each, or one for many alike: samples that had to be clipped, parts that ended early, recorded
        mixtures that are not the sum of their parts.

    Raises:
        ValueError: one line for every audio file that is missing, unreadable or of another length than the others of
            its track, the other tracks being prepared all the same; or if `out` holds a data set of another rate or
            other channels, or anything else, or some of what is to be read.
        FileExistsError: if something that this program did not write is in the place of a part or of the manifest.
        OSError: if the disk is full or a worker was killed; the same call goes on from there.
    """
    _require_apart(tracks, out)
    out.mkdir(parents=True, exist_ok=True)
    done = _already_prepared(out, sample_rate_hz, channels)
    waiting = [track for track in tracks if not _is_current(done.get(track.name), track, out)]
    finished = (out / MANIFEST).is_file() and not (out / JOURNAL).is_file()
    if not waiting and finished and len(done) == len(tracks):
        return []
    ours = (out / MANIFEST).is_file() or (out / JOURNAL).is_file()
    former = {file for record in done.values() for file in record.stream_files}
    output = Output(out)
    output.adopt({MANIFEST, *former, *(name for track in tracks for name in track.stems)} if ours else ())
    output.require_free([MANIFEST, *(name for track in waiting for name in track.stems)])
    with whole_file(out / JOURNAL) as partial:
        partial.write_text("".join(_line(row) for row in [_header(sample_rate_hz, channels), *done.values()]))
    output.remove([MANIFEST])  # after the journal: one of the two always marks what this folder is
    faults: list[str] = []
    remarks: list[Remark] = []
    jobs = [(track, out, sample_rate_hz, channels) for track in waiting]
    for count, job in enumerate(in_parallel(prepare_track, jobs, workers, scheduler), 1):
        try:
            record, remarked = job.result()
        except (ValueError, FileNotFoundError, FileExistsError) as error:
            faults += str(error).split("\n")
        else:
            done[record.name] = record
            remarks += remarked
            with (out / JOURNAL).open("a") as journal:
                journal.write(_line(record))
        progress(len(tracks) - len(waiting) + count, len(tracks))
    if faults:
        raise ValueError("\n".join(sorted(faults)))
    manifest = Manifest(
        sample_rate_hz=sample_rate_hz, channels=channels, tracks=tuple(done[track.name] for track in tracks)
    )
    wanted = {file for track in manifest.tracks for file in track.stream_files}
    output.remove(former - wanted)  # of tracks and parts that are no longer there
    output.write_text(MANIFEST, manifest.model_dump_json(indent=1))
    (out / JOURNAL).unlink()
    return in_words(remarks)


def _require_apart(tracks: list[SourceTrack], out: Path) -> None:
    """Raises ValueError if a file that is to be read lies where this data set is to be written."""
    folder = out.resolve()
    inside = [part.path for track in tracks for part in track.files if part.path.resolve().is_relative_to(folder)]
    if inside:
        raise ValueError(f"{inside[0]} lies inside of {out}, where the data set is to go: choose another folder for it")


def _already_prepared(out: Path, sample_rate_hz: int, channels: int) -> dict[str, Track]:
    """What a finished or an interrupted preparation left in `out`, by track."""
    begun = _read_journal(out / JOURNAL) if (out / JOURNAL).is_file() else None
    if (out / MANIFEST).is_file():
        manifest = Prepared(out).manifest
    elif begun:
        manifest = begun
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
    try:
        header, *lines = path.read_text().split("\n")[:-1]  # a line without its end was cut by the kill
        return Manifest.model_validate({**json.loads(header), "tracks": [json.loads(line) for line in lines]})
    except (ValueError, TypeError):
        raise ValueError(f"{path} is damaged, or none of this program's; move it away and prepare again") from None


def _header(sample_rate_hz: int, channels: int) -> Manifest:
    return Manifest(sample_rate_hz=sample_rate_hz, channels=channels, tracks=())


def _line(row: pydantic.BaseModel) -> str:
    return row.model_dump_json() + "\n"


def _is_current(record: Track | None, track: SourceTrack, out: Path) -> bool:
    """Whether the record describes this very track, from unchanged files, and its stems are there."""
    if record is None or (record.split, record.group) != (track.split, track.group):
        return False
    if [(part.number, part.instrument) for part in record.files] != [(p.number, p.instrument) for p in track.files]:
        return False
    return all(
        part.streams.keys() == {AUDIO, *source.others}
        and all(
            (out / stream.file).is_file() and _is_unchanged(stream, source.others.get(name, source.path))
            for name, stream in part.streams.items()
        )
        for part, source in zip(record.files, track.files, strict=True)
    )


def _is_unchanged(stream: Stream, path: Path) -> bool:
    """Which span of its file a part is, no record holds: a reader of spans names its tracks by them."""
    if not path.is_file():
        return False
    stat, origin = path.stat(), stream.origin
    return origin is not None and (stat.st_size, stat.st_mtime_ns) == (origin.bytes, origin.mtime_ns)
