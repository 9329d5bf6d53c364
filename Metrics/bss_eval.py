"""BSS Eval: an estimate's error split into spatial error, interference and artifacts."""

import warnings
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from .projection import BLOCK_SAMPLES, Gram, batches, by_frequency, correlations, cut, solve
from .sdr import Mask
from .signals import Array, checked_pair, frames_of, ratio_db, sounding_sources, strict_mask

Version = Literal["v4", "v3"]
Kind = Literal["images", "sources"]

SMALLEST_CONDITION = 1e-13


class BssEval(NamedTuple):
    """What `bss_eval` gives: four ratios (S, F) in dB, and how far they can be trusted.

    Args:
        sdr: source to distortion ratio.
        isr: source image to spatial distortion ratio; NaN for the kind "sources", which has none.
        sir: source to interference ratio.
        sar: sources to artifacts ratio.
        reciprocal_condition: (F,), of the equations behind a frame's filters: their smallest eigenvalue over their
            largest. Below 1e-13 the references nearly depend on each other and the filters are mostly rounding.
    """

    sdr: Array
    isr: Array
    sir: Array
    sar: Array
    reciprocal_condition: Array


def bss_eval(
    references: ArrayLike,
    estimates: ArrayLike,
    sample_rate_hz: float,
    window_seconds: float | None = 1.0,
    hop_seconds: float = 1.0,
    version: Version = "v4",
    kind: Kind = "images",
    mask: Mask = "per_source",
    filter_taps: int = 512,
    name: str = "references",
) -> BssEval:
    """SDR, ISR, SIR and SAR of BSS Eval, one number a source and frame, as museval 0.4.1 computes them.

    With s the reference, e its estimate, Pj the projection of e onto s (s through the filters of 512 taps, one from
    each of its channels to each of e's, that come nearest to e) and P its projection onto all references together:
    - SDR = |s|^2 / |s - e|^2, free of filters: the same as `framewise_sdr`.
    - ISR = |s|^2 / |Pj - s|^2: what filtering would mend.
    - SIR = |Pj|^2 / |P - Pj|^2: what belongs to other sources.
    - SAR = |P|^2 / |e - P|^2: what belongs to none.
    The kind "sources" forgives any filtering of the source: SDR = |Pj|^2 / |e - Pj|^2, SIR and SAR as above, no ISR.
    A frame is cut out of the signals before they are filtered, and its filtered signals are 511 samples longer.

    Numbers are museval's within 1e-5 dB wherever museval gives the same, to 1e-6 dB, for the same signals 1.1 times as
    loud. It does not where the references nearly depend on each other: two equal channels, or an empty top band as
    resampling leaves it in float signals (16-bit files have enough noise there). For such references the reciprocal
    condition is low. Below 1e-13 a `UserWarning` is raised; the result always holds it.

    Memory does not grow with the length of the signals. Beside them it is some hundred MB at most, and only what lies
    below the condition of 1e-13 may need (512 S C)^2 numbers more.

    Args:
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C), in the references' order.
        sample_rate_hz: sample rate of both.
        window_seconds: length of a frame; None takes the whole track for one.
        hop_seconds: distance from one frame's start to the next one's.
        version: "v4" finds the filters once, on the whole track; "v3" anew in every frame, which takes longer.
        kind: "images", or the older "sources" of mir_eval and BSS Eval 2.
        mask: as in `framewise_sdr`. "per_source": a frame does not count for a source whose reference is silent in it;
            a silent estimate has SDR and ISR 0 dB, no SIR and no SAR. "strict": museval's rule.
        filter_taps: length of the filters, at most 2048; all published numbers have 512.
        name: what the warning calls the signals.

    Returns:
        The ratios (S, F) in dB, NaN where a frame does not count, +inf for an error that is exactly zero; and the
        reciprocal condition (F,), NaN where every reference is silent.

    Raises:
        ValueError: shapes that differ, NaN or infinity in the input, a window or hop shorter than a sample, an unknown
            choice, or signals (v3: frames) so short that the filters could explain anything.

    Source: Vincent et al. 2006, "Performance measurement in blind audio source separation" (sources); Vincent et al.
    2012, "The signal separation evaluation campaign (2007-2010)" (images, v3); Stöter et al. 2018, "The 2018 Signal
    Separation Evaluation Campaign", section 3 (v4).
    """
    references, estimates = checked_pair(references, estimates)
    for option, choice, choices in (("version", version, Version), ("kind", kind, Kind), ("mask", mask, Mask)):
        if choice not in get_args(choices):
            raise ValueError(f"{option}: expected one of {', '.join(get_args(choices))}; received {choice!r}")
    if not 1 <= filter_taps <= BLOCK_SAMPLES // 2:
        raise ValueError(f"filter_taps: expected 1 to {BLOCK_SAMPLES // 2}; received {filter_taps}")
    frames = [slice(0, len(references))]
    if window_seconds is not None:
        frames = frames_of(len(references), sample_rate_hz, window_seconds, hop_seconds)
    if version == "v4":
        ratios, condition = _scores(references, estimates, frames, kind, filter_taps)
    else:
        each = [_scores(references[f], estimates[f], [slice(0, f.stop - f.start)], kind, filter_taps) for f in frames]
        ratios, condition = (np.concatenate(parts, axis=-1) for parts in zip(*each, strict=True))
    if mask == "strict":
        ratios = np.where(strict_mask(references, estimates, frames), np.nan, ratios)
    _warn_of(condition, name)
    sdr, isr, sir, sar = ratios
    return BssEval(sdr, isr, sir, sar, condition)


