"""Which samples an example holds: pure functions of numbers, without a shuffle buffer and without state."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .augmentation import FULL_SCALE, UNCHANGED, UNIT_GAIN, UNIT_STEP, UNTREATED, Augmentation, Treatment, stacked
from .prepared import Part, Prepared, Track
from .sources import Sources
from .streams import CONTEXTS, Stretch, add_part

Example = dict[str, np.ndarray]
"""THE example of this floor, or a batch of them."""


@dataclass(frozen=True)
class Excerpt:
    """The lengths of an example: sources of `output_samples` in the middle of a mixture of `input_samples`."""

    input_samples: int
    output_samples: int

    @property
    def margin_samples(self) -> int:
        """Samples of mixture before the first and after the last sample of the sources."""
        return (self.input_samples - self.output_samples) // 2


@dataclass(frozen=True)
class Mix:
    """Training on parts that do not belong together: `fewest` to `most` of them, each of another recording.

    They may be fewer where tracks have several parts, and those drawn leave no other recording.

    Where not `same`, each is of another instrument too. Source: mix-and-separate of Zhao et al. 2018 (Sound of
    Pixels).
    """

    fewest: int
    most: int
    same: bool = False


@dataclass(frozen=True)
class DrawnPart:
    """A part in an example: where its sources start in its track (samples), and what happens to it."""

    track: Track
    part: Part
    start: int
    treatment: Treatment = UNTREATED


class Examples(ABC):
    """Numbered examples of a prepared data set.

    Args:
        prepared: the data set.
        tracks: those to take from.
        sources: what the axis S is.
        excerpt: lengths.
        augmentation: what varies.
        contexts: the streams beside the mixture that the examples hold, some of `CONTEXTS`.

    Raises:
        ValueError: if an instrument is in no class, or a stream is unknown.
    """

    def __init__(
        self,
        prepared: Prepared,
        tracks: tuple[Track, ...],
        sources: Sources,
        excerpt: Excerpt,
        augmentation: Augmentation,
        contexts: Sequence[str] = tuple(CONTEXTS),
    ):
        self.prepared, self.tracks, self.sources = prepared, tracks, sources
        self.excerpt, self.augmentation, self.contexts = excerpt, augmentation, tuple(contexts)
        self.slots = 0  # of sources that are parts, where examples beside these have more of them
        self.reached = 0  # one past the last example that was made: how far the input is ahead
        self.fault: Exception | None = None  # what stopped a batch; tf.data, whose threads make them, only quotes it
        if unknown := set(contexts) - set(CONTEXTS):
            raise ValueError(f"expected streams among {', '.join(CONTEXTS)}. Received: {', '.join(sorted(unknown))}")
        try:
            for track in tracks:
                sources.rows(track)
        except ValueError as error:
            known = ",".join(
                sorted({instrument for track in prepared.manifest.tracks for instrument in track.instruments})
            )
            raise ValueError(f"{error}; those of this data set are data.sources={known}") from None

    @property
    def most_parts(self) -> int:
        """The largest number of parts in an example."""
        return max(len(track.parts) for track in self.tracks)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What an example holds: the shape of each array by its name, all of them float32."""
        excerpt, channels, of_parts = self.excerpt, self.prepared.channels, self.sources.of_parts
        sources = max(self.slots, self.most_parts) if of_parts else len(self.sources.names)
        seconds = excerpt.input_samples / self.prepared.sample_rate_hz
        contexts = {name: CONTEXTS[name].shape(self.sources, seconds) for name in self.contexts}
        return {
            "mixture": (excerpt.input_samples, channels),
            "sources": (excerpt.output_samples, sources, channels),
            "present": (sources,),
            "weight": (),
            **{name: (sources, *shape) if of_parts else shape for name, shape in contexts.items()},
        }

    @abstractmethod
    def draw(self, number: int) -> list[DrawnPart]:
        """The parts of example `number`, with their moments and treatments."""

    def weight(self, number: int) -> float:
        """How much example `number` counts in a mean over examples."""
        return 1.0

    def withheld(self, number: int) -> set[str]:
        """The contexts that example `number` goes without."""
        return set()

    def example(self, number: int) -> Example:
        """Example `number`."""
        return {name: array[0] for name, array in self.batch([number]).items()}

    def batch(self, numbers: Sequence[int]) -> Example:
        """The examples of these numbers, each array with an axis before its own.

        Raises:
            ValueError: if a file cannot be read; it stays in `fault`.
        """
        try:
            drawn = [self.draw(number) for number in numbers]
            mixtures, sources = (_zeros((len(numbers), *self.shapes[name])) for name in ("mixture", "sources"))
            for parts, mixture, of_parts in zip(drawn, mixtures, sources, strict=True):
                self._mix(parts, mixture, of_parts)
            arrays = self.described(numbers, drawn)
        except (OSError, ValueError) as error:
            self.fault = error
            raise
        self.reached = max(self.reached, numbers[-1] + 1)
        return {"mixture": mixtures, "sources": sources, **arrays}

    def described(self, numbers: Sequence[int], drawn: Sequence[Sequence[DrawnPart]]) -> Example:
        """What is known of examples beside their sound: `present`, `weight` and the contexts."""
        shapes = {name: shape for name, shape in self.shapes.items() if name not in ("mixture", "sources")}
        arrays = {name: _zeros((len(numbers), *shape)) for name, shape in shapes.items()}
        for index, (number, parts) in enumerate(zip(numbers, drawn, strict=True)):
            arrays["weight"][index] = self.weight(number)
            withheld = self.withheld(number)
            given = [name for name in self.contexts if name not in withheld]
            example = {name: array[index] for name, array in arrays.items()}
            for place, one in enumerate(parts):
                if one.treatment.gain:
                    part = self._stretch(one)
                    add_part(example, given, self.sources, self.sources.row(place, part.of_class), part)
        return arrays

    def _stretch(self, one: DrawnPart) -> Stretch:
        """A drawn part for as long as the mixture lasts."""
        speed, rate_hz = one.treatment.step / UNIT_STEP, self.prepared.sample_rate_hz
        first = one.start - self.excerpt.margin_samples * speed
        seconds = self.excerpt.input_samples * speed / rate_hz
        return Stretch(self.class_of(one), first / rate_hz, seconds, speed, self.prepared, one.track, one.part)

    def _mix(self, drawn: Sequence[DrawnPart], mixture: np.ndarray, sources: np.ndarray) -> None:
        """Writes the sound of drawn parts into arrays; where none sounds it is zero there already."""
        middle = slice(self.excerpt.margin_samples, self.excerpt.margin_samples + self.excerpt.output_samples)
        whole: np.ndarray | None = None
        sums: dict[int, np.ndarray] = {}
        for place, one in enumerate(drawn):  # part by part: what is added up stays in the processor's cache
            treated, row = self._treated(one), self.sources.row(place, self.class_of(one))
            sums[row] = sums[row] + treated[middle] if row in sums else treated[middle].copy()
            whole = treated if whole is None else np.add(whole, treated, out=whole)
        amplitudes(whole, mixture)
        for row, total in sums.items():
            amplitudes(total, sources[:, row])

    def _treated(self, one: DrawnPart) -> np.ndarray:
        """A drawn part as it is mixed: (T, C), int32, in units of 2^-23."""
        samples = self.augmentation.pcm_samples(self.excerpt.input_samples)
        pcm = self.prepared.read_pcm(one.part, self.pcm_start(one), samples)
        treatment = stacked([one.treatment])
        return self.augmentation.treated(np, pcm[None].astype(np.int32), treatment, self.excerpt.input_samples)[0]

    def pcm_start(self, one: DrawnPart) -> int:
        """Which sample of its track a drawn part is read from."""
        return self.augmentation.pcm_start(one.start, self.excerpt.margin_samples, one.treatment.step)

    def class_of(self, one: DrawnPart) -> int:
        """The index of the class that holds a drawn part."""
        return self.sources.class_of(one.track, one.part.instrument)


