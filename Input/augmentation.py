"""What training changes at random in a part: each step a pure function of integers, a stream of chance of its own.

Integers, because they are the same on every machine: a part comes as PCM of 16 bits, resampling and filtering keep
whole numbers of that size, a gain is so many 256ths, and a mixture is a sum; only then it becomes float32. What the
device mixes inside the compiled step and what the host mixes agree bit for bit, whatever order either adds in.

The functions take arrays of numpy or of a backend; `xp` is `numpy` or `keras.ops`. Switching one step on never changes
what another one draws, and a step that is off, or that chance spares, leaves every bit as it was.
"""

import zlib
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any, NamedTuple

from Options import Options, Probability, Range

import numpy as np
from pydantic import Field

FULL_SCALE = 1 << 15
UNIT_GAIN = 1 << 8
UNIT_STEP = 1 << 8
UNIT_TAP = 1 << 12
TAPS, NEIGHBOURS = 63, 16
LARGEST = 1 << 16  # of a treated sample: twice full scale; with gains up to 4 the sum of 31 parts fits in 32 bits
TILT_PIVOT_HZ = 1_000


class Treatment(NamedTuple):
    """What happens to a part, in integers; of N parts, arrays whose first axis is N.

    Args:
        gain: in 256ths; negative where the part is turned over.
        swap: whether left and right change places.
        step: the speed, in 256ths.
        taps: of the filter, in 4096ths (TAPS,).
    """

    gain: Any
    swap: Any
    step: Any
    taps: np.ndarray


def stacked(treatments: Sequence[Treatment]) -> Treatment:
    """Treatments of single parts as one of all of them; integers of 32 bits."""
    gains, swaps, steps, taps = zip(*treatments, strict=True)
    return Treatment(np.array(gains, np.int32), np.array(swaps), np.array(steps, np.int32), np.array(taps))


