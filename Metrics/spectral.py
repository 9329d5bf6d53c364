"""How far an estimate's spectrum is from its reference's."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, signal

from .projection import batches, cut
from .signals import Array, checked_pair, energy_of

WINDOW_SAMPLES = 2048
FLOOR_DB = -80.0


def log_spectral_distance_db(references: ArrayLike, estimates: ArrayLike) -> Array:
    """Log-spectral distance: root mean square difference of two log spectra, the mean over short-time frames.

    `mean over frames and channels of sqrt(mean over bins of (10 log10 (|S|^2 + d) / (|E|^2 + d))^2)`, with S and E
    the spectra of the reference and the estimate in Hann windows of 2048 samples every 1024. d lies 80 dB below the
    mean power of the reference in a bin, over the whole track and all channels: what is fainter does not count. Frames
    and channels in which the reference has no bin above d are left out. Blind to phase; the lower, the better.

    Args:
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C).

    Returns:
        (S,) in dB, 0 for an exact estimate. NaN where the reference is silent.

    Raises:
        ValueError: shapes that differ, NaN or infinity in the input.

    Source: Gray and Markel 1976, "Distance measures for speech processing": the rms log spectral measure.
    """
    references, estimates = checked_pair(references, estimates)
    samples, sources, channels = references.shape
    window = signal.windows.hann(WINDOW_SAMPLES, sym=False)
    power = energy_of(references) / (samples * channels) * np.sum(window**2)
    floor = np.repeat(power * 10 ** (FLOOR_DB / 10), channels)[:, np.newaxis]
    total, counted = np.zeros(sources * channels), np.zeros(sources * channels)
    hop = WINDOW_SAMPLES // 2
    for begins in batches(range(-hop, samples, hop), 2 * sources * channels * WINDOW_SAMPLES):
        spectra = (fft.rfft(cut(begins, WINDOW_SAMPLES, x) * window) for x in (references, estimates))
        true, given = (x.real**2 + x.imag**2 for x in spectra)
        counts = (true > floor).any(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = 10 * np.log10((true + floor) / (given + floor))
        distance = np.sqrt(np.mean(difference**2, axis=-1))
        total += np.sum(distance, axis=0, where=counts)
        counted += counts.sum(axis=0)
    total, counted = (x.reshape(sources, channels).sum(axis=1) for x in (total, counted))
    return np.divide(total, counted, out=np.full(sources, np.nan), where=counted > 0)