def amplitudes(sums: Any, out: np.ndarray) -> None:
    """Writes sums of treated parts, int32, as linear amplitudes, float32, full scale 1.0."""
    np.copyto(out, sums, casting="unsafe")
    out *= np.float32(1 / (FULL_SCALE * UNIT_GAIN))


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros in float32 that begin at a multiple of 64 bytes, so that TensorFlow takes them over without copying."""
    raw = np.zeros(4 * math.prod(shape) + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + 4 * math.prod(shape)].view(np.float32).reshape(shape)


def piece_of(batch_size: int, share: tuple[int, int]) -> int:
    """How many examples of a batch a host of so many reads; `share` is its index and their number.

    Raises:
        ValueError: if the hosts cannot share a batch evenly.
    """
    index, hosts = share
    if batch_size % hosts:
        raise ValueError(f"expected a batch size that is a multiple of {hosts}, the number of hosts: {batch_size}")
    if not 0 <= index < hosts:
        raise ValueError(f"expected a share 0 to {hosts - 1}. Received: {index}")
    return batch_size // hosts


class TrainingExamples(Examples):
    """Endless training examples: example `number` is a pure function of the seed and the number.

    Every moment of every track is equally likely to begin an excerpt, the first and the last included; what is
    beyond a track's ends is silence.

    Args:
        prepared, tracks, sources, excerpt, augmentation, contexts: as for `Examples`.
        seed: of the whole run.
        mix: how many parts to mix that do not belong together; None for the parts of a track.

    Raises:
        ValueError: as for `Examples`, or if there are too few parts to mix.
    """

    def __init__(
        self,
        prepared: Prepared,
        tracks: tuple[Track, ...],
        sources: Sources,
        excerpt: Excerpt,
        augmentation: Augmentation,
        seed: int,
        mix: Mix | None = None,
        contexts: Sequence[str] = tuple(CONTEXTS),
    ):
        super().__init__(prepared, tracks, sources, excerpt, augmentation, contexts)
        self.seed, self.mix = seed, mix
        self._ends = np.cumsum([self._starts(track) for track in tracks])
        self._same_instrument: dict[str, list[tuple[Track, Part]]] = {}
        for track in tracks:
            for part in track.parts:
                self._same_instrument.setdefault(part.instrument, []).append((track, part))
        if mix:
            self._require_enough(mix)

    @property
    def most_parts(self) -> int:
        """The largest number of parts in an example."""
        return self.mix.most if self.mix else super().most_parts

    def draw(self, number: int) -> list[DrawnPart]:
        """The parts of example `number`, with their moments and treatments."""
        random = np.random.default_rng((self.seed, number))
        drawn = self._mixed(random, self.mix) if self.mix else self._together(random)
        if self.augmentation.remix and random.random() < self.augmentation.remix:
            drawn = [self._at_random(random, self._same_instrument[one.part.instrument]) for one in drawn]
        treatments = self.augmentation.treatments((self.seed, number), len(drawn), self.prepared.sample_rate_hz)
        return [
            DrawnPart(one.track, one.part, one.start, treatment)
            for one, treatment in zip(drawn, treatments, strict=True)
        ]

    def withheld(self, number: int) -> set[str]:
        """The contexts that example `number` goes without."""
        return self.augmentation.withheld((self.seed, number))

    def _together(self, random: np.random.Generator) -> list[DrawnPart]:
        """The parts of one track at one moment."""
        moment = int(random.integers(self._ends[-1]))
        index = int(np.searchsorted(self._ends, moment, side="right"))
        track, start = self.tracks[index], int(self._ends[index]) - 1 - moment
        return [DrawnPart(track, part, start) for part in track.parts]

    def _mixed(self, random: np.random.Generator, mix: Mix) -> list[DrawnPart]:
        """Parts of different recordings, each at a moment of its own; every instrument is equally likely."""
        drawn: list[DrawnPart] = []
        count = int(random.integers(mix.fewest, mix.most + 1))
        while len(drawn) < count:
            groups = {one.track.group for one in drawn}
            taken = set() if mix.same else {one.part.instrument for one in drawn}
            open_to = {
                instrument: left
                for instrument, parts in self._same_instrument.items()
                if instrument not in taken and (left := [pair for pair in parts if pair[0].group not in groups])
            }
            if not open_to:  # where tracks have several parts, those drawn may leave none
                break
            drawn.append(self._at_random(random, open_to[list(open_to)[int(random.integers(len(open_to)))]]))
        return drawn

    def _at_random(self, random: np.random.Generator, parts: list[tuple[Track, Part]]) -> DrawnPart:
        """One of the parts, at any of its moments."""
        track, part = parts[int(random.integers(len(parts)))]
        return DrawnPart(track, part, int(random.integers(self._starts(track))))

    def _starts(self, track: Track) -> int:
        """How many moments of the track can begin an excerpt."""
        return max(1, track.samples - self.excerpt.output_samples + 1)

    def _require_enough(self, mix: Mix) -> None:
        recordings = {track.group for track in self.tracks}
        if mix.most > len(recordings) or not mix.same and mix.most > len(self._same_instrument):
            raise ValueError(
                f"expected {mix.most} recordings{'' if mix.same else ' of different instruments'} to mix. "
                f"Received: {len(recordings)}, of {', '.join(self._same_instrument)}; lower data.mix"
            )


class Windows(Examples):
    """Consecutive windows that cover every sample of every track exactly once; the last of a track ends in silence.

    Args:
        prepared, tracks, sources, excerpt, contexts: as for `Examples`.
        full: where many devices need full batches: the last window is repeated up to a multiple of this number, with
            a weight of zero.

    Raises:
        ValueError: as for `Examples`.
    """

    def __init__(
        self,
        prepared: Prepared,
        tracks: tuple[Track, ...],
        sources: Sources,
        excerpt: Excerpt,
        full: int = 1,
        contexts: Sequence[str] = tuple(CONTEXTS),
    ):
        super().__init__(prepared, tracks, sources, excerpt, UNCHANGED, contexts)
        self.spans = [(track, start) for track in tracks for start in range(0, track.samples, excerpt.output_samples)]
        self.count, self.full = len(self.spans), full
        self.spans += self.spans[-1:] * (-self.count % full)

    def __len__(self) -> int:
        return len(self.spans)

    def weight(self, number: int) -> float:
        """1.0 for each window, 0.0 for one that is there to fill the batch."""
        return float(number < self.count)

    def draw(self, number: int) -> list[DrawnPart]:
        """The parts of window `number`, as they are."""
        track, start = self.spans[number]
        return [DrawnPart(track, part, start) for part in track.parts]
