"""Audio streams of the files that libsndfile cannot read (mp4, m4a, mkv, webm, wma, ...): FFmpeg, through PyAV."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

SHORT_SECONDS = 0.1  # what a container's length may be beyond its last sample without the file being cut


def media_info(path: Path, stream: int) -> tuple[int, int, int, str]:
    """Samples per channel, rate in Hz, channels and codec of one audio stream, counted from 0.

    Of an mp4 (m4a, mov) the samples are exact and what the encoder added at both ends does not count; other containers
    only know about how long they are.

    Raises:
        ValueError: if the file is no media file, has no such stream, or is an mp4 that is shorter than its index says.
    """
    try:
        with _opened(path, stream) as (container, audio):
            codec = audio.codec_context
            samples = _indexed_samples(path, container, audio) or _estimated_samples(container, audio)
            return samples, codec.sample_rate, codec.layout.nb_channels, codec.name.upper()
    except av.FFmpegError as error:
        raise ValueError(f"{path} cannot be read as audio ({_reason(error)})") from None


def media_blocks(path: Path, stream: int) -> Iterator[np.ndarray]:
    """The samples of one audio stream as float32 blocks `(t, C)`, a block a frame of the codec.

    What an encoder put before the first sample and after the last is left out, where the container says how much it is.

    Raises:
        ValueError: as `media_info`, and if decoding fails, the format changes, or the file ends before its time.
    """
    read, rate_hz = 0, 1
    try:
        with _opened(path, stream) as (container, audio):
            rate_hz, channels = audio.codec_context.sample_rate, audio.codec_context.layout.nb_channels
            for frame in container.decode(audio):
                if (frame.sample_rate, frame.layout.nb_channels) != (rate_hz, channels):
                    raise ValueError(f"{path} changes its rate or channels after {read / rate_hz:.1f} s")
                block = _samples(frame)[: _length(frame, container, audio)]
                read += len(block)
                yield block
            promised_seconds = _promised_seconds(container, audio)
    except av.FFmpegError as error:
        raise ValueError(f"{path} breaks off after {read / rate_hz:.1f} s ({_reason(error)})") from None
    if promised_seconds is not None and read / rate_hz < promised_seconds - SHORT_SECONDS:
        raise ValueError(
            f"{path} is truncated: its header promises {promised_seconds:.1f} s, "
            f"{read / rate_hz:.1f} s could be decoded"
        )


@contextmanager
def _opened(path: Path, stream: int) -> Iterator[tuple[InputContainer, AudioStream]]:
    # With its protocol named, no part of a file's name is taken for one; nothing but files is ever opened.
    with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
        found = len(container.streams.audio)
        if not found:
            raise ValueError(f"{path} holds no audio stream")
        if stream >= found:
            raise ValueError(f"{path}: expected an audio stream number {stream} (from 0). Received: {found} stream(s)")
        yield container, container.streams.audio[stream]


def _indexed_samples(path: Path, container: InputContainer, audio: AudioStream) -> int:
    """The samples that an mp4's index gives; 0 for another container."""
    if not _is_mp4(container):
        return 0
    packets = [packet for packet in container.demux(audio) if packet.size]
    spans = [(packet.pts, packet.pts + (packet.duration or 0)) for packet in packets if packet.pts is not None]
    ticks = max((end for _, end in spans), default=0)
    compressed = not ticks or audio.frames < ticks  # else each packet holds many of what the index counts
    if compressed and len(packets) < audio.frames:
        raise ValueError(
            f"{path} is truncated: its header promises {audio.frames} packets of sound, the file has {len(packets)}"
        )
    # What an encoder put before the first sample has times below zero.
    ticks -= max(0, min((start for start, _ in spans), default=0))
    return round(ticks * (audio.time_base or 0) * audio.codec_context.sample_rate)


def _estimated_samples(container: InputContainer, audio: AudioStream) -> int:
    """What another container's header says, which may be another stream's length; where it says nothing: the count."""
    if container.duration:
        return round(container.duration / av.time_base * audio.codec_context.sample_rate)
    return sum(frame.samples for frame in container.decode(audio))


def _length(frame: av.AudioFrame, container: InputContainer, audio: AudioStream) -> int:
    """How many of a frame's samples are sound: an mp4's last frame says by its duration where padding begins."""
    samples_a_tick = (audio.time_base or 0) * audio.codec_context.sample_rate
    if _is_mp4(container) and frame.duration and samples_a_tick == int(samples_a_tick):
        return min(frame.samples, frame.duration * int(samples_a_tick))
    return frame.samples


def _promised_seconds(container: InputContainer, audio: AudioStream) -> float | None:
    """The length that the header gives; None where it is a guess, or another stream's."""
    if audio.duration and audio.time_base and _is_mp4(container):
        return float(audio.duration * audio.time_base)
    known = "matroska" in container.format.name and len(container.streams) == 1
    return container.duration / av.time_base if known and container.duration else None


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
