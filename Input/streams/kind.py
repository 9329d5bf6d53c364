"""What every kind of context defines, and what it is given of a part."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from ..prepared import Part, Prepared, Track
from ..sources import Sources


class Stretch(NamedTuple):
    """A part for as long as a mixture lasts.

    Args:
        of_class: the index of the class that holds it.
        start_seconds: where in its track the mixture begins; below zero where it begins before.
        seconds: how much of the track the mixture takes: its own length times the speed.
        speed: how many times faster, and higher, the part is played.
        prepared, track, part: where it comes from; None of anybody's recording.
    """

    of_class: int
    start_seconds: float = 0.0
    seconds: float = 0.0
    speed: float = 1.0
    prepared: Prepared | None = None
    track: Track | None = None
    part: Part | None = None

    def frames(self, name: str, count: int) -> np.ndarray:
        """The rows that a stream of the part or of its track has in the middle of each of so many even pieces.

        A row holds until the next one. All are read at once; they are zero where the stream has not begun or has ended.

        Args:
            name: of the stream.
            count: F, the pieces of the mixture.

        Returns:
            Rows (F, ...).

        Raises:
            ValueError: if there is no such stream, or its file is damaged.
        """
        if self.prepared is None or self.track is None or self.part is None:
            raise ValueError(
                f"expected a prepared data set with a stream {name}. Received: a recording, which has none"
            )
        stream = self.part.streams.get(name) or self.track.streams.get(name)
        if stream is None:
            raise ValueError(
                f"{self.prepared.address}: part {self.part.number} of {self.track.name} has no stream {name}; prepare "
                "the data set again, from files that have it"
            )
        middles = self.start_seconds + (np.arange(count) + 0.5) * (self.seconds / count)
        wanted = np.floor((middles - stream.offset_seconds) * (stream.rate_hz or 0)).astype(int)
        rows = self.prepared.rows(stream, int(wanted[0]), int(wanted[-1] - wanted[0]) + 1)
        return rows[wanted - wanted[0]]


class Kind(ABC):
    """A kind of context: what a network is given beside the mixture.

    It is an array (D,) where it holds for the whole mixture, (F, D) where it moves in time, whose F frames then divide
    the mixture evenly. Where sources are parts, each part has such an array of its own.
    """

    meaning: ClassVar[str]
    """What it is, for people."""
    frames_hz: ClassVar[float | None] = None
    """Frames a second of what moves in time."""

    @abstractmethod
    def entries(self, sources: Sources) -> int:
        """D."""

    @abstractmethod
    def add(self, array: np.ndarray, part: Stretch) -> None:
        """Writes what a part that sounds adds to the array, which is zero at first.

        Raises:
            ValueError: if the part has not the stream that it takes, or a file is damaged.
        """

    def rows(self, path: Path) -> tuple[np.ndarray, float]:
        """What a file of a data set holds, as it is prepared: rows (N, ...), and how many there are a second.

        Raises:
            FileNotFoundError, ValueError: if the file is missing or damaged.
        """
        raise NotImplementedError("this kind is of no file")

    def shape(self, sources: Sources, seconds: float) -> tuple[int, ...]:
        """The shape of the array for a mixture of so many seconds."""
        entries = self.entries(sources)
        return (entries,) if self.frames_hz is None else (max(1, round(self.frames_hz * seconds)), entries)
