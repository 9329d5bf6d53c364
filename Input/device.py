"""A prepared data set in an accelerator's memory: examples are cut, treated and mixed inside the compiled step.

The host only draws: which parts, which moments, which treatments; a few hundred bytes an example. All that follows is
arithmetic of integers (`augmentation`), so that the examples are those of `Examples.element`, bit for bit, on whatever
backend and device. TensorFlow is not needed.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops

from .augmentation import FLAT, FULL_SCALE, UNIT_GAIN, UNIT_STEP, Treatment, stacked
from .examples import Examples, TrainingExamples, Windows, piece_of
from .prepared import Part, Prepared, Track

ROW = 1 << 12  # samples; whole rows are fetched, then shifted
AHEAD = 32  # batches that are drawn before they are needed

Drawn = dict[str, np.ndarray]
"""Drawn parts as arrays of P slots: `row` (of the cache, where the part begins), `start` (where its sources start) and
`samples` of its track, `source` (an index), and its treatment `gain`, `swap`, `step`, `taps`; an empty slot has the
gain 0. And what is known beside the sound (`Examples.described`)."""


class Cache:
    """The parts of some tracks as rows of PCM.

    Args:
        prepared: the data set.
        tracks: whose parts to hold.
    """

    def __init__(self, prepared: Prepared, tracks: tuple[Track, ...]):
        files = [(track, part, -(-track.samples // ROW)) for track in tracks for part in track.parts]
        ends = np.cumsum([rows for _, _, rows in files])
        self.first_row = {part.audio.file: int(end) - rows for (_, part, rows), end in zip(files, ends, strict=True)}
        self.rows = np.zeros((ends[-1], ROW, prepared.channels), np.int16)
        for _, part, rows in files:
            pcm = prepared.read_pcm(part, 0, rows * ROW).reshape(rows, ROW, prepared.channels)
            self.rows[self.row(part) : self.row(part) + rows] = pcm

    def row(self, part: Part) -> int:
        """Where a part begins."""
        return self.first_row[part.audio.file]


def drawn_arrays(examples: Examples, cache: Cache, numbers: Sequence[int], slots: int) -> Drawn:
    """What the examples of these numbers consist of, in so many slots each."""
    drawn = [examples.draw(number) for number in numbers]
    parts = [one for example in drawn for one in example]
    filled = np.array([(n, slot) for n, example in enumerate(drawn) for slot in range(len(example))]).T
    known = {
        "row": [cache.row(one.part) for one in parts],
        "start": [one.start for one in parts],
        "samples": [one.track.samples for one in parts],
        "source": [
            examples.sources.row(place, examples.class_of(one))
            for example in drawn
            for place, one in enumerate(example)
        ],
        **stacked([one.treatment for one in parts])._asdict(),
    }
    arrays = {name: np.zeros((len(drawn), slots, *np.shape(values)[1:]), np.int32) for name, values in known.items()}
    arrays["step"][:], arrays["taps"][:] = UNIT_STEP, FLAT
    for name, values in known.items():
        arrays[name][*filled] = values
    return {**arrays, **examples.described(numbers, drawn)}


def drawn_batches(
    examples: TrainingExamples,
    cache: Cache,
    slots: int,
    batch_size: int,
    first: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Drawn]]:
    """Endless batches of what `training_batches` would hold, as numbers; each in a tuple, as Keras takes them.

    A thread draws the next ones while the device computes.
    """
    index, _ = share
    mine = piece_of(batch_size, share)

    def batch(start: int) -> tuple[Drawn]:
        numbers = range(start + index * mine, start + (index + 1) * mine)
        arrays = drawn_arrays(examples, cache, numbers, slots)
        examples.reached = numbers[-1] + 1
        return (arrays,)

    with ThreadPoolExecutor(1) as thread:
        ahead = deque(thread.submit(batch, first + n * batch_size) for n in range(AHEAD))
        for start in itertools.count(first + AHEAD * batch_size, batch_size):
            ahead.append(thread.submit(batch, start))
            yield ahead.popleft().result()


class DrawnWindows(keras.utils.PyDataset):
    """What `track_batches` would hold, as numbers."""

    def __init__(self, windows: Windows, cache: Cache, slots: int, batch_size: int, share: tuple[int, int] = (0, 1)):
        super().__init__()
        self.windows, self.cache, self.slots, self.batch_size = windows, cache, slots, batch_size
        self.first, self.mine = share[0] * piece_of(batch_size, share), piece_of(batch_size, share)

    def __len__(self) -> int:
        return -(-len(self.windows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Drawn]:
        start = index * self.batch_size + self.first
        numbers = range(start, min(start + self.mine, len(self.windows)))
        return (drawn_arrays(self.windows, self.cache, numbers, self.slots),)


class Mixer(keras.layers.Layer):
    """Drawn parts (arrays of (B, P, ...)) -> THE example of this floor, in batches, on the device.

    Args:
        cache: the parts; becomes a weight that nothing trains.
        examples: whose excerpts, sources, contexts and augmentation.
        slots: P; at least the most parts of an example.
    """

    def __init__(self, cache: Cache, examples: Examples, slots: int, **kwargs: Any):
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.excerpt, self.augmentation = examples.excerpt, examples.augmentation
        self.slots, self.shapes = slots, examples.shapes
        self.pcm = self.add_weight(
            name="pcm",
            shape=cache.rows.shape,
            dtype="int16",
            trainable=False,
            initializer=lambda shape, dtype: ops.convert_to_tensor(cache.rows, dtype),  # once, and not zeros before
        )

    def call(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """Mixes a batch of drawn numbers, on the device, into the examples that they describe."""
        slots, batch = self.slots, ops.shape(drawn["gain"])[0]
        described = {name: array for name, array in drawn.items() if name in self.shapes}
        of_parts = {name: array for name, array in drawn.items() if name not in described}
        flat = {name: ops.reshape(array, (batch * slots, *array.shape[2:])) for name, array in of_parts.items()}
        treatment = Treatment(flat["gain"], ops.cast(flat["swap"], "bool"), flat["step"], flat["taps"])
        samples, channels = self.excerpt.input_samples, self.pcm.shape[2]
        treated = self.augmentation.treated(ops, self._cut(flat), treatment, samples)
        treated = ops.reshape(treated, (batch, slots, samples, channels))
        margin = self.excerpt.margin_samples
        middle = treated[:, :, margin : margin + self.excerpt.output_samples]
        rows = ops.arange(self.shapes["sources"][1], dtype="int32")
        held = ops.cast(drawn["source"][..., None] == rows, "int32")
        sources: Any = 0
        for slot in range(slots):
            sources = sources + middle[:, slot, :, None] * held[:, slot, None, :, None]
        return {"mixture": _amplitudes(ops.sum(treated, axis=1)), "sources": _amplitudes(sources), **described}

    def _cut(self, flat: dict[str, Any]) -> Any:
        """The PCM of each part (N, T_pcm, C), int32; silence beyond the ends of its track."""
        samples = self.augmentation.pcm_samples(self.excerpt.input_samples)
        start = self.augmentation.pcm_start(flat["start"], self.excerpt.margin_samples, flat["step"])
        first = start // ROW
        rows = (flat["row"] + first)[:, None] + ops.arange((samples + ROW - 2) // ROW + 1, dtype="int32")
        rows = ops.clip(rows, 0, self.pcm.shape[0] - 1)
        fetched = ops.take(self.pcm, rows, axis=0)
        fetched = ops.reshape(fetched, (-1, rows.shape[1] * ROW, self.pcm.shape[2]))
        moments = ops.arange(samples, dtype="int32")
        shifted = ops.take_along_axis(fetched, ((start - first * ROW)[:, None] + moments)[..., None], axis=1)
        places = start[:, None] + moments
        inside = (places >= 0) & (places < flat["samples"][:, None])
        return ops.cast(shifted, "int32") * ops.cast(inside, "int32")[..., None]

    def inputs(self) -> dict[str, keras.KerasTensor]:
        """What a model that begins with this layer receives."""
        shapes = {"taps": (self.slots, len(FLAT))}
        names = ("row", "start", "samples", "source", *Treatment._fields)
        inputs = {name: keras.Input(shapes.get(name, (self.slots,)), dtype="int32", name=name) for name in names}
        described = {name: shape for name, shape in self.shapes.items() if name not in ("mixture", "sources")}
        return inputs | {name: keras.Input(shape, dtype="float32", name=name) for name, shape in described.items()}


def _amplitudes(sums: Any) -> Any:
    return ops.cast(sums, "float32") * (1 / (FULL_SCALE * UNIT_GAIN))