def _scores(references: Array, estimates: Array, frames: Sequence[slice], kind: Kind, taps: int) -> tuple[Array, Array]:
    """Ratios (4, S, F) and condition (F,) of frames of signals (T, S, C) under the filters of these signals."""
    sounding = sounding_sources(references)
    ratios, condition = np.full((4, len(sounding), len(frames)), np.nan), np.nan
    if sounding.any():
        if not sounding.all():  # exact: silence adds nothing to what can be projected onto
            references, estimates = (np.compress(sounding, signals, axis=1) for signals in (references, estimates))
        filters = _filters(references, estimates, taps)
        ratios[:, sounding] = _ratios(_energies(references, estimates, filters, frames, kind), kind)
        condition = filters.reciprocal_condition
    return ratios, np.full(len(frames), condition)


class _Filters(NamedTuple):
    """From each source's channels to its estimate (S, L, C, C), from all to all (L, S C, S C)."""

    own: Array
    every: Array
    reciprocal_condition: float


def _filters(references: Array, estimates: Array, taps: int) -> _Filters:
    samples, sources, channels = references.shape
    needed = taps * (sources * channels - 1) + 1
    if samples < needed:
        raise ValueError(f"references: expected at least {needed} samples to find filters of {taps} taps for {sources} "
                         f"sources of {channels} channels; received {samples}")  # fmt: skip
    lags, right = correlations(references, estimates, taps)
    every, condition = solve(Gram(lags), right)
    if sources == 1:
        return _Filters(every[np.newaxis], every, float(condition))
    parts = [slice(first, first + channels) for first in range(0, sources * channels, channels)]
    own, _ = solve(Gram(np.stack([lags[:, k, k] for k in parts])), np.stack([right[:, k, k] for k in parts]))
    return _Filters(own, every, float(condition))


def _energies(references: Array, estimates: Array, filters: _Filters, frames: Sequence[slice], kind: Kind) -> Array:
    """Energies (8, S, F) of: s, e, the distortion (e - s or e - Pj), Pj, Pj - s, P - Pj, P, e - P.

    Overlap-save: each frame, with zeros in front and behind, is filtered in blocks by products of spectra.
    """
    taps, width = filters.every.shape[:2]
    length = frames[0].stop - frames[0].start + taps - 1
    step = -(-length // -(-length // (BLOCK_SAMPLES - taps + 1)))
    size = fft.next_fast_len(step + taps - 1, real=True)
    every, own = fft.rfft(filters.every, size, axis=0), fft.rfft(np.moveaxis(filters.own, 1, -1), size)
    energies = np.zeros((8, len(frames), width))
    for number, frame in enumerate(frames):
        for begins in batches(range(0, length, step), 4 * width * size):
            blocks = cut([begin - taps + 1 for begin in begins], size, references[frame])
            p, pj = (fft.irfft(x, size)[..., taps - 1 :][..., :step] for x in _projected(fft.rfft(blocks), every, own))
            s, e = blocks[..., taps - 1 :][..., :step], cut(begins, step, estimates[frame])
            distortion = e - (s if kind == "images" else pj)
            for row, part in enumerate((s, e, distortion, pj, pj - s, p - pj, p, e - p)):
                energies[row, number] += np.einsum("npt,npt->p", part, part)
    return np.moveaxis(energies.reshape(8, len(frames), *references.shape[1:]).sum(axis=-1), 1, 2)


def _projected(
    spectrum: NDArray[np.complex128], every: NDArray[np.complex128], own: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Spectra (N, P, frequencies) of P and Pj, from the references'.

    The filters: every (frequencies, P, P), own (S, C, C, frequencies).
    """
    p = np.moveaxis(by_frequency(spectrum) @ every, 0, -1)
    sources, channels = own.shape[:2]
    if sources == 1:
        return p, p
    by_source = spectrum.reshape(len(spectrum), sources, channels, 1, -1)
    pj = by_source[:, :, 0] * own[:, 0]
    for channel in range(1, channels):
        pj += by_source[:, :, channel] * own[:, channel]
    return p, pj.reshape(spectrum.shape)


def _ratios(energies: Array, kind: Kind) -> Array:
    """SDR, ISR, SIR and SAR (4, S, F) of `_energies`."""
    s, e, distortion, pj, spatial, interference, p, artifacts = energies
    target, no_isr = (s, 0.0) if kind == "images" else (pj, np.nan)
    isr = ratio_db(s, spatial) + no_isr
    ratios = np.stack([ratio_db(target, distortion), isr, ratio_db(pj, interference), ratio_db(p, artifacts)])
    of_silence = np.array([0, no_isr, np.nan, np.nan])
    ratios = np.where(e > 0, ratios, of_silence[:, np.newaxis, np.newaxis])
    return np.where(s > 0, ratios, np.nan)


def _warn_of(condition: Array, name: str) -> None:
    low = condition < SMALLEST_CONDITION
    if low.any():
        warnings.warn(
            f"{name}: they nearly depend on each other (reciprocal condition {condition[low].min():.0e}, expected "
            f"{SMALLEST_CONDITION:.0e} or more), so ISR, SIR and SAR are partly rounding in {low.sum()} of {low.size} "
            "frames; equal channels or an empty top band do this. Score 16-bit files at their native rate",
            stacklevel=3,
        )
