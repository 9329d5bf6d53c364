"""Recordings that different tracks share: what a split must not divide.

Variants of one composition often reuse the same take, byte by byte, scaled, a step of the last bit apart, shifted or
longer; a model that trained on one of them knows the other. Landmarks choose the pairs to compare; a comparison
over the whole common extent decides.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from Input.prepared import Part, Prepared, Track
from Input.workers import in_parallel

import numpy as np

from .landmarks import meetings

BLOCK_SECONDS = 1.0
SILENT_STEPS = 32.0  # rms of 2^15: -60 dBFS
CORRELATION = 0.99
GAIN_TOLERANCE = 0.1  # how far a block's gain may be from the take's
SHARED_FRACTION = 0.25  # of the common extent, without the blocks in which both are silent
SHARED_SECONDS = 5.0  # at least, or half of the shorter recording
FINE_LAGS = np.arange(-16, 17) / 8  # samples around a candidate's lag


@dataclass(frozen=True)
class Recording:
    """A part in its track."""

    track: Track
    part: Part

    def __str__(self) -> str:
        return f"{self.part.audio.file} ({self.track.split})"


@dataclass(frozen=True)
class SharedTake:
    """Two recordings that are the same for a while.

    Attributes:
        first, second: the recordings; what is at t seconds in the first is at t + `lag_seconds` in the second.
        lag_seconds: to an eighth of a sample.
        gain: second = gain x first; negative where the polarity differs.
        shared_seconds: how much of the common extent agrees, in blocks of a second.
        common_seconds: the common extent at this lag, without the blocks in which both are silent.
        difference: the largest one between agreeing samples, in steps of 16 bits; meaningful where gain is about 1.
    """

    first: Recording
    second: Recording
    lag_seconds: float
    gain: float
    shared_seconds: float
    common_seconds: float
    difference: int

    @property
    def across_splits(self) -> bool:
        """Whether a model may train on one and be judged by the other."""
        return self.first.track.split != self.second.track.split

    @property
    def kind(self) -> str:
        """`identical`, or every way in which the two differ."""
        if self.first.part.audio.sha256 == self.second.part.audio.sha256:
            return "identical"
        scaled, shifted = abs(abs(self.gain) - 1) > 0.01, self.lag_seconds != 0
        ways = ["inverted"] * (self.gain < 0) + ["scaled"] * scaled + ["shifted"] * shifted
        ways += ["in part"] * (self.shared_seconds < 0.9 * self.common_seconds)
        if self.gain > 0 and not scaled:
            same = {0: "the same samples", 1: "within one step of 16 bits"}
            ways.insert(0, same.get(self.difference, "nearly the same"))
        return ", ".join(ways)

    def __str__(self) -> str:
        return (
            f"{self.first} and {self.second} share a take: {self.kind} "
            f"(lag {self.lag_seconds:+.5f} s, gain {self.gain:+.3f}, "
            f"{self.shared_seconds:.0f} of {self.common_seconds:.0f} s)"
        )


def shared_takes(
    prepared: Prepared, recordings: Sequence[Recording], marks: Sequence[np.ndarray], workers: int | None = None
) -> list[SharedTake]:
    """Finds the takes that different tracks share, except where one group keeps them together in one split.

    Found: files of equal bytes, takes scaled by any gain, inverted, with little noise added, shifted by any time, and
    takes of which a part is shared. Two recordings share a take where blocks of a second correlate by `CORRELATION` or
    more, at one lag and one gain, in a quarter of their common extent (blocks in which both are silent do not count)
    and for 5 s, or half of the shorter one. So a few notes of one recorded library, or a short sample, are no shared
    take. Not found: takes at another speed or pitch, with noise above about -35 dB, or mixed with something else; and
    very bright ones, above a sixth of the sample rate, whose shift is half a sample more than a whole number.

    Args:
        prepared: the data set.
        recordings: parts, in any order.
        marks: the `landmarks` of each of them.
        workers: processes; None for one a core.

    Returns:
        Pairs, those across splits first. Where many share one take not every pair of them is listed, but each one is
        in some pair.
    """
    kept_together = [(one.track.group, one.track.split) for one in recordings]
    numbers = {family: number for number, family in enumerate(set(kept_together))}
    families = [numbers[family] for family in kept_together]
    pairs = meetings(marks, [one.part.audio.sha256 for one in recordings], families)
    jobs = [(prepared.address, recordings[first], recordings[second], lag) for first, second, lag in pairs]
    if not jobs:
        return []
    takes = [take for job in in_parallel(_compared, jobs, workers) if (take := job.result())]
    return sorted(
        takes, key=lambda take: (not take.across_splits, take.first.part.audio.file, take.second.part.audio.file)
    )


def shared_take(prepared: Prepared, first: Recording, second: Recording, lag_samples: int) -> SharedTake | None:
    """Compares two recordings, sample n of the first with n + `lag_samples` of the second; None if they differ.

    The true lag may be two samples off, and need not be a whole number of them.
    """
    start = max(0, -lag_samples)
    common = min(first.track.samples, second.track.samples - lag_samples) - start
    block = min(round(BLOCK_SECONDS * prepared.sample_rate_hz), common)
    if block < 1:
        return None
    phases = np.exp(2j * np.pi / block * np.outer(np.arange(block // 2 + 1), FINE_LAGS))
    rows = []
    for moment in range(start, start + common - block + 1, block):
        one = prepared.read_pcm(first.part, moment, block).mean(axis=1)
        other = prepared.read_pcm(second.part, moment + lag_samples, block).mean(axis=1)
        row = _compared_blocks(one, other, phases)
        if max(row.first_square, row.second_square) > SILENT_STEPS**2:
            rows.append(row)
    return _decided(prepared, first, second, lag_samples, rows, block) if rows else None


@dataclass(frozen=True)
class _Blocks:
    """Two blocks: their mean product at each fine lag, their mean squares, their largest difference."""

    products: np.ndarray
    first_square: float
    second_square: float
    difference: float


def _compared_blocks(first: np.ndarray, second: np.ndarray, phases: np.ndarray) -> _Blocks:
    weights = np.full(len(phases), 2.0)  # of each frequency in a sum over all, negative ones too
    weights[0] = 0.0  # what is constant does not count
    if len(first) % 2 == 0:
        weights[-1] = 1.0
    weights /= len(first) ** 2
    spectrum, other = np.fft.rfft(first), np.fft.rfft(second)
    return _Blocks(
        ((weights * spectrum.conj() * other) @ phases).real,
        float(weights @ np.abs(spectrum) ** 2),
        float(weights @ np.abs(other) ** 2),
        float(np.abs(first - second).max()),
    )


def _decided(
    prepared: Prepared, first: Recording, second: Recording, lag_samples: int, rows: list[_Blocks], block: int
) -> SharedTake | None:
    products = np.array([row.products for row in rows])
    squares = np.array([(row.first_square, row.second_square) for row in rows]) + 1e-9
    correlations = np.abs(products) / np.sqrt(squares.prod(axis=1, keepdims=True))
    best = int(np.argmax((correlations >= CORRELATION).sum(axis=0) + correlations.mean(axis=0)))
    alike = correlations[:, best] >= CORRELATION
    if not alike.any():
        return None
    gains = products[:, best] / squares[:, 0]
    gain = float(np.median(gains[alike]))
    alike &= np.abs(gains / gain - 1) < GAIN_TOLERANCE
    shared_samples, shorter_samples = int(alike.sum()) * block, min(first.track.samples, second.track.samples)
    enough = min(SHARED_SECONDS * prepared.sample_rate_hz, shorter_samples / 2)
    if alike.mean() < SHARED_FRACTION or shared_samples < enough:
        return None
    return SharedTake(
        first,
        second,
        lag_seconds=float(lag_samples + FINE_LAGS[best]) / prepared.sample_rate_hz,
        gain=gain,
        shared_seconds=shared_samples / prepared.sample_rate_hz,
        common_seconds=len(rows) * block / prepared.sample_rate_hz,
        difference=math.ceil(max(row.difference for row, agrees in zip(rows, alike, strict=True) if agrees)),
    )


@functools.cache
def _opened(address: str) -> Prepared:
    return Prepared(address)  # once a process: the manifest of thousands of tracks is long


def _compared(address: str, first: Recording, second: Recording, lag_samples: int) -> SharedTake | None:
    return shared_take(_opened(address), first, second, lag_samples)
