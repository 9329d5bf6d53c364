"""Whether estimates lie as their references do in time: every metric takes a shift for an error."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from .sdr import si_sdr
from .signals import Array, checked_pair, energy_of, sounding_sources

REACH_SECONDS = 1.0
EXCERPTS = 4
REACHES_AN_EXCERPT = 4
NEGLIGIBLE = 1e-9
LEAST_DB = -20.0


class Alignment(NamedTuple):
    """Of S sources: by how many samples each estimate is late (S,), and what that costs it in SI-SDR in dB (S,)."""

    delay_samples: NDArray[np.int64]
    rise_db: Array


def best_alignment(references: ArrayLike, estimates: ArrayLike, sample_rate_hz: float) -> Alignment:
    """The shift of each estimate that brings it nearest to its reference, and by how much SI-SDR would rise.

    A shift is sought up to a second or half the length, to either side, by the correlation over all channels; polarity
    and level do not matter. Where there are more than 16 s, the four excerpts of 4 s in which the reference is loudest
    are compared. The rise is that of `si_sdr` over the whole length, with silence where the shifted estimate has no
    sample. There is no shift where SI-SDR would not rise, nor where it would stay below -20 dB: such an estimate holds
    next to nothing of its reference, and comes nearer to it by chance.

    A steady tone is nearest at any of its periods, and an estimate in which another source is as loud and in tune may
    be by its phase: that several sources have one delay is better evidence than one source's rise.

    Args:
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C), in the references' order.
        sample_rate_hz: sample rate of both.

    Returns:
        `delay_samples` is positive where the estimate is late: sample t of the reference is sample `t + delay` of the
        estimate. It is 0, and the rise 0 dB, where there is no shift; 0 and NaN where reference or estimate is silent.

    Raises:
        ValueError: shapes that differ, NaN or infinity in the input.
    """
    references, estimates = checked_pair(references, estimates)
    reach = min(round(REACH_SECONDS * sample_rate_hz), len(references) // 2)
    sounding = sounding_sources(references) & sounding_sources(estimates)
    delays, rises = np.zeros(len(sounding), np.int64), np.where(sounding, 0.0, np.nan)
    for source in np.flatnonzero(sounding):
        delay = _delay(references[:, source], estimates[:, source], reach)
        if delay:
            own = slice(source, source + 1)
            reference, estimate = references[:, own], estimates[:, own]
            before, after = (si_sdr(reference, each)[0] for each in (estimate, _earlier(estimate, delay)))
            if after > max(before, LEAST_DB):
                delays[source], rises[source] = delay, after - before
    return Alignment(delays, rises)


def _delay(reference: Array, estimate: Array, reach: int) -> int:
    """By how many samples an estimate (T, C) is late."""
    samples, length = len(reference), max(REACHES_AN_EXCERPT * reach, 1)
    starts = np.arange(0, samples, length)
    energies = [energy_of(reference[start : start + length, np.newaxis])[0] for start in starts]
    size = fft.next_fast_len(length + 2 * reach, real=True)
    spectrum = np.zeros(size // 2 + 1, complex)
    for start in starts[np.argsort(energies)[-EXCERPTS:]]:
        excerpt, around = _spectra(reference, start, length, size), _spectra(estimate, start - reach, size, size)
        spectrum += np.einsum("cf,cf->f", excerpt.conj(), around)
    delays = np.arange(-reach, reach + 1)
    correlation = np.abs(fft.irfft(spectrum, size)[: len(delays)])
    if len(starts) > EXCERPTS:  # what a shift pushes over an end is missing in the whole, not in an excerpt
        correlation *= 1 - np.abs(delays) / samples
    else:
        kept = _kept_energies(estimate, reach)
        correlation /= np.sqrt(np.where(kept > NEGLIGIBLE * kept[reach], kept, np.inf))
    return int(delays[correlation.argmax()])


def _spectra(signal: Array, start: int, length: int, size: int) -> NDArray[np.complex128]:
    """Spectra (C, F) of an excerpt of a signal (T, C); it is silent outside of itself."""
    padded = np.zeros((signal.shape[1], size))
    inside = signal[max(start, 0) : start + length]
    padded[:, max(-start, 0) :][:, : len(inside)] = inside.T
    return fft.rfft(padded)


def _kept_energies(estimate: Array, reach: int) -> Array:
    """Energies of what is left of an estimate (T, C) that is shifted by -reach to reach samples: ends fall off."""
    powers = np.sum(np.square(estimate, dtype=np.float64), axis=1)
    first, last = powers[:reach].cumsum(), powers[::-1][:reach].cumsum()
    return powers.sum() - np.concatenate([last[::-1], [0.0], first])


def _earlier(estimates: Array, delay: int) -> Array:
    """Estimates (T, S, C) moved forward by so many samples, back by a negative number; silence follows or precedes."""
    moved = np.zeros_like(estimates)
    if delay > 0:
        moved[:-delay] = estimates[delay:]
    else:
        moved[-delay:] = estimates[:delay]
    return moved
