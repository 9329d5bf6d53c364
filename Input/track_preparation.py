"""One track -> its stems at the training rate in a folder of their own: all of them, or none."""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from Files import Output, require_name, sha256

import numpy as np
import soundfile

from .audio import AudioInfo, audio_blocks, audio_info, with_channels
from .prepared import AUDIO, FULL_SCALE, Origin, Part, Stream, Track, audio_stream
from .remarks import Remark
from .streams import CONTEXTS
from .writers import wav_writer

UNEVEN_SECONDS = 0.1  # parts of one recording may end a few samples apart; more is a wrong file
TOLD_SECONDS = 0.001  # parts of other rates may end a sample apart, which is no news
UNLIKE_DB = -60.0  # a recorded mixture closer to the sum than this is the sum, as files of 16 bits go
BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True)
class SourcePart:
    """A part before preparation: its number, instrument code, and where its audio is.

    `stream` is the audio stream of a file with several, from 0; `span_seconds` the range of the file that is the part,
    None for all of it. `others` are the files of its other streams by name, of those in `streams.CONTEXTS`, which begin
    with its audio file.
    """

    number: int
    instrument: str
    path: Path
    stream: int = 0
    span_seconds: tuple[float, float] | None = None
    others: Mapping[str, Path] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        require_name(self.instrument, "an instrument")


@dataclass(frozen=True)
class SourceTrack:
    """A track before preparation.

    `mixture` is the recorded one (number 0, instrument `mixture`), if there is one. `combined`: the parts are
    different recordings that never sounded together: all are cut to the shortest.
    """

    name: str
    split: str
    group: str
    parts: tuple[SourcePart, ...]
    mixture: SourcePart | None = None
    combined: bool = False

    def __post_init__(self) -> None:
        require_name(self.name, "a track")
        if self.split:  # it may yet have to be drawn
            require_name(self.split, "a split")

    @property
    def files(self) -> tuple[SourcePart, ...]:
        """The parts, and the recorded mixture if there is one."""
        return self.parts if self.mixture is None else (*self.parts, self.mixture)

    @property
    def instruments(self) -> frozenset[str]:
        """The instrument codes of the parts."""
        return frozenset(part.instrument for part in self.parts)

    @property
    def stems(self) -> list[str]:
        """The files that it becomes, relative to the prepared data set."""
        return [f"{self.name}/{_file(part, name)}" for part in self.files for name in (AUDIO, *part.others)]


def recorded_mixture(path: Path, stream: int = 0) -> SourcePart:
    """A file as a track's recorded mixture."""
    return SourcePart(0, "mixture", path, stream)


def prepare_track(track: SourceTrack, out: Path, sample_rate_hz: int, channels: int) -> tuple[Track, list[Remark]]:
    """Prepares one track: all of its parts and its recorded mixture, or nothing. Returns its record and remarks.

    Raises:
        ValueError: a line for every audio file that is missing, unreadable or of another length than the others.
        FileExistsError: if something that this program did not write is in the place of a part.
    """
    output = Output(out)
    output.require_free(track.stems)
    rates_hz, remarks = _require_sound(track, channels)
    with output.folder(track.name) as folder:
        written, faults, others = [], [], {}
        for part in track.files:
            try:
                samples, clipped = _write(part, folder, sample_rate_hz, channels)
                others[part] = {name: _write_other(part, name, folder, track.name) for name in part.others}
            except (ValueError, FileNotFoundError) as error:
                faults.append(str(error))
            else:
                written.append((part, samples))
                remarks += [Remark("clipped", _where(part), clipped)] if clipped else []
        _raise_all(faults)
        _raise_all(_uneven(track, {part: samples / sample_rate_hz for part, samples in written}))
        length = (min if track.combined else max)(samples for _, samples in written)
        for part, samples in written:
            _set_length(folder / _file(part), length, channels)
            if (missing := (length - samples) / sample_rate_hz) >= TOLD_SECONDS:
                remarks.append(Remark("early", _where(part), missing))
        remarks += _compared(track, folder)
        records = [_record(track, part, rates_hz[part], folder, sample_rate_hz, others[part]) for part in track.files]
    parts, own = tuple(records[: len(track.parts)]), records[-1].streams if track.mixture else {}
    record = Track(name=track.name, split=track.split, group=track.group, samples=length, parts=parts, streams=own)
    return record, remarks


def _require_sound(track: SourceTrack, channels: int) -> tuple[dict[SourcePart, int], list[Remark]]:
    """The files' own rates, and remarks; raises a line for every fault that the headers show, before all decoding."""
    faults, rates_hz, seconds, remarks = [], {}, {}, []
    for part in track.files:
        try:
            info = audio_info(part.path, part.stream)
            rates_hz[part] = info.sample_rate_hz
            seconds[part], short = _seconds(part, info)
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
            continue
        if info.channels not in (1, channels) and channels != 1:
            faults.append(f"{part.path}: expected 1 or {channels} channels. Received: {info.channels}")
        remarks += [Remark("span", _where(part), short)] if short > UNEVEN_SECONDS else []
    _raise_all([*faults, *_uneven(track, seconds)])
    return rates_hz, remarks


