"""What the sources of a mixture are: classes of instruments, or the parts of a track one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Targets = Literal["classes", "parts"]


class Player(Protocol):
    """A part as far as its sources go."""

    @property
    def number(self) -> int:
        """Its number in the track."""
        ...

    @property
    def instrument(self) -> str:
        """Its instrument code."""
        ...


class Ensemble(Protocol):
    """A track as far as its sources go."""

    @property
    def name(self) -> str:
        """The track's name."""
        ...

    @property
    def parts(self) -> Sequence[Player]:
        """Its parts."""
        ...


@dataclass(frozen=True)
class Sources:
    """The axis S of sources.

    Args:
        names: of the K classes, in their order; a name is also an instrument's, unless `sums` has it.
        sums: the instruments of classes that hold several, such as {"accompaniment": ("bass", "drums", "other")}.
        targets: `classes`: S is K, the parts of a class are summed, and a class without a part is silent. `parts`: each
            part is a source, in the track's order, and belongs to a class.
    """

    names: tuple[str, ...]
    sums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    targets: Targets = "classes"

    @property
    def of_parts(self) -> bool:
        """Whether each part is a source."""
        return self.targets == "parts"

    def class_of(self, track: Ensemble, instrument: str) -> int:
        """The index of the class that holds an instrument of a track.

        Raises:
            ValueError: if none does.
        """
        for index, name in enumerate(self.names):
            if instrument in self.sums.get(name, (name,)):
                return index
        raise ValueError(f"{track.name}: instrument '{instrument}' is not among the sources {', '.join(self.names)}")

    def row(self, place: int, of_class: int) -> int:
        """Which source a part is: by its place among the parts that sound together, and its class."""
        return place if self.of_parts else of_class

    def classes(self, track: Ensemble) -> list[int]:
        """The class of each part of a track."""
        return [self.class_of(track, part.instrument) for part in track.parts]

    def rows(self, track: Ensemble) -> list[int]:
        """Which source each part of a track is."""
        return [self.row(place, of_class) for place, of_class in enumerate(self.classes(track))]

    def of(self, track: Ensemble) -> tuple[str, ...]:
        """The S names of a track's sources: the classes, or `1_vn` for its first part, a violin."""
        if not self.of_parts:
            return self.names
        return tuple(f"{part.number}_{part.instrument}" for part in track.parts)
