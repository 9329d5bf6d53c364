"""The prepared data set: a manifest, and each stem once, at the training rate, as a wav that can be sliced.

    PREPARED/manifest.json                      tracks, their parts, splits, source rates, checksums
    PREPARED/<track>/<number>_<instrument>.wav  one part: PCM of 16 bits, at the prepared rate
    PREPARED/<track>/0_mixture.wav              the recorded mixture, where the data set has one

A mixture is the sum of the parts; the recorded one, which never is exactly, is for tests. People can listen to every
file.
"""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

MANIFEST = "manifest.json"
HEADER_BYTES = 44
FULL_SCALE = 1 << 15


class Part(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One player's line: its number in the track, instrument code, file, and where it came from."""

    number: int
    instrument: str
    file: str
    sha256: str
    source_rate_hz: int
    source_bytes: int
    source_mtime_ns: int


class Track(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One piece: its parts, all of `samples` samples. A group is a composition that no split may divide.

    `mixture` is the recorded one: number 0, instrument `mixture`.
    """

    name: str
    split: str
    group: str
    samples: int
    parts: tuple[Part, ...]
    mixture: Part | None = None

    @property
    def files(self) -> tuple[Part, ...]:
        """What the track has on disk: the parts, and the recorded mixture if there is one."""
        return self.parts if self.mixture is None else (*self.parts, self.mixture)

    @property
    def instruments(self) -> frozenset[str]:
        """The instrument codes of the parts."""
        return frozenset(part.instrument for part in self.parts)


class Manifest(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What the folder of a prepared data set holds."""

    format: Literal[1] = 1
    sample_rate_hz: int
    channels: int
    tracks: tuple[Track, ...]


class Prepared:
    """A prepared data set, opened for reading.

    Args:
        root: the folder that `Prepare.py` made.

    Raises:
        FileNotFoundError: if there is no finished preparation.
        ValueError: if the manifest is damaged.
    """

    def __init__(self, root: Path | str):
        self.root = Path(root)
        path = self.root / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(
                f"{self.root} holds no {MANIFEST}: expected a folder that Prepare.py finished (run it again to go on)"
            )
        try:
            self.manifest = Manifest.model_validate_json(path.read_bytes())
        except pydantic.ValidationError as error:
            raise ValueError(
                f"{path} is damaged ({error.errors()[0]['msg']}); remove {self.root} and prepare again"
            ) from None
        self.sample_rate_hz = self.manifest.sample_rate_hz
        self.channels = self.manifest.channels

    def split(self, name: str) -> tuple[Track, ...]:
        """The tracks of a split, in order.

        Raises:
            ValueError: if there are none (the splits that exist are named), or a stem is missing or cut short.
        """
        tracks = tuple(track for track in self.manifest.tracks if track.split == name)
        if not tracks:
            known = ", ".join(sorted({track.split for track in self.manifest.tracks}))
            raise ValueError(f"{self.root} has no track in the split '{name}'; it has: {known}")
        for track in tracks:
            for part in track.files:
                self._require_whole(track, part)
        return tracks

    def read_pcm(self, part: Part, start: int, samples: int) -> np.ndarray:
        """Samples of a part `(samples, C)`, int16, from `start` on; zero outside of the track."""
        excerpt = np.zeros((samples, self.channels), np.int16)
        first, frame_bytes = max(0, start), 2 * self.channels
        path = self.root / part.file
        try:
            with path.open("rb", buffering=0) as file:  # mapped, each stem would hold a file open; few may be
                file.seek(HEADER_BYTES + first * frame_bytes)
                data = file.read(max(0, start + samples - first) * frame_bytes)
            pcm = np.frombuffer(data, "<i2").reshape(-1, self.channels)
        except (OSError, ValueError) as error:
            reason = f"cannot be read ({error}); `Prepare.py check {self.root}` lists all faults"
            raise ValueError(f"{path} {reason}") from None
        excerpt[first - start :][: len(pcm)] = pcm
        return excerpt

    def read(self, part: Part, start: int, samples: int) -> np.ndarray:
        """Samples of a part `(samples, C)`, float32, full scale 1.0, from `start` on; zero outside of the track."""
        return self.read_pcm(part, start, samples) * np.float32(1 / FULL_SCALE)

    def sources(self, track: Track, names: tuple[str, ...], start: int = 0, samples: int | None = None) -> np.ndarray:
        """The parts of a track summed into their sources `(T, S, C)`, float32; the whole track where no span is given.

        Raises:
            ValueError: if an instrument of the track is not among `names`.
        """
        samples = track.samples if samples is None else samples
        summed = np.zeros((samples, len(names), self.channels), np.float32)
        for part in track.parts:
            summed[:, source_of(track, part, names)] += self.read(part, start, samples)
        return summed

    def _require_whole(self, track: Track, part: Part) -> None:
        """Raises ValueError unless the part's file has the size that its track's length demands."""
        path, expected_bytes = self.root / part.file, HEADER_BYTES + 2 * self.channels * track.samples
        if not path.is_file() or path.stat().st_size != expected_bytes:
            raise ValueError(
                f"{path} is missing or has not its {expected_bytes} bytes; "
                f"`Prepare.py check {self.root}` lists all faults"
            )

    def damaged(self, part: Part) -> bool:
        """Whether the part's file is missing or its bytes differ from what was prepared."""
        path = self.root / part.file
        return not path.is_file() or sha256(path) != part.sha256


def source_of(track: Track, part: Part, names: tuple[str, ...]) -> int:
    """The index of the part's source among `names`.

    Raises:
        ValueError: if its instrument is not among them.
    """
    if part.instrument not in names:
        raise ValueError(f"{track.name}: instrument '{part.instrument}' is not among the sources {', '.join(names)}")
    return names.index(part.instrument)


def labels_of(track: Track, names: tuple[str, ...]) -> np.ndarray:
    """1.0 for each source that has a part in the track: `(S,)`, float32."""
    return np.array([name in track.instruments for name in names], np.float32)


def sha256(path: Path) -> str:
    """The checksum of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
