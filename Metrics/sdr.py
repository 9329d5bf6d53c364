"""What needs no filter: framewise SDR, uSDR, SI-SDR; and what is emitted where a source is silent."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from .signals import (
    Array,
    blocks,
    checked,
    checked_mixture,
    checked_pair,
    energy_of,
    error_energy,
    frames_of,
    inner_products,
    ratio_db,
    strict_mask,
)

Mask = Literal["per_source", "strict"]

USDR_DELTA = 1e-7
PES_FLOOR = 1e-12


def framewise_sdr(
    references: ArrayLike,
    estimates: ArrayLike,
    sample_rate_hz: float,
    window_seconds: float = 1.0,
    hop_seconds: float = 1.0,
    mask: Mask = "per_source",
) -> Array:
    """SDR of BSS Eval v4, one number a source and frame: `10 log10 |s|^2 / |s - e|^2`.

    BSS Eval splits `e - s` into spatial error, interference and artifacts by 512-tap filters. Their sum is `e - s`
    again, so the SDR needs no filter and equals museval 0.4.1's to rounding (its ISR, SIR and SAR do need them).
    Frames lie as museval's: frame f starts at `f * hop`, the last partial frame is dropped, and a track that is not
    longer than the window is one frame.

    Args:
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C), in the references' order.
        sample_rate_hz: sample rate of both.
        window_seconds: length of a frame.
        hop_seconds: distance from one frame's start to the next one's.
        mask: which frames do not count. "per_source": those in which the source's own reference is all zero.
            "strict": museval's rule over the sources that sound: those in which the reference or the estimate of any
            of them is all zero, for all of them at once. Sources whose reference is silent over the whole track are
            left out first and stay NaN (museval would raise, as it does for an estimate silent over the whole track).

    Returns:
        (S, F) in dB, NaN where a frame does not count. A silent estimate scores 0 dB, an exact one +inf.

    Raises:
        ValueError: shapes that differ, NaN or infinity in the input, a window or hop shorter than a sample.

    Source: Vincent et al. 2006, "Performance measurement in blind audio source separation", eq. 16, on images as in
    Stöter et al. 2018, "The 2018 Signal Separation Evaluation Campaign", section 3.
    """
    references, estimates = checked_pair(references, estimates)
    if mask not in get_args(Mask):
        raise ValueError(f"mask: expected one of {', '.join(get_args(Mask))}; received {mask!r}")
    frames = frames_of(len(references), sample_rate_hz, window_seconds, hop_seconds)
    sdr = np.stack([_frame_sdr(references[frame], estimates[frame]) for frame in frames], axis=1)
    if mask == "strict":
        sdr[strict_mask(references, estimates, frames)] = np.nan
    return sdr


def usdr(references: ArrayLike, estimates: ArrayLike) -> Array:
    """Whole-song SDR of the Music Demixing Challenge: `10 log10 (|s|^2 + d) / (|s - e|^2 + d)`, d = 1e-7.

    The constant belongs to signals of full scale 1: unlike the other ratios this one changes a little with the level.

    Args:
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C).

    Returns:
        (S,) in dB, finite always; 0 for a silent estimate, at most 0 for a silent reference.

    Raises:
        ValueError: shapes that differ, NaN or infinity in the input.

    Source: Mitsufuji et al. 2022, "Music Demixing Challenge 2021", eq. 1.
    """
    references, estimates = checked_pair(references, estimates)
    energy, error = energy_of(references), error_energy(references, estimates)
    return ratio_db(energy + USDR_DELTA, error + USDR_DELTA)


def si_sdr(references: ArrayLike, estimates: ArrayLike) -> Array:
    """Scale-invariant SDR of the whole track: `10 log10 |a s|^2 / |a s - e|^2` with `a = <e, s> / |s|^2`.

    No mean is removed; the channels of a source are one long vector, so one scale serves them all.

    Args:
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C).

    Returns:
        (S,) in dB. NaN where the reference is silent. -inf where the estimate holds nothing of the reference: it is
        orthogonal to it, or all zero (a convention: the ratio is 0/0, but silence must not be a way to go uncounted).
        +inf, or some 300 dB by rounding, for a scaled copy of the reference.

    Raises:
        ValueError: shapes that differ, NaN or infinity in the input.

    Source: Le Roux et al. 2019, "SDR - half-baked or well done?", eq. 2.
    """
    references, estimates = checked_pair(references, estimates)
    energy = energy_of(references)
    product = np.sum([inner_products(e, s) for s, e in blocks(references, estimates)], axis=0)
    scale = np.divide(product, energy, out=np.full_like(energy, np.nan), where=energy > 0)
    residuals = (scale[:, np.newaxis] * s - e for s, e in blocks(references, estimates))
    error = np.sum([inner_products(residual, residual) for residual in residuals], axis=0)
    return np.where(scale == 0, -np.inf, ratio_db(scale**2 * energy, error))


def leakage_db(estimates: ArrayLike, mixture: ArrayLike) -> Array:
    """Energy of each estimate relative to the mixture's: `10 log10 |e|^2 / |x|^2`.

    Meant for sources that are absent from the track: they have no SDR, and whatever is emitted for them is a leak.

    Args:
        estimates: estimated sources (T, S, C).
        mixture: what was separated (T, C).

    Returns:
        (S,) in dB. -inf for an estimate that is exactly silent, 0 for one as loud as the mixture; under a silent
        mixture +inf, or NaN where the estimate is silent too.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity in the input.
    """
    estimates = checked("estimates", estimates)
    mixture = checked_mixture(mixture, estimates)
    return ratio_db(energy_of(estimates), energy_of(mixture[:, np.newaxis]))


def pes_db(
    references: ArrayLike,
    estimates: ArrayLike,
    sample_rate_hz: float,
    window_seconds: float = 1.0,
    hop_seconds: float = 1.0,
) -> Array:
    """Predicted energy at silence: `10 log10 (|e|^2 + 1e-12)` in the frames in which the source is silent.

    These frames have no SDR, and whatever is emitted in them is a leak. Frames lie as in `framewise_sdr`.

    Args:
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C), in the references' order.
        sample_rate_hz: sample rate of both.
        window_seconds: length of a frame.
        hop_seconds: distance from one frame's start to the next one's.

    Returns:
        (S, F) in dB, the energy being the sum of squares over a frame's samples and channels at full scale 1; so it
        grows with the sample rate. -120 for an estimate that is silent too, NaN where the source sounds.

    Raises:
        ValueError: shapes that differ, NaN or infinity in the input, a window or hop shorter than a sample.

    Source: Schulze-Forster et al. 2019, "Weakly informed audio source separation".
    """
    references, estimates = checked_pair(references, estimates)
    frames = frames_of(len(references), sample_rate_hz, window_seconds, hop_seconds)
    true, given = (np.stack([energy_of(x[frame]) for frame in frames], axis=1) for x in (references, estimates))
    return np.where(true == 0, 10 * np.log10(given + PES_FLOOR), np.nan)


def _frame_sdr(references: Array, estimates: Array) -> Array:
    """SDR (S,) of one frame (T, S, C), NaN for silent references."""
    energy = energy_of(references)
    return np.where(energy > 0, ratio_db(energy, error_energy(references, estimates)), np.nan)
