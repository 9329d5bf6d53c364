"""Ratios of one estimate to its reference: framewise SDR, uSDR, SI-SDR; and what leaks into absent sources."""

from collections.abc import Iterator, Sequence
from math import floor, isfinite
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Mask = Literal["per_source", "strict"]

USDR_DELTA = 1e-7
BLOCK_SAMPLES = 4096


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
    frames = _frames(len(references), sample_rate_hz, window_seconds, hop_seconds)
    sdr = np.stack([_frame_sdr(references[frame], estimates[frame]) for frame in frames], axis=1)
    if mask == "strict":
        sdr[_strict_mask(references, estimates, frames)] = np.nan
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
    energy, error = _energy(references), _error(references, estimates)
    return _ratio_db(energy + USDR_DELTA, error + USDR_DELTA)


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
    energy = _energy(references)
    product = np.sum([_inner(e, s) for s, e in _blocks(references, estimates)], axis=0)
    scale = np.divide(product, energy, out=np.full_like(energy, np.nan), where=energy > 0)
    residuals = (scale[:, np.newaxis] * s - e for s, e in _blocks(references, estimates))
    error = np.sum([_inner(residual, residual) for residual in residuals], axis=0)
    return np.where(scale == 0, -np.inf, _ratio_db(scale**2 * energy, error))


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
    estimates = _checked("estimates", estimates)
    mixture = checked_mixture(mixture, estimates)
    return _ratio_db(_energy(estimates), _energy(mixture[:, np.newaxis]))


def sounding_sources(references: ArrayLike) -> NDArray[np.bool_]:
    """(S,): True for each source of `references` (T, S, C) that is not silent throughout."""
    return _energy(_checked("references", references)) > 0


def checked_pair(references: ArrayLike, estimates: ArrayLike) -> tuple[Array, Array]:
    """References and estimates (T, S, C) as arrays.

    Raises:
        ValueError: they differ in shape, are empty, or hold NaN or infinity.
    """
    references, estimates = _checked("references", references), _checked("estimates", estimates)
    for axis, name in enumerate(("samples", "sources", "channels")):
        expected, received = references.shape[axis], estimates.shape[axis]
        if expected != received:
            raise ValueError(f"estimates: expected {expected} {name} as in the references; received {received}")
    return references, estimates


def checked_mixture(mixture: ArrayLike, sources: Array) -> Array:
    """The mixture (T, C) as an array.

    Raises:
        ValueError: its length or channels are not those of `sources` (T, S, C), or it holds NaN or infinity.
    """
    mixture = np.asarray(mixture)
    samples, _, channels = sources.shape
    if mixture.shape != (samples, channels):
        raise ValueError(f"mixture: expected the shape (samples, channels) {(samples, channels)} of the sources; "
                         f"received {mixture.shape}")  # fmt: skip
    return _finite("mixture", mixture)


def _checked(name: str, signals: ArrayLike) -> Array:
    signals = np.asarray(signals)
    if signals.ndim != 3 or not signals.size:
        raise ValueError(f"{name}: expected an array (samples, sources, channels) that is not empty; "
                         f"received the shape {signals.shape}")  # fmt: skip
    return _finite(name, signals)


def _finite(name: str, signals: Array) -> Array:
    # A finite sum has finite terms, and takes a tenth of the time and no memory.
    with np.errstate(all="ignore"):
        if np.isfinite(signals.sum()):
            return signals
    wrong = np.argwhere(~np.isfinite(signals))
    if len(wrong):
        axes = ("sample", "source", "channel") if signals.ndim == 3 else ("sample", "channel")
        where = ", ".join(f"{axis} {index}" for axis, index in zip(axes, wrong[0], strict=True))
        raise ValueError(f"{name}: expected finite samples; {len(wrong)} are NaN or infinite, the first is {where}")
    return signals


def _frames(samples: int, sample_rate_hz: float, window_seconds: float, hop_seconds: float) -> list[slice]:
    """Frames of a track, cut as museval does."""
    window, hop = (
        _whole_samples(name, seconds, sample_rate_hz)
        for name, seconds in (("window_seconds", window_seconds), ("hop_seconds", hop_seconds))
    )
    count = (samples - window) // hop + 1 if window < samples else 1
    return [slice(frame * hop, frame * hop + window) for frame in range(count)]


def _whole_samples(name: str, seconds: float, sample_rate_hz: float) -> int:
    samples = seconds * sample_rate_hz
    if not (isfinite(samples) and samples >= 1):
        raise ValueError(f"{name}: expected at least one sample at {sample_rate_hz} Hz; received {seconds} s")
    return floor(samples)


def _frame_sdr(references: Array, estimates: Array) -> Array:
    """SDR (S,) of one frame (T, S, C), NaN for silent references."""
    energy = _energy(references)
    return np.where(energy > 0, _ratio_db(energy, _error(references, estimates)), np.nan)


def _strict_mask(references: Array, estimates: Array, frames: Sequence[slice]) -> NDArray[np.bool_]:
    """(S, F): True where museval, given only the sources that sound, would write NaN."""
    left_out = ~_sounds_to_museval(references)
    counted = [(_sounds_to_museval(references[f]) & _sounds_to_museval(estimates[f]) | left_out).all() for f in frames]
    return left_out[:, np.newaxis] | ~np.array(counted)


def _sounds_to_museval(signals: Array) -> NDArray[np.bool_]:
    # museval adds the channels before it looks for zeros: two channels in opposite phase are silence to it.
    return np.any([np.any(np.einsum("tsc->ts", block) != 0, axis=0) for (block,) in _blocks(signals)], axis=0)


def _blocks(*signals: Array) -> Iterator[tuple[Array, ...]]:
    """The signals cut into float64 blocks that fit a cache, so that a long track needs no second copy in memory."""
    for start in range(0, len(signals[0]), BLOCK_SAMPLES):
        block = slice(start, start + BLOCK_SAMPLES)
        yield tuple(np.ascontiguousarray(signal[block], dtype=np.float64) for signal in signals)


def _energy(signals: Array) -> Array:
    """Energy (S,) of signals (T, S, C)."""
    return np.sum([_inner(block, block) for (block,) in _blocks(signals)], axis=0)


def _error(references: Array, estimates: Array) -> Array:
    """Energy (S,) of the difference of two signals (T, S, C)."""
    differences = (s - e for s, e in _blocks(references, estimates))
    return np.sum([_inner(difference, difference) for difference in differences], axis=0)


def _inner(left: Array, right: Array) -> Array:
    """Inner products (S,) of two blocks (T, S, C) over samples and channels."""
    samples, sources, channels = left.shape
    products = np.einsum("tk,tk->k", left.reshape(samples, -1), right.reshape(samples, -1))
    return products.reshape(sources, channels).sum(axis=1)


def _ratio_db(numerator: Array, denominator: Array) -> Array:
    # The difference of logarithms cannot overflow; 0/0 is NaN, 1/0 is +inf and 0/1 is -inf.
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * (np.log10(numerator) - np.log10(denominator))
