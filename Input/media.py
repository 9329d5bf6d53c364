"""Audio streams of the files that libsndfile cannot read to their end: FFmpeg, through PyAV.

Those are mp4, m4a, mkv, webm, wma and the like, and MPEG audio (mp3, mp2), whose length libsndfile may have to guess.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

SHORT_SECONDS = 0.1  # what a container's length may be beyond its last sample without the file being cut
SHORT_PACKETS = 2  # the same for an mp3: encoders do not agree on which of its packets count

# How what is no sound between the frames of an mp3 begins: two files were joined.
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
# In the packet before the first of sound, in which an encoder writes how many there are.
COUNT = re.compile(rb"(?:Xing|Info)\0\0\0[\x01\x03\x05\x07\x09\x0b\x0d\x0f](.{4})", re.DOTALL)
COUNT_BYTES = 2048  # the longest such packet


def media_header(path: Path, stream: int) -> tuple[int, int, str]:
    """Rate in Hz, channels and codec of one audio stream, counted from 0.

    Raises:
        ValueError: if the file is no media file or has no such stream.
    """
    try:
        with _opened(path, stream) as (_, audio, _):
            codec = audio.codec_context
            return codec.sample_rate, codec.layout.nb_channels, codec.name.upper()
    except av.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as audio ({_reason(error)})") from None


def media_samples(path: Path, stream: int) -> int:
    """The samples per channel of one audio stream: decoded and counted, once as long as the file does not change.

    No container holds it reliably: the times in it are rounded, or guessed, or another stream's.

    Raises:
        ValueError: as `media_blocks`, and if there are none.
    """
    stat = path.stat()
    return _counted(path, stream, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=4096)
def _counted(path: Path, stream: int, state: tuple[int, ...]) -> int:
    samples = sum(samples for _, samples in _frames(path, stream))
    if not samples:
        raise ValueError(f"{path} holds no samples")
    return samples


def media_blocks(path: Path, stream: int) -> Iterator[np.ndarray]:
    """The samples of one audio stream as float32 blocks `(t, C)`, a block a frame of the codec.

    What an encoder put before the first sample and after the last is left out, where the container gives its length.

    Raises:
        ValueError: as `media_header`, and if decoding fails, the format changes, or the file ends before its time.
    """
    for frame, samples in _frames(path, stream):
        yield _samples(frame)[:samples]


def _frames(path: Path, stream: int) -> Iterator[tuple[av.AudioFrame, int]]:
    """A stream's frames, and how many samples of each are sound."""
    read, rate_hz = 0, 1
    try:
        with _opened(path, stream) as (container, audio, promised_packets):
            rate_hz, channels = audio.codec_context.sample_rate, audio.codec_context.layout.nb_channels
            last = None
            for frame in _decoded(path, container, audio, promised_packets):
                if (frame.sample_rate, frame.layout.nb_channels) != (rate_hz, channels):
                    raise ValueError(f"{path} changes its rate or channels after {read / rate_hz:.1f} s")
                if last:
                    yield last, last.samples
                last = frame
                read += frame.samples
            if last:
                yield last, _last_samples(last, container, audio)
    except av.FFmpegError as error:
        raise ValueError(f"{path} breaks off after {read / rate_hz:.1f} s ({_reason(error)})") from None


def _decoded(
    path: Path, container: InputContainer, audio: AudioStream, promised_packets: int | None
) -> Iterator[av.AudioFrame]:
    """All frames of a stream; at their end it is required that they are all that were promised."""
    packets = ticks = end_ticks = 0
    in_tag = False
    lost: av.FFmpegError | None = None
    for packet in container.demux(audio):
        try:
            frames = packet.decode()
        except av.InvalidDataError as error:
            if container.format.name != "mp3":
                raise
            # Between its frames an mp3 may hold tags, and anything after the last; the rest is damage.
            in_tag = in_tag or bytes(packet).startswith(TAGS)
            lost = lost or (None if in_tag else error)
            continue
        if frames and lost:
            raise lost
        yield from frames
        in_tag = in_tag and not frames
        packets += packet.size > 0
        ticks += packet.duration or 0
        end_ticks = max(end_ticks, (packet.pts or 0) + (packet.duration or 0))
    if promised_packets is None and _is_mp4(container) and audio.frames < ticks:  # else it counts samples
        promised_packets = audio.frames
    if promised_packets is not None and packets < promised_packets:
        raise ValueError(
            f"{path} is truncated: its header promises {promised_packets} packets of sound, the file has {packets}"
        )
    seconds, promised_seconds = float(end_ticks * (audio.time_base or 0)), _promised_seconds(container, audio)
    if seconds < promised_seconds - SHORT_SECONDS:
        raise ValueError(
            f"{path} is truncated: its header promises {promised_seconds:.1f} s, {seconds:.1f} s could be decoded"
        )


@contextmanager
def _opened(path: Path, stream: int) -> Iterator[tuple[InputContainer, AudioStream, int | None]]:
    """A file, one of its audio streams, and for an mp3 how many packets it has at least, if that is in it."""
    # With its protocol named, no part of a file's name is taken for one; nothing but files is ever opened.
    url, options = f"file:{path}", {"protocol_whitelist": "file"}
    promised_packets = None
    with av.open(url, options=options) as container:
        found = len(container.streams.audio)
        if not found:
            raise ValueError(f"{path} holds no audio stream")
        if stream >= found:
            raise ValueError(f"{path}: expected an audio stream number {stream} (from 0). Received: {found} stream(s)")
        if container.format.name != "mp3":
            yield container, container.streams.audio[stream], None
            return
        first = next(container.demux(audio=0))
    if first.size and first.pos is not None:
        with path.open("rb") as file:
            file.seek(max(0, first.pos - COUNT_BYTES))
            counts = list(COUNT.finditer(file.read(min(first.pos, COUNT_BYTES) + first.size)))
        if counts:
            promised_packets = int.from_bytes(counts[-1][1]) - SHORT_PACKETS
        if COUNT.search(bytes(first)):  # FFmpeg does not recognise it behind what is no sound, and takes it for sound
            options["skip_initial_bytes"] = str(first.pos)
    with av.open(url, options=options) as container:
        yield container, container.streams.audio[stream], promised_packets


def _last_samples(frame: av.AudioFrame, container: InputContainer, audio: AudioStream) -> int:
    """How many samples of the last frame are sound: an mp4's duration ends where padding begins."""
    samples_a_tick = (audio.time_base or 0) * audio.codec_context.sample_rate
    if _is_mp4(container) and frame.duration and samples_a_tick == int(samples_a_tick):
        return min(frame.samples, frame.duration * int(samples_a_tick))
    return frame.samples


def _promised_seconds(container: InputContainer, audio: AudioStream) -> float:
    """When the stream ends by its header; 0 where that is a guess, or another stream's end."""
    if audio.duration and audio.time_base and _is_mp4(container):
        return float(audio.duration * audio.time_base)
    known = "matroska" in container.format.name and len(container.streams) == 1
    return container.duration / av.time_base if known and container.duration else 0.0


def _is_mp4(container: InputContainer) -> bool:
    return "mp4" in container.format.name


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """A frame as float32 `(t, C)`, full scale 1.0, whatever its sample format."""
    array = frame.to_ndarray()
    array = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array, np.float32)
    if array.dtype == np.uint8:
        return (array.astype(np.float32) - 128) / 128
    return (array / float(1 << (8 * array.dtype.itemsize - 1))).astype(np.float32)


def _reason(error: av.FFmpegError) -> str:
    return str(error.strerror or error).split("\n")[0].rstrip(".")