FLAT = np.where(np.arange(TAPS) == TAPS // 2, UNIT_TAP, 0).astype(np.int32)
UNTREATED = Treatment(UNIT_GAIN, False, UNIT_STEP, FLAT)


class Augmentation(Options):
    """What changes at random in training; off where its probability is 0 (`Input/augmentation.py`)."""

    gain: Range[Annotated[float, Field(ge=0, le=4)]] = (0.7, 1.0)
    """Each part is scaled by a linear factor drawn evenly from this range, and the mixture rebuilt."""
    remix: Probability = 0.0
    """Of an example whose parts come from different tracks and moments, each by the same instrument."""
    polarity: Probability = 0.0
    """Of turning a part over."""
    swap: Probability = 0.0
    """Of exchanging a part's left and right."""
    silence: Probability = 0.0
    """Of leaving a part out, its label too; one part stays."""
    speed: Probability = 0.0
    """Of playing an example faster or slower by resampling: pitch and time change together."""
    speed_range: Range[Annotated[float, Field(ge=0.5, le=2)]] = (0.9, 1.1)
    """Slowest and fastest."""
    tilt: Probability = 0.0
    """Of tilting a part's spectrum about 1 kHz."""
    tilt_db: float = Field(3.0, gt=0, le=6)
    """Steepest tilt, in dB per octave, up or down."""
    lowpass: Probability = 0.0
    """Of limiting a part's band."""
    lowpass_hz: Range[Annotated[float, Field(ge=500)]] = (1_000.0, 8_000.0)
    """Lowest and highest cut-off; drawn evenly in octaves."""
    drop: dict[str, Probability] = {}
    """Of withholding a context, by its name, as zeros: drop.labels=0.2. So that one network takes what is known."""

    def treatments(self, seed: tuple[int, ...], parts: int, sample_rate_hz: int) -> list[Treatment]:
        """What happens to each of so many parts of an example; drawn from streams that `seed` and the step begin."""

        def chance(step: int) -> np.random.Generator:
            return np.random.default_rng((*seed, step))

        gains = np.full(parts, UNIT_GAIN)
        if self.gain != (1.0, 1.0):
            gains = np.rint(UNIT_GAIN * chance(1).uniform(*self.gain, parts)).astype(int)
        if self.polarity:
            gains = np.where(chance(2).random(parts) < self.polarity, -gains, gains)
        if self.silence:
            luck = chance(3).random(parts)
            gains = np.where((luck < self.silence) & (luck < luck.max()), 0, gains)
        swaps = chance(4).random(parts) < self.swap if self.swap else np.zeros(parts, bool)
        step = UNIT_STEP
        if self.speed and (draw := chance(5)).random() < self.speed:
            step = round(UNIT_STEP * draw.uniform(*self.speed_range))
        taps = self._taps(chance(6), chance(7), parts, sample_rate_hz) if self.filters else [FLAT] * parts
        return [Treatment(int(g), bool(s), step, t) for g, s, t in zip(gains, swaps, taps, strict=True)]

    def withheld(self, seed: tuple[int, ...]) -> set[str]:
        """The contexts that an example goes without; drawn from streams that `seed` and the context's name begin."""
        return {
            name
            for name, probability in self.drop.items()
            if np.random.default_rng((*seed, 8, zlib.crc32(name.encode()))).random() < probability
        }

    def _taps(self, tilts: Any, cutoffs: Any, parts: int, sample_rate_hz: int) -> list[np.ndarray]:
        drawn = []
        for _ in range(parts):
            tilted, tilt_db = tilts.random() < self.tilt, tilts.uniform(-self.tilt_db, self.tilt_db)
            limited, cutoff_hz = cutoffs.random() < self.lowpass, np.exp(cutoffs.uniform(*np.log(self.lowpass_hz)))
            if tilted or limited:
                drawn.append(
                    equaliser(tilt_db if tilted else 0, cutoff_hz if limited else sample_rate_hz, sample_rate_hz)
                )
            else:
                drawn.append(FLAT)
        return drawn

    @property
    def filters(self) -> bool:
        """Whether parts may be filtered."""
        return bool(self.tilt or self.lowpass)

    @property
    def resamples(self) -> bool:
        """Whether parts may be resampled."""
        return bool(self.speed)

    def pcm_samples(self, samples: int) -> int:
        """How many samples of PCM so many treated ones may need."""
        samples += (TAPS - 1) * self.filters
        if not self.resamples:
            return samples
        fastest = max(UNIT_STEP, round(UNIT_STEP * self.speed_range[1]))  # that of a part that is spared included
        return (samples - 1) * fastest // UNIT_STEP + NEIGHBOURS

    def pcm_start(self, start: Any, before: int, step: Any) -> Any:
        """Where in its track PCM begins if the treated sample number `before` shall be sample `start` of the track."""
        before += (TAPS // 2) * self.filters
        return start - before * step // UNIT_STEP - (NEIGHBOURS // 2 - 1) * self.resamples

    def treated(self, xp: ModuleType, pcm: Any, treatment: Treatment, samples: int) -> Any:
        """Parts as they are mixed: PCM (N, T_pcm, C) -> (N, samples, C), int32, in units of 2^-23."""
        gain, swap, step, taps = treatment
        if self.resamples:
            pcm = resampled(xp, pcm, step, samples + (TAPS - 1) * self.filters)
        if self.filters:
            pcm = filtered(xp, pcm, taps, samples)
        if self.swap:
            pcm = xp.where(swap[:, None, None], xp.flip(pcm, axis=2), pcm)
        return pcm * gain[:, None, None]


UNCHANGED = Augmentation(gain=(1.0, 1.0))
"""Parts as they are."""


def resampled(xp: ModuleType, pcm: Any, step: Any, samples: int) -> Any:
    """Plays parts (N, T, C) at their own speed `step` (N,): (N, samples, C).

    Sample n lies n * step / 256 after the sample number `NEIGHBOURS / 2 - 1`, between whose neighbours a windowed sinc
    interpolates. What a speed above 1 lifts beyond half the rate folds back. Source: Smith and Gossett 1984.
    """
    if isinstance(step, np.ndarray) and (step == UNIT_STEP).all():
        return pcm[:, NEIGHBOURS // 2 - 1 :][:, :samples]
    places = xp.arange(samples, dtype="int32") * step[:, None]
    whole = places // UNIT_STEP
    weights = xp.take(_SINCS, places - UNIT_STEP * whole, axis=0)
    total = 0
    for n in range(NEIGHBOURS):
        total = total + xp.take_along_axis(pcm, (whole + n)[..., None], axis=1) * weights[..., n, None]
    return _rounded(xp, total, _SINC_ONE)


def filtered(xp: ModuleType, pcm: Any, taps: Any, samples: int) -> Any:
    """Parts (N, samples + TAPS - 1, C) through filters of their own (N, TAPS), without delay: (N, samples, C)."""
    if isinstance(taps, np.ndarray) and (taps == FLAT).all():
        return pcm[:, TAPS // 2 :][:, :samples]
    total = 0
    for n in range(TAPS):
        total = total + pcm[:, n : n + samples] * taps[:, n, None, None]
    return _rounded(xp, total, UNIT_TAP)


def equaliser(tilt_db: float, cutoff_hz: float, sample_rate_hz: int) -> np.ndarray:
    """The taps (TAPS,), int32, of a symmetric filter: a tilt in dB per octave about 1 kHz, within 12 dB, and a cut-off.

    Designed by sampling its response under a Hann window. So many taps resolve what lies a 32nd of the rate apart:
    at 44.1 kHz a tilt levels off below 1 kHz.
    """
    frequencies = np.fft.rfftfreq(1024, 1 / sample_rate_hz)
    octaves = np.log2(np.maximum(frequencies, 20) / TILT_PIVOT_HZ)
    response = 10 ** (np.clip(tilt_db * octaves, -12, 12) / 20) * (frequencies <= cutoff_hz)
    impulse = np.roll(np.fft.irfft(response), TAPS // 2)[:TAPS] * np.hanning(TAPS + 2)[1:-1]
    return np.rint(UNIT_TAP * impulse).astype(np.int32)


def _rounded(xp: ModuleType, total: Any, unit: int) -> Any:
    """Sums of products in units of PCM again, at most twice full scale."""
    return xp.clip((total + unit // 2) // unit, -LARGEST, LARGEST - 1)


_SINC_ONE = 1 << 14


def _sincs() -> np.ndarray:
    """The weights of the neighbours for each 256th between two samples: (256, NEIGHBOURS), int32; rows sum to one."""
    offsets = np.arange(NEIGHBOURS) - (NEIGHBOURS // 2 - 1) - np.arange(UNIT_STEP)[:, None] / UNIT_STEP
    window = np.cos(np.pi * offsets / (NEIGHBOURS + 1)) ** 2
    weights = np.sinc(offsets) * window
    table = np.rint(_SINC_ONE * weights / weights.sum(axis=1, keepdims=True)).astype(np.int32)
    table[np.arange(UNIT_STEP), np.abs(offsets).argmin(axis=1)] += _SINC_ONE - table.sum(axis=1)
    return table


_SINCS = _sincs()
