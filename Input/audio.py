"""Any audio file as float32 blocks `(T, C)` at a wanted rate, in constant memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

from .extents import Slice, ogg_streams, sound_bytes

BLOCK_SAMPLES = 1 << 16
RATES_HZ = (1_000, 768_000)  # a rate beyond these is damage
# The bytes of a sample in the formats that are decoded sample by sample, for which no header is needed.
PLAIN = {"PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
NO_BLOCK_BYTES = 8  # fewer bytes are no block of samples in any other format, but what padding may leave
UNKNOWN_FRAMES = 1 << 62  # libsndfile returns this or more where it cannot count
UNCOUNTED = -1


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds: samples per channel, rate in Hz, channels, sample format or codec, and who reads it.

    `samples` is exactly what is read of the file, whatever its header states. `pieces` are the first and last bytes of
    what libsndfile reads one after another, where that is not the file; `plain` is the byte order of samples that it
    reads without their header, which is wrong.
    """

    samples: int
    sample_rate_hz: int
    channels: int
    subtype: str
    reader: Literal["libsndfile", "ffmpeg"] = "libsndfile"
    pieces: tuple[tuple[int, int], ...] = ()
    plain: str = ""


def audio_info(path: Path, stream: int = 0) -> AudioInfo:
    """What an audio file holds.

    Of what libsndfile reads (wav, flac, aiff, ogg and more) the header is enough. What FFmpeg reads is decoded to count
    its samples, once as long as the file does not change: about a second for ten minutes.

    Args:
        path: a file in any format that libsndfile or FFmpeg reads.
        stream: which audio stream of a file with several, from 0.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no audio file, has no such stream, is empty, claims an impossible rate, is shorter than its
            header states, or had to be decoded and could not.
    """
    info = _header(path, stream)
    if info.samples == UNCOUNTED:
        from . import media

        info = replace(info, samples=media.media_samples(path, stream))
    return info


def audio_blocks(
    path: Path,
    sample_rate_hz: int | None = None,
    stream: int = 0,
    span_seconds: tuple[float, float] | None = None,
) -> Iterator[np.ndarray]:
    """The file's samples as consecutive float32 blocks `(t, C)`, resampled by soxr (HQ) where its rate differs.

    Args:
        path: a file in any format that libsndfile or FFmpeg reads.
        sample_rate_hz: the wanted rate; None keeps the file's own.
        stream: which audio stream of a file with several, from 0.
        span_seconds: from where to where; None for all of it.

    Raises:
        FileNotFoundError, ValueError: as `audio_info`, those of decoding when it gets there, and where a sample is NaN
            or infinite.
    """
    info = _header(path, stream)
    first, last = _span_samples(span_seconds, info)
    blocks = _finite(_cut(_decoded(path, info, stream), first, last), path, first, info.sample_rate_hz)
    return blocks if sample_rate_hz is None else resampled(blocks, info.sample_rate_hz, sample_rate_hz, info.channels)


def read_audio(
    path: Path,
    sample_rate_hz: int | None = None,
    stream: int = 0,
    span_seconds: tuple[float, float] | None = None,
) -> np.ndarray:
    """The file's samples `(T, C)`, float32, all at once; arguments and errors are those of `audio_blocks`.

    Raises:
        ValueError: as well where there are no samples.
    """
    blocks = list(audio_blocks(path, sample_rate_hz, stream, span_seconds))
    if not blocks:
        raise ValueError(f"{path} holds no samples")
    return np.concatenate(blocks)


