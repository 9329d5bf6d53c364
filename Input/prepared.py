"""The prepared data set: a manifest, and each stream of a track or part once, in a file that can be read in pieces.

    PREPARED/manifest.json                      tracks, their parts, splits, streams, checksums
    PREPARED/<track>/<number>_<instrument>.wav  a part's audio: PCM of 16 bits, at the prepared rate
    PREPARED/<track>/0_mixture.wav              the recorded mixture, where the data set has one

A mixture is the sum of the parts; the recorded one, which never is exactly, is for tests. People can listen to every
file. A file holds the rows of an array one after the other, behind a header that is passed over: wav is such a format,
and so is npy.
"""

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from Files import require_name, require_path

import numpy as np
import pydantic

from .sources import Sources
from .storage import storage

MANIFEST = "manifest.json"
JOURNAL = "unfinished.jsonl"  # in its place until the preparation is finished
AUDIO = "audio"
HEADER_BYTES = 44  # of a wav that this program wrote
BLOCK_BYTES = 1 << 20
FULL_SCALE = 1 << 15

Name = Annotated[str, pydantic.AfterValidator(require_name)]
"""Safe as one step of a path."""


class Origin(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The file that a stream was prepared from: its rate (samples or frames a second), its size and time."""

    rate_hz: float
    bytes: int
    mtime_ns: int


class Stream(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A named signal of a track or part: an array in a file.

    Args:
        file: below the data set's folder.
        sha256: of the file's bytes.
        axes: what each axis of the array is; the first is `time` where it moves: ("time", "channel").
        shape: of the array.
        dtype: of its entries, as numpy writes it, with the order of bytes: "<i2".
        first_byte: where the first row begins.
        rate_hz: rows a second; None where it does not move.
        offset_seconds: when the first row begins, from the beginning of the track.
        origin: what it was made of; None where it is of no file.
    """

    file: Annotated[str, pydantic.AfterValidator(require_path)]
    sha256: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: Annotated[str, pydantic.AfterValidator(lambda dtype: np.dtype(dtype).str)]
    first_byte: int
    rate_hz: float | None
    offset_seconds: float = 0.0
    origin: Origin | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape[1:])

    @property
    def bytes(self) -> int:
        """Bytes of the whole file."""
        return self.first_byte + self.shape[0] * self.row_bytes


def audio_stream(
    file: str, sha256: str, samples: int, channels: int, sample_rate_hz: int, origin: Origin | None
) -> Stream:
    """A wav of 16 bits as a stream."""
    return Stream(
        file=file,
        sha256=sha256,
        axes=("time", "channel"),
        shape=(samples, channels),
        dtype="<i2",
        first_byte=HEADER_BYTES,
        rate_hz=sample_rate_hz,
        origin=origin,
    )