def _seconds(part: SourcePart, info: AudioInfo) -> tuple[float, float]:
    """The length of a part, and by how much its file ends before its range does."""
    whole = info.samples / info.sample_rate_hz
    if part.span_seconds is None:
        return whole, 0.0
    start, end = part.span_seconds
    if not 0 <= start < min(end, whole):
        raise ValueError(f"{part.path} lasts {whole:.2f} s; expected a range inside. Received: {start:g} to {end:g} s")
    return min(end, whole) - start, max(0.0, end - whole)


def _uneven(track: SourceTrack, seconds: dict[SourcePart, float]) -> list[str]:
    if track.combined:
        return []
    longest = max(seconds.values(), default=0.0)
    return [
        f"{_where(part)} lasts {length:.2f} s, another part of {track.name} {longest:.2f} s; "
        "expected parts of one length"
        for part, length in seconds.items()
        if longest - length > UNEVEN_SECONDS
    ]


def _raise_all(faults: Iterable[str]) -> None:
    """Raises the faults that there are, each once: five streams may lie in one broken file."""
    if lines := list(dict.fromkeys(faults)):
        raise ValueError("\n".join(lines))


def _where(part: SourcePart) -> str:
    return f"{part.path} ({part.instrument})" if part.stream else str(part.path)


def _file(part: SourcePart, stream: str = AUDIO) -> str:
    return f"{part.number}_{part.instrument}{'.wav' if stream == AUDIO else f'.{stream}.npy'}"


def _write(part: SourcePart, folder: Path, sample_rate_hz: int, channels: int) -> tuple[int, int]:
    """Writes a part as 16-bit PCM, as long as it is; returns its samples, and how many had to be clipped."""
    clipped, written = 0, 0
    with wav_writer(folder / _file(part), sample_rate_hz, channels, "PCM_16") as file:
        for block in audio_blocks(part.path, sample_rate_hz, part.stream, part.span_seconds):
            scaled = np.rint(with_channels(block, channels) * FULL_SCALE)
            pcm = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1)
            clipped += int(np.count_nonzero(scaled != pcm))
            file.write(pcm.astype(np.int16))
            written += len(pcm)
    if not written:
        raise ValueError(f"{part.path} holds no samples")
    return written, clipped


def _write_other(part: SourcePart, name: str, folder: Path, track: str) -> Stream:
    """Writes another stream of a part than its audio, as npy; returns its record."""
    source, path = part.others[name], folder / _file(part, name)
    if not source.is_file():
        raise FileNotFoundError(f"no such file: {source}")
    rows, rate_hz = CONTEXTS[name].rows(source)
    rows, stat = np.ascontiguousarray(rows), source.stat()
    np.save(path, rows, allow_pickle=False)
    return Stream(
        file=f"{track}/{path.name}",
        sha256=sha256(path),
        axes=("time", "entry", *("entry" for _ in rows.shape[2:]))[: rows.ndim],
        shape=rows.shape,
        dtype=rows.dtype.str,
        first_byte=path.stat().st_size - rows.nbytes,
        rate_hz=rate_hz,
        offset_seconds=-part.span_seconds[0] if part.span_seconds else 0.0,
        origin=Origin(rate_hz=rate_hz, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns),
    )


def _set_length(path: Path, samples: int, channels: int) -> None:
    """Cuts a wav, or appends silence."""
    with soundfile.SoundFile(path, "r+") as file:
        if file.frames > samples:
            file.truncate(samples)
        elif file.frames < samples:
            file.seek(0, os.SEEK_END)
            file.write(np.zeros((samples - file.frames, channels), np.int16))


def _record(
    track: SourceTrack, part: SourcePart, rate_hz: int, folder: Path, sample_rate_hz: int, others: dict[str, Stream]
) -> Part:
    path, stat = folder / _file(part), part.path.stat()
    with soundfile.SoundFile(path) as file:
        samples, channels = file.frames, file.channels
    origin = Origin(rate_hz=rate_hz, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)
    audio = audio_stream(f"{track.name}/{path.name}", sha256(path), samples, channels, sample_rate_hz, origin)
    if (size := path.stat().st_size) != audio.bytes:
        raise OSError(f"{path} has {size} bytes after writing {samples} samples; is the disk full?")
    return Part(number=part.number, instrument=part.instrument, streams={AUDIO: audio, **others})


def _compared(track: SourceTrack, folder: Path) -> list[Remark]:
    """A remark if the recorded mixture of a track that was written is not the sum of the parts.

    Rounding to 16 bits alone makes each file differ by 1/12 of a step squared; so much of it does not count.
    """
    if track.mixture is None:
        return []
    paths = [folder / _file(part) for part in (track.mixture, *track.parts)]
    files = [soundfile.blocks(path, BLOCK_SAMPLES, dtype="int16", always_2d=True) for path in paths]
    energy = difference = 0.0
    for mixture, *parts in zip(*files, strict=True):
        energy += float(np.sum(np.square(mixture, dtype=np.float64)))
        unlike = mixture.astype(np.float64) - sum(part.astype(np.float64) for part in parts)
        difference += float(np.sum(np.square(unlike))) - unlike.size * len(paths) / 12
    if difference <= energy * 10 ** (UNLIKE_DB / 10):
        return []
    return [Remark("mixture", track.name, 10 * math.log10(difference / energy) if energy else math.inf)]
