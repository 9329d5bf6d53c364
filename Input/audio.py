"""Any audio file as float32 blocks `(T, C)` at a wanted rate, in constant memory."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: samples per channel, rate in Hz, channels, sample format or codec, and who reads it.

    An mp3, mkv, webm or wma may not say its length: `samples` is then an estimate.
    """

    samples: int
    sample_rate_hz: int
    channels: int
    subtype: str
    reader: Literal["libsndfile", "ffmpeg"] = "libsndfile"


def audio_info(path: Path, stream: int = 0) -> AudioInfo:
    """The header of an audio file.

    Args:
        path: a file in any format that libsndfile or FFmpeg reads.
        stream: which audio stream of a file with several, from 0.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no audio file, has no such stream, is empty, or (wav, aiff, au, mp4) is shorter than its
            header says.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such audio file: {path}")
    try:
        info = soundfile.info(path, verbose=True)
    except soundfile.LibsndfileError:
        from . import media  # not before it is needed: it loads all of FFmpeg's codecs

        found = AudioInfo(*media.media_info(path, stream), "ffmpeg")
        if found.samples == 0:
            raise ValueError(f"{path} holds no samples") from None
        return found
    except TypeError:  # soundfile asks for the rate of a file that ends in .raw
        raise ValueError(f"{path} cannot be read as audio (a raw file does not say its format)") from None
    if stream:
        raise ValueError(f"{path}: expected an audio stream number {stream} (from 0). Received: 1 stream(s)")
    if info.frames == 0:
        raise ValueError(f"{path} holds no samples")
    cut = re.search(r"(?:data|SSND|Data Size) +: (\d+) \(should be (\d+)\)", info.extra_info)
    if cut and int(cut[2]) < int(cut[1]) < 0xFFFF0000:  # a stream of unknown length declares the largest number
        raise ValueError(f"{path} is truncated: its header promises {cut[1]} bytes of samples, the file has {cut[2]}")
    return AudioInfo(info.frames, info.samplerate, info.channels, info.subtype)


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
        FileNotFoundError, ValueError: as `audio_info`, and where a sample is NaN or infinite or decoding fails.
    """
    info = audio_info(path, stream)
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


def _decoded(path: Path, info: AudioInfo, stream: int) -> Iterator[np.ndarray]:
    if info.reader == "ffmpeg":
        from . import media

        return _gathered(media.media_blocks(path, stream))
    return _read(path, info)


def _read(path: Path, info: AudioInfo) -> Iterator[np.ndarray]:
    read = 0
    try:
        with soundfile.SoundFile(path) as file:
            while len(block := file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                read += len(block)
                yield block
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        raise ValueError(f"{path} breaks off after {read / info.sample_rate_hz:.1f} s ({reason})") from None
    if read < info.samples and not info.subtype.startswith("MPEG"):
        raise ValueError(f"{path} is truncated: its header promises {info.samples} samples, {read} could be decoded")


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