class Part(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One player's line: its number in the track, instrument code, and streams, of which `audio` is always one."""

    number: int
    instrument: Name
    streams: dict[str, Stream]

    @pydantic.model_validator(mode="after")
    def _sounds(self) -> "Part":
        if AUDIO not in self.streams:
            raise ValueError(f"part {self.number} has no stream {AUDIO}")
        return self

    @property
    def audio(self) -> Stream:
        """What it sounds like."""
        return self.streams[AUDIO]

    def __hash__(self) -> int:
        return hash((self.number, self.instrument, self.audio.file))


class Track(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One piece: its parts, all of `samples` samples. A group is a composition that no split may divide.

    Its own streams are of all parts together; `audio` among them is the recorded mixture.
    """

    name: Name
    split: Name
    group: str
    samples: int
    parts: tuple[Part, ...]
    streams: dict[str, Stream] = {}

    @property
    def mixture(self) -> Part | None:
        """The recorded mixture as a part, number 0, instrument `mixture`; None where the data set has none."""
        return Part(number=0, instrument="mixture", streams=self.streams) if AUDIO in self.streams else None

    @property
    def files(self) -> tuple[Part, ...]:
        """Whose audio the track has on disk: the parts, and the recorded mixture if there is one."""
        return self.parts if self.mixture is None else (*self.parts, self.mixture)

    @property
    def stream_files(self) -> list[str]:
        """The files of all streams, relative to the prepared data set."""
        return [stream.file for part in self.files for stream in part.streams.values()]

    @property
    def instruments(self) -> frozenset[str]:
        """The instrument codes of the parts."""
        return frozenset(part.instrument for part in self.parts)

    def __hash__(self) -> int:
        return hash((self.name, self.split))


class Manifest(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What the folder of a prepared data set holds. A manifest of format 1, of audio alone, is read as well."""

    format: Literal[2] = 2
    sample_rate_hz: int
    channels: int
    tracks: tuple[Track, ...]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_format_1(cls, tree: Any) -> Any:
        if not isinstance(tree, dict) or tree.get("format") != 1:
            return tree

        def streams(samples: int, part: dict[str, Any]) -> dict[str, Any]:
            origin = {name: part[f"source_{name}"] for name in ("rate_hz", "bytes", "mtime_ns")}
            audio = audio_stream(
                part["file"], part["sha256"], samples, tree["channels"], tree["sample_rate_hz"], Origin(**origin)
            )
            return {AUDIO: audio.model_dump()}

        tracks = []
        try:
            for track in tree["tracks"]:
                known = {name: track[name] for name in ("name", "split", "group", "samples")}
                parts = [
                    {name: part[name] for name in ("number", "instrument")}
                    | {"streams": streams(track["samples"], part)}
                    for part in track["parts"]
                ]
                mixture = track.get("mixture")
                own = streams(track["samples"], mixture) if mixture else {}
                tracks.append({**known, "parts": parts, "streams": own})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{error} is missing in a track") from None
        return {**tree, "format": 2, "tracks": tracks}


class Prepared:
    """A prepared data set, opened for reading.

    Args:
        root: the folder that `Prepare.py` made, or where it was copied to: an address that fsspec opens, such as
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
        """The tracks of a split, in order; only those of so many parts where that is given.

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
                for stream in part.streams.values():
                    self._require_whole(stream)
        return tracks

    def rows(self, stream: Stream, first: int, count: int) -> np.ndarray:
        """Rows of a stream `(count, ...)` from number `first` on; zeros before its beginning and after its end.

        Raises:
            ValueError: if the file is missing or damaged.
        """
        start, end = (min(max(0, row), stream.shape[0]) for row in (first, first + count))
        try:
            data = self.storage.read(
                stream.file, stream.first_byte + start * stream.row_bytes, (end - start) * stream.row_bytes
            )
            rows = np.frombuffer(data, stream.dtype).reshape(-1, *stream.shape[1:])
        except (OSError, ValueError) as error:
            raise ValueError(f"{self._path(stream)} cannot be read ({error}); {self._hint}") from None
        if len(rows) == count:
            return rows
        padded = np.zeros((count, *stream.shape[1:]), rows.dtype)
        padded[start - first :][: len(rows)] = rows
        return padded

    def read_pcm(self, part: Part, start: int, samples: int) -> np.ndarray:
        """Samples of a part `(samples, C)`, int16, from `start` on; zero outside of the track."""
        return self.rows(part.audio, start, samples)

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

    def damaged(self, stream: Stream) -> bool:
        """Whether a stream's file is missing or its bytes differ from what was prepared."""
        size = self.storage.size(stream.file)
        if size is None:
            return True
        checksum = hashlib.sha256()
        for first in range(0, size, BLOCK_BYTES):
            checksum.update(self.storage.read(stream.file, first, BLOCK_BYTES))
        return checksum.hexdigest() != stream.sha256

    def _require_whole(self, stream: Stream) -> None:
        """Raises ValueError unless a stream's file has the size that its shape demands."""
        if self.storage.size(stream.file) != stream.bytes:
            raise ValueError(f"{self._path(stream)} is missing or has not its {stream.bytes} bytes; {self._hint}")

    def _path(self, stream: Stream) -> str:
        return f"{self.address.rstrip('/')}/{stream.file}"

    @property
    def _hint(self) -> str:
        return f"`Prepare.py check {self.address}` lists all faults"


def source_major(samples: int, sources: int, channels: int) -> np.ndarray:
    """Silence (T, S, C), float32, of which each source lies in one piece: quick to fill and to reduce one by one."""
    return np.moveaxis(np.zeros((sources, samples, channels), np.float32), 0, 1)
