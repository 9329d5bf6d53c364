"""What needs no filter: framewise SDR, uSDR, SI-SDR; and what is emitted where a source is silent."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .signals import (
    Array,
    blocks,
    checked,
    checked_mixture,
    checked_pair,
    energy_of,
    frames_of,
    inner_products,
    of_sources,
    ratio_db,
    sounding_sources,
    strict_mask,
)

Mask = Literal["per_source", "strict"]

USDR_DELTA = 1e-7
PES_FLOOR = 1e-12
CANCELLED = 1e-6


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
    sdr = _sdr(_moments(references, estimates, frames))
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
    return _usdr(_moments(references, estimates, [slice(None)]))


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
    return _si_sdr(_moments(references, estimates, [slice(None)]), references, estimates)


class TrackRatios(NamedTuple):
    """Of a track: SDR (S, F) in frames of a second, uSDR (S,) and SI-SDR (S,)."""

    sdr: Array
    usdr: Array
    si_sdr: Array


def track_ratios(references: Array, estimates: Array, sample_rate_hz: float) -> TrackRatios:
    """What `framewise_sdr`, `usdr` and `si_sdr` give, in one sweep over signals that `checked_pair` has passed."""
    frames = frames_of(len(references), sample_rate_hz, 1.0, 1.0)
    rest = slice(frames[-1].stop, len(references))
    moments = _moments(references, estimates, [*frames, rest])
    sdr = _sdr(Moments(*(of_frames[: len(frames)] for of_frames in moments)))
    return TrackRatios(sdr, _usdr(moments), _si_sdr(moments, references, estimates))


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
    resting = np.stack([~sounding_sources(references[frame]) for frame in frames], axis=1)
    return pes_at(resting, estimates, frames)


def pes_at(resting: NDArray[np.bool_], estimates: Array, frames: Sequence[slice]) -> Array:
    """PES (S, F) where it is known which sources rest in which frames (S, F)."""
    pes = np.full(resting.shape, np.nan)
    for number, frame in enumerate(frames):
        here = resting[:, number]
        if here.any():
            pes[here, number] = 10 * np.log10(energy_of(of_sources(estimates[frame], here)) + PES_FLOOR)
    return pes


class Moments(NamedTuple):
    """Of S sources in F frames (F, S): |s|^2, |s - e|^2 and <s, s - e>. Every ratio here is one of these."""

    reference: Array
    error: Array
    product: Array


def _moments(references: Array, estimates: Array, frames: Sequence[slice]) -> Moments:
    sums = np.zeros((3, len(frames), references.shape[1]))
    for of_frame, frame in zip(np.moveaxis(sums, 1, 0), frames, strict=True):
        for s, e in blocks(references[frame], estimates[frame]):
            d = s - e
            of_frame += [inner_products(s, s), inner_products(d, d), inner_products(s, d)]
    return Moments(*sums)


def _sdr(moments: Moments) -> Array:
    """SDR (S, F), NaN for silent references."""
    reference, error, _ = moments
    return np.where(reference > 0, ratio_db(reference, error), np.nan).T


def _usdr(moments: Moments) -> Array:
    reference, error, _ = (of_frames.sum(axis=0) for of_frames in moments)
    return ratio_db(reference + USDR_DELTA, error + USDR_DELTA)


def _si_sdr(moments: Moments, references: Array, estimates: Array) -> Array:
    energy, error, product = (of_frames.sum(axis=0) for of_frames in moments)
    # With d = s - e: a = 1 - <s, d> / |s|^2, and the residual a s - e is what of d is orthogonal to s.
    share = np.divide(product, energy, out=np.full_like(energy, np.nan), where=energy > 0)
    residual = error - share * product
    if (residual < CANCELLED * error).any():  # e is all but a scaled s: the difference would be mere rounding
        residual = np.sum([_residual_energy(s, e, 1 - share) for s, e in blocks(references, estimates)], axis=0)
    scale = np.where(np.isnan(share) | sounding_sources(estimates), 1 - share, 0.0)
    return np.where(scale == 0, -np.inf, ratio_db(scale**2 * energy, residual))


def _residual_energy(references: Array, estimates: Array, scale: Array) -> Array:
    residual = scale[:, np.newaxis] * references - estimates
    return inner_products(residual, residual)
