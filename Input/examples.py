"""Which samples an example holds: pure functions of numbers, without a shuffle buffer and without state."""

from dataclasses import dataclass

import numpy as np

from .prepared import Part, Prepared, Track, labels_of, source_of

Element = tuple[dict[str, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Excerpt:
    """The lengths of an example: sources of `output_samples` in the middle of a mixture of `input_samples`."""

    input_samples: int
    output_samples: int

    @property
    def context_samples(self) -> int:
        """Samples of mixture before the first and after the last sample of the sources."""
        return (self.input_samples - self.output_samples) // 2


@dataclass(frozen=True)
class Augmentation:
    """What training changes at random.

    Each part's gain is uniform in `gain` (linear). With the probability `remix` an example is remixed: each of its
    parts is replaced by one of the same instrument, from any track and any moment.
    """

    gain: tuple[float, float] = (1.0, 1.0)
    remix: float = 0.0


@dataclass(frozen=True)
class DrawnPart:
    """A part in an example: where its sources start in its track (samples), and its linear gain."""

    track: Track
    part: Part
    start: int
    gain: float


class TrainingExamples:
    """Endless training examples: example `number` is a pure function of the seed and the number.

    Every moment of every track is equally likely to begin an excerpt, the first and the last included; context beyond
    a track's ends is silence.

    Args:
        prepared: the data set.
        tracks: those to draw from.
        names: the sources, in the order of the model's output.
        excerpt: lengths.
        augmentation: what varies.
        seed: of the whole run.

    Raises:
        ValueError: if an instrument is not among the sources.
    """

    def __init__(
        self,
        prepared: Prepared,
        tracks: tuple[Track, ...],
        names: tuple[str, ...],
        excerpt: Excerpt,
        augmentation: Augmentation,
        seed: int,
    ):
        self.prepared, self.tracks, self.names = prepared, tracks, names
        self.excerpt, self.augmentation, self.seed = excerpt, augmentation, seed
        _require_sources(tracks, names)
        self._ends = np.cumsum([self._starts(track) for track in tracks])
        self._same_instrument: dict[str, list[tuple[Track, Part]]] = {}
        for track in tracks:
            for part in track.parts:
                self._same_instrument.setdefault(part.instrument, []).append((track, part))

    def draw(self, number: int) -> list[DrawnPart]:
        """The parts of example `number`, with their moments and gains."""
        random = np.random.default_rng((self.seed, number))
        moment = int(random.integers(self._ends[-1]))
        index = int(np.searchsorted(self._ends, moment, side="right"))
        track, start = self.tracks[index], int(self._ends[index]) - 1 - moment
        remixed = random.random() < self.augmentation.remix
        drawn = []
        for part in track.parts:
            gain = float(random.uniform(*self.augmentation.gain))
            if remixed:
                others = self._same_instrument[part.instrument]
                other, other_part = others[int(random.integers(len(others)))]
                drawn.append(DrawnPart(other, other_part, int(random.integers(self._starts(other))), gain))
            else:
                drawn.append(DrawnPart(track, part, start, gain))
        return drawn

    def element(self, number: int) -> Element:
        """Example `number` as THE element of this floor."""
        drawn = self.draw(number)
        excerpt, channels = self.excerpt, self.prepared.channels
        mixture = np.zeros((excerpt.input_samples, channels), np.float32)
        sources = np.zeros((excerpt.output_samples, len(self.names), channels), np.float32)
        labels = np.zeros(len(self.names), np.float32)
        middle = slice(excerpt.context_samples, excerpt.context_samples + excerpt.output_samples)
        for one in drawn:
            heard = self.prepared.read(one.part, one.start - excerpt.context_samples, excerpt.input_samples)
            heard *= np.float32(one.gain)
            mixture += heard
            source = source_of(one.track, one.part, self.names)
            sources[:, source] += heard[middle]
            labels[source] = 1.0
        return {"mixture": mixture, "labels": labels}, sources

    def _starts(self, track: Track) -> int:
        """How many moments of the track can begin an excerpt."""
        return max(1, track.samples - self.excerpt.output_samples + 1)


class Windows:
    """Consecutive windows that cover every sample of every track exactly once; the last of a track ends in silence.

    Args:
        prepared, tracks, names, excerpt: as for `TrainingExamples`.

    Raises:
        ValueError: if an instrument is not among the sources.
    """

    def __init__(self, prepared: Prepared, tracks: tuple[Track, ...], names: tuple[str, ...], excerpt: Excerpt):
        _require_sources(tracks, names)
        self.prepared, self.names, self.excerpt = prepared, names, excerpt
        self.spans = [(track, start) for track in tracks for start in range(0, track.samples, excerpt.output_samples)]

    def __len__(self) -> int:
        return len(self.spans)

    def element(self, number: int) -> Element:
        """Window `number` as THE element of this floor."""
        track, start = self.spans[number]
        context = self.excerpt.context_samples
        heard = self.prepared.sources(track, self.names, start - context, self.excerpt.input_samples)
        sources = heard[context : context + self.excerpt.output_samples]
        return {"mixture": heard.sum(axis=1), "labels": labels_of(track, self.names)}, sources


def _require_sources(tracks: tuple[Track, ...], names: tuple[str, ...]) -> None:
    for track in tracks:
        for part in track.parts:
            source_of(track, part, names)
