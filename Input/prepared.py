"""The prepared data set: a manifest, and each stem once, at the training rate, as a wav that can be sliced.

    PREPARED/manifest.json                      tracks, their parts, splits, source rates, checksums
    PREPARED/<track>/<number>_<instrument>.wav  one part: PCM of 16 bits, at the prepared rate
    PREPARED/<track>/0_mixture.wav              the recorded mixture, where the data set has one

A mixture is the sum of the parts; the recorded one, which never is exactly, is for tests. People can listen to every
file.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from Files import require_name, require_path

import numpy as np
import pydantic

from .sources import Sources
from .storage import storage

MANIFEST = "manifest.json"
JOURNAL = "unfinished.jsonl"  # in its place until the preparation is finished
HEADER_BYTES = 44
BLOCK_BYTES = 1 << 20
FULL_SCALE = 1 << 15

Name = Annotated[str, pydantic.AfterValidator(require_name)]
"""Safe as one step of a path."""


class Part(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One player's line: its number in the track, instrument code, file, and where it came from."""

    number: int
    instrument: Name
    file: Annotated[str, pydantic.AfterValidator(require_path)]
    sha256: str
    source_rate_hz: int
    source_bytes: int
    source_mtime_ns: int


class Track(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One piece: its parts, all of `samples` samples. A group is a composition that no split may divide.

    `mixture` is the recorded one: number 0, instrument `mixture`.
    """

    name: Name
    split: Name
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
        root: the folder that `Prepare.py` made, or where it was copied to: an address that fsspec knows, such as
            gs://bucket/prepared or s3://bucket/prepared.

    Raises:
        FileNotFoundError: if there is no finished preparation.
        ValueError: if the manifest is damaged.
    """

    def __init__(self, root: Path | str):
        self.address, self.storage = str(root), storage(root)
        size = self.storage.size(MANIFEST)
        if size is None:
            raise FileNotFoundError(
                f"{root} holds no {MANIFEST}: expected a folder that Prepare.py finished (run it again to go on)"
            )
        try:
            self.manifest = Manifest.model_validate_json(self.storage.read(MANIFEST, 0, size))
        except pydantic.ValidationError as error:
            raise ValueError(
                f"{root}/{MANIFEST} is damaged, or none of this program's ({error.errors()[0]['msg']}); prepare into "
                "another folder"
            ) from None
        self.root = Path(root)  # where the folder is on this machine
        self.sample_rate_hz = self.manifest.sample_rate_hz
        self.channels = self.manifest.channels

    def split(self, name: str, parts: tuple[int, ...] = ()) -> tuple[Track, ...]:
        """The tracks of a split, in order; only those of so many parts where that is said.

        Raises:
            ValueError: if there are none (what exists is named), or a stem is missing or cut short.
        """
        all_tracks = tuple(track for track in self.manifest.tracks if track.split == name)
        if not all_tracks:
            known = ", ".join(sorted({track.split for track in self.manifest.tracks}))
            raise ValueError(f"{self.address} has no track in the split '{name}'; it has: {known}")
        tracks = tuple(track for track in all_tracks if not parts or len(track.parts) in parts)
        if not tracks:
            known = ", ".join(map(str, sorted({len(track.parts) for track in all_tracks})))
            wanted = " or ".join(map(str, parts))
            raise ValueError(f"{self.address}: no track of the split '{name}' has {wanted} parts; they have: {known}")
        for track in tracks:
            for part in track.files:
                self._require_whole(track, part)
        return tracks

    def read_pcm(self, part: Part, start: int, samples: int) -> np.ndarray:
        """Samples of a part `(samples, C)`, int16, from `start` on; zero outside of the track."""
        first, frame_bytes = max(0, start), 2 * self.channels
        try:
            data = self.storage.read(
                part.file, HEADER_BYTES + first * frame_bytes, max(0, start + samples - first) * frame_bytes
            )
            pcm = np.frombuffer(data, "<i2").reshape(-1, self.channels)
        except (OSError, ValueError) as error:
            raise ValueError(f"{self._path(part)} cannot be read ({error}); {self._hint}") from None
        if len(pcm) == samples:
            return pcm
        excerpt = np.zeros((samples, self.channels), np.int16)
        excerpt[first - start :][: len(pcm)] = pcm
        return excerpt

    def read(self, part: Part, start: int, samples: int) -> np.ndarray:
        """Samples of a part `(samples, C)`, float32, full scale 1.0, from `start` on; zero outside of the track."""
        return self.read_pcm(part, start, samples) * np.float32(1 / FULL_SCALE)

    def sources(self, track: Track, wanted: Sources, start: int = 0, samples: int | None = None) -> np.ndarray:
        """The parts of a track summed into their sources `(T, S, C)`, float32; the whole track where no span is given.

        Raises:
            ValueError: if an instrument of the track is in none of the sources.
        """
        samples = track.samples if samples is None else samples
        summed = source_major(samples, len(wanted.of(track)), self.channels)
        for part, row in zip(track.parts, wanted.rows(track), strict=True):
            summed[:, row] += self.read(part, start, samples)
        return summed

    def recorded(self, track: Track) -> np.ndarray:
        """The recorded mixture of a whole track `(T, C)`, float32.

        Raises:
            ValueError: if the data set has none for it.
        """
        if track.mixture is None:
            raise ValueError(f"{self.address}: {track.name} has no recorded mixture; take mixture=sum")
        return self.read(track.mixture, 0, track.samples)

    def damaged(self, part: Part) -> bool:
        """Whether the part's file is missing or its bytes differ from what was prepared."""
        size = self.storage.size(part.file)
        if size is None:
            return True
        checksum = hashlib.sha256()
        for first in range(0, size, BLOCK_BYTES):
            checksum.update(self.storage.read(part.file, first, BLOCK_BYTES))
        return checksum.hexdigest() != part.sha256

    def _require_whole(self, track: Track, part: Part) -> None:
        """Raises ValueError unless the part's file has the size that its track's length demands."""
        expected_bytes = HEADER_BYTES + 2 * self.channels * track.samples
        if self.storage.size(part.file) != expected_bytes:
            raise ValueError(f"{self._path(part)} is missing or has not its {expected_bytes} bytes; {self._hint}")

    def _path(self, part: Part) -> str:
        return f"{self.address.rstrip('/')}/{part.file}"

    @property
    def _hint(self) -> str:
        return f"`Prepare.py check {self.address}` lists all faults"


def source_major(samples: int, sources: int, channels: int) -> np.ndarray:
    """Silence (T, S, C), float32, of which each source lies in one piece: quick to fill and to reduce one by one."""
    return np.moveaxis(np.zeros((sources, samples, channels), np.float32), 0, 1)