def resampled(blocks: Iterator[np.ndarray], from_hz: int, to_hz: int, channels: int) -> Iterator[np.ndarray]:
    """A stream of blocks `(t, C)` at another rate.

    Its total length is that of the input times to_hz / from_hz, rounded, however the input is cut into blocks.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block).reshape(-1, channels)
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels)


def with_channels(block: np.ndarray, channels: int) -> np.ndarray:
    """`(T, C)` as `(T, channels)`: the mean for mono, a mono signal on every channel for more.

    Raises:
        ValueError: for any other change, which has no single right answer.
    """
    if block.shape[1] == channels:
        return block
    if channels == 1:
        return block.mean(axis=1, keepdims=True, dtype=np.float32)
    if block.shape[1] == 1:
        return np.repeat(block, channels, axis=1)
    raise ValueError(f"expected audio of 1 or {channels} channels. Received: {block.shape[1]} channels")


def _header(path: Path, stream: int) -> AudioInfo:
    """As `audio_info`, without decoding: the samples may be UNCOUNTED."""
    if not path.is_file():
        raise FileNotFoundError(f"no such audio file: {path}")
    try:
        where, streams = sound_bytes(path), ogg_streams(path)
        header = soundfile.info(path)
        later = [soundfile.info(piece) for piece in _pieces(path, streams[1:])]
    except OSError as error:
        raise ValueError(f"{path} cannot be read as audio ({error.strerror})") from None
    except soundfile.LibsndfileError:
        header, later = None, []
    except TypeError:  # soundfile needs the rate of a file that ends in .raw
        raise ValueError(f"{path} cannot be read as audio (a raw file does not state its format)") from None
    # libsndfile guesses how long MPEG audio is, and soundfile, which seeks after each block, damages it there if it is
    # of variable bit rate; a flac of unknown length they do not read.
    if header is None or header.subtype.startswith("MPEG") or header.frames >= UNKNOWN_FRAMES:
        from . import media  # not before it is needed: it loads all of FFmpeg's codecs

        info = AudioInfo(UNCOUNTED, *media.media_header(path, stream), "ffmpeg")
    elif stream:
        raise ValueError(f"{path}: expected an audio stream number {stream} (from 0). Received: 1 stream(s)")
    else:
        info = AudioInfo(header.frames, header.samplerate, header.channels, header.subtype)
        if where and info.subtype in PLAIN and (where.end - where.start != where.declared or header.format == "W64"):
            endian = where.endian if header.endian == "FILE" else header.endian
            samples = (where.end - where.start) // (info.channels * PLAIN[info.subtype])
            info = replace(info, samples=samples, pieces=((where.start, where.end),), plain=endian)
        for other in later:
            if (other.samplerate, other.channels) != (info.sample_rate_hz, info.channels):
                raise ValueError(
                    f"{path} changes its rate or channels after {info.samples / info.sample_rate_hz:.1f} s"
                )
            info = replace(info, samples=info.samples + other.frames, pieces=tuple(streams))
    if not RATES_HZ[0] <= info.sample_rate_hz <= RATES_HZ[1]:
        raise ValueError(
            f"{path}: expected a sample rate of {RATES_HZ[0]} to {RATES_HZ[1]} Hz. Received: {info.sample_rate_hz} Hz"
        )
    if where and where.surplus >= NO_BLOCK_BYTES and not info.plain:
        raise ValueError(
            f"{path}: its header promises {where.declared} bytes of samples, the file has {where.end - where.start}; "
            f"{info.subtype} is not read without its header: convert it, with ffmpeg -ignore_length 1 if it is a wav"
        )
    if info.samples == 0:
        raise ValueError(f"{path} holds no samples")
    return info


def _decoded(path: Path, info: AudioInfo, stream: int) -> Iterator[np.ndarray]:
    if info.reader == "ffmpeg":
        from . import media

        return _gathered(media.media_blocks(path, stream))
    return _read(path, info)


def _read(path: Path, info: AudioInfo) -> Iterator[np.ndarray]:
    form = {}
    if info.plain:
        form = {"samplerate": info.sample_rate_hz, "channels": info.channels, "subtype": info.subtype}
        form |= {"format": "RAW", "endian": info.plain}
    read = 0
    try:
        for piece in _pieces(path, info.pieces) if info.pieces else [path]:
            with soundfile.SoundFile(piece, **form) as file:
                while len(block := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                    read += len(block)
                    yield block
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise ValueError(f"{path} breaks off after {read / info.sample_rate_hz:.1f} s ({reason})") from None
    if read < info.samples:
        raise ValueError(f"{path} is truncated: its header promises {info.samples} samples, {read} could be decoded")


def _pieces(path: Path, extents: Iterable[tuple[int, int]]) -> Iterator[Slice]:
    with path.open("rb") as file:
        for start, end in extents:
            yield Slice(file, start, end)


def _gathered(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Short blocks joined to long ones."""
    waiting: list[np.ndarray] = []
    for frame in frames:
        waiting.append(frame)
        if sum(map(len, waiting)) >= BLOCK_SAMPLES:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _span_samples(span_seconds: tuple[float, float] | None, info: AudioInfo) -> tuple[int, float]:
    if span_seconds is None:
        return 0, np.inf
    return round(span_seconds[0] * info.sample_rate_hz), round(span_seconds[1] * info.sample_rate_hz)


def _cut(blocks: Iterator[np.ndarray], first: int, last: float) -> Iterator[np.ndarray]:
    """Samples `first` to `last`; nothing behind them is decoded."""
    position = 0
    for block in blocks:
        wanted = block[max(0, first - position) : int(min(len(block), max(0, last - position)))]
        position += len(block)
        if len(wanted):
            yield wanted
        if position >= last:
            return


def _finite(blocks: Iterator[np.ndarray], path: Path, first: int, sample_rate_hz: int) -> Iterator[np.ndarray]:
    """Raises ValueError where a sample is not a number; `first` is where in the file the blocks begin."""
    for block in blocks:
        if not np.isfinite(block).all():
            bad = first + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise ValueError(f"{path} holds NaN or infinity, first at {bad / sample_rate_hz:.3f} s")
        first += len(block)
        yield block
