"""Audio files made with FFmpeg's encoders, as data sets have them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np


def encode(
    path: Path,
    signals: Sequence[np.ndarray],
    codec: str = "aac",
    sample_rate_hz: int = 44_100,
    shift: Callable[[int], int] | None = None,
    **options: str,
) -> None:
    """Writes each signal `(T, C)` as one audio stream of the file; the container is the one of the file's ending.

    `shift` says by how many samples each packet, by its number, is later than it should be.
    """
    with av.open(f"file:{path}", "w", options=options) as container:
        streams = []
        for signal in signals:
            layout = {1: "mono", 2: "stereo"}[signal.shape[1]]
            stream = container.add_stream(codec, rate=sample_rate_hz, layout=layout)
            stream.bit_rate = 256_000
            streams.append((stream, _frames(signal, stream, sample_rate_hz, layout)))
        for stream, frames in streams:
            packets = [packet for frame in (*frames, None) for packet in stream.encode(frame)]
            for number, packet in enumerate(packets):
                if shift:
                    packet.pts = packet.dts = packet.pts + shift(number)
                    packet.duration += shift(number + 1) - shift(number)
                container.mux(packet)


def packets(path: Path) -> list[int]:
    """Where in a file each packet of its first audio stream begins."""
    with av.open(f"file:{path}") as container:
        return [packet.pos for packet in container.demux(audio=0) if packet.size]


def _frames(signal, stream, sample_rate_hz, layout):
    """The signal in the encoder's format, and in its frames where it wants a length."""
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(signal.T, np.float32), format="fltp", layout=layout)
    whole.sample_rate, whole.pts = sample_rate_hz, 0
    wanted = stream.codec_context.format.name if stream.codec_context.format else "fltp"
    fifo = av.AudioFifo()
    for frame in av.AudioResampler(format=wanted, layout=layout, rate=sample_rate_hz).resample(whole):
        fifo.write(frame)
    length = stream.codec_context.frame_size or 1_024
    frames = [*fifo.read_many(length), *filter(None, [fifo.read(partial=True)])]
    for number, frame in enumerate(frames):
        frame.pts = number * length  # without times no container could say where the sound begins
    return frames
