"""Files of sound, open for writing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
FLAC_RATES_HZ = (1, 655_350)  # libsndfile's
FLAC_CHANNELS = 8


@dataclass(frozen=True)
class Format:
    """How a stem is written.

    Args:
        ending: `wav`, `flac` or `mp3`.
        subtype: of wav and flac, in libsndfile's words: PCM_16, PCM_24 or, of wav, FLOAT.
        bitrate_kbps: of mp3, constant.
    """

    ending: Literal["wav", "flac", "mp3"] = "wav"
    subtype: str = "PCM_16"
    bitrate_kbps: int = 320

    @property
    def holds_all(self) -> bool:
        """Whether samples beyond full scale are kept as they are."""
        return self.subtype == "FLOAT" and self.ending == "wav"

    def require(self, sample_rate_hz: int, channels: int) -> None:
        """Raises ValueError if the format cannot hold sound of this rate and so many channels."""
        if self.ending == "mp3" and (sample_rate_hz not in MP3_RATES_HZ or channels > 2):
            raise ValueError(
                f"expected at most 2 channels and a rate of {', '.join(map(str, MP3_RATES_HZ))} Hz for mp3. Received: "
                f"{channels} channel(s) at {sample_rate_hz} Hz; take wav or flac"
            )
        if self.ending == "flac" and (channels > FLAC_CHANNELS or sample_rate_hz > FLAC_RATES_HZ[1]):
            raise ValueError(
                f"expected at most {FLAC_CHANNELS} channels and {FLAC_RATES_HZ[1]} Hz for flac. Received: {channels} "
                f"channels at {sample_rate_hz} Hz; take wav"
            )


@contextmanager
def stem_writer(
    path: Path, sample_rate_hz: int, channels: int, form: Format
) -> Iterator[Callable[[np.ndarray], object]]:
    """Yields a function that appends float32 samples (t, C) to a new file; what its format cannot hold is clipped.

    An mp3 may be up to 46 samples longer than what was written, which its header has no number for; and LAME lowers
    what it encodes at less than 256 kbit/s (rates below 32 kHz allow no more) by up to 0.45 dB.

    Raises:
        OSError: if the file cannot be written, as on a full disk.
    """
    if form.ending == "mp3":
        with _mp3_writer(path, sample_rate_hz, channels, form.bitrate_kbps) as write:
            yield write
    else:
        with wav_writer(path, sample_rate_hz, channels, form.subtype, form.ending.upper()) as file:
            yield file.write


@contextmanager
def wav_writer(
    path: Path, sample_rate_hz: int, channels: int, subtype: str, container: str = "WAV"
) -> Iterator[soundfile.SoundFile]:
    """A wav (or flac) open for writing; samples beyond full scale are clipped where `subtype` is PCM.

    Raises:
        OSError: if it cannot be written, as on a full disk.
    """
    try:
        with soundfile.SoundFile(path, "w", sample_rate_hz, channels, subtype, format=container) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise OSError(f"{path} cannot be written ({error.error_string.rstrip('.')}); is the disk full?") from None


@contextmanager
def _mp3_writer(
    path: Path, sample_rate_hz: int, channels: int, bitrate_kbps: int
) -> Iterator[Callable[[np.ndarray], None]]:
    import av  # not before it is needed: it loads all of FFmpeg's codecs

    layout = "mono" if channels == 1 else "stereo"
    try:
        with av.open(f"file:{path}", "w", format="mp3") as container:
            stream = container.add_stream("libmp3lame", rate=sample_rate_hz, layout=layout)
            stream.bit_rate = 1_000 * bitrate_kbps
            position = 0

            def write(samples: np.ndarray) -> None:
                nonlocal position
                planes = np.ascontiguousarray(np.clip(samples, -1, 1).T, np.float32)
                frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
                frame.sample_rate, frame.pts = sample_rate_hz, position
                position += len(samples)
                container.mux(stream.encode(frame))

            yield write
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise OSError(f"{path} cannot be written ({error.strerror}); is the disk full?") from None
