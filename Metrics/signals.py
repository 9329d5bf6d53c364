"""Signals (T, S, C) as all metrics take them: checked, cut into frames and blocks, their energies and silences."""

from collections.abc import Callable, Iterator, Sequence
from math import floor, isfinite

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BLOCK_SAMPLES = 1 << 12
FAINT = 1e-3


def checked_pair(references: ArrayLike, estimates: ArrayLike) -> tuple[Array, Array]:
    """References and estimates (T, S, C) as arrays.

    Raises:
        ValueError: they differ in shape, are empty, or hold NaN or infinity.
    """
    references, estimates = checked("references", references), checked("estimates", estimates)
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


def checked(name: str, signals: ArrayLike) -> Array:
    """Signals (T, S, C) as an array.

    Raises:
        ValueError: another number of axes, nothing in it, or NaN or infinity; `name` stands in the message.
    """
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


def frames_of(samples: int, sample_rate_hz: float, window_seconds: float, hop_seconds: float) -> list[slice]:
    """Frames of a track, cut as museval does: the last partial one is dropped, a track no longer than one is one.

    Raises:
        ValueError: a window or hop shorter than a sample.
    """
    window, hop = (
        _whole_samples(name, seconds, sample_rate_hz)
        for name, seconds in (("window_seconds", window_seconds), ("hop_seconds", hop_seconds))
    )
    count = (samples - window) // hop + 1 if window < samples else 1
    return [slice(frame * hop, min(frame * hop + window, samples)) for frame in range(count)]


def _whole_samples(name: str, seconds: float, sample_rate_hz: float) -> int:
    samples = seconds * sample_rate_hz
    if not (isfinite(samples) and samples >= 1):
        raise ValueError(f"{name}: expected at least one sample at {sample_rate_hz} Hz; received {seconds} s")
    return floor(samples)


def sounding_sources(references: ArrayLike) -> NDArray[np.bool_]:
    """(S,): True for each source of `references` (T, S, C) that is not silent throughout."""
    return _any(lambda block: block != 0, checked("references", references))


def of_sources(signals: Array, chosen: NDArray[np.bool_]) -> Array:
    """Some sources of signals (T, S, C); no copy where it is all of them."""
    return signals if chosen.all() else np.moveaxis(np.moveaxis(signals, 1, 0)[chosen], 0, 1)


def liveliest(references: ArrayLike, samples: int, step: int | None = None) -> slice:
    """The excerpt of so many samples in which most sources play; of several that in which the faintest is loudest.

    A source plays in an excerpt where it is no more than 30 dB below its loudest one. The first of equals is chosen; a
    track that is not longer is taken whole.

    Args:
        references: true sources (T, S, C).
        samples: length of the excerpt.
        step: excerpts begin at its multiples, in samples; without one at those of an eighth of their length.
    """
    references = checked("references", references)
    step = step or max(1, samples // 8)
    steps = [slice(start, start + step) for start in range(0, len(references) - step + 1, step)]
    if len(references) <= samples or not steps:
        return slice(0, min(samples, len(references)))
    energies = np.stack([energy_of(references[each]) for each in steps])
    totals = sliding_window_view(energies, min(max(1, samples // step), len(steps)), axis=0).sum(axis=-1)
    plays = totals > FAINT * totals.max(axis=0)
    faintest = np.min(totals, axis=1, where=plays, initial=np.inf)
    playing = plays.sum(axis=1)
    place = np.where(playing == playing.max(), faintest, -1.0).argmax()
    start = min(step * int(place), len(references) - samples)
    return slice(start, start + samples)


def strict_mask(references: Array, estimates: Array, frames: Sequence[slice]) -> NDArray[np.bool_]:
    """(S, F): True where museval, given only the sources that sound, would write NaN."""
    left_out = ~_sounds_to_museval(references)
    counted = [(_sounds_to_museval(references[f]) & _sounds_to_museval(estimates[f]) | left_out).all() for f in frames]
    return left_out[:, np.newaxis] | ~np.array(counted)


def _sounds_to_museval(signals: Array) -> NDArray[np.bool_]:
    # museval adds the channels before it looks for zeros: two channels in opposite phase are silence to it.
    return _any(lambda block: np.einsum("tsc->ts", block)[..., np.newaxis] != 0, signals)


def _any(sounds: Callable[[Array], NDArray[np.bool_]], signals: Array) -> NDArray[np.bool_]:
    """(S,): True where a sample sounds. Most sources sound in the first block, and no more are read than it takes."""
    sounding = np.zeros(signals.shape[1], dtype=bool)
    for (block,) in blocks(signals):
        sounding |= sounds(block).any(axis=(0, 2))
        if sounding.all():
            break
    return sounding


def blocks(*signals: Array) -> Iterator[tuple[Array, ...]]:
    """The signals cut into float64 blocks that fit a cache, so that a long track needs no second copy in memory.

    A block keeps the layout of its signal: where the samples of a source lie side by side, all is several times faster.
    """
    for start in range(0, len(signals[0]), BLOCK_SAMPLES):
        block = slice(start, start + BLOCK_SAMPLES)
        yield tuple(signal[block].astype(np.float64, order="K", copy=False) for signal in signals)


def energy_of(signals: Array) -> Array:
    """Energy (S,) of signals (T, S, C)."""
    return np.sum([inner_products(block, block) for (block,) in blocks(signals)], axis=0)


def inner_products(left: Array, right: Array) -> Array:
    """Inner products (S,) of two blocks (T, S, C) over samples and channels."""
    return np.einsum("tsc,tsc->s", left, right)


def ratio_db(numerator: Array, denominator: Array) -> Array:
    """Energies' ratio in dB: 1/0 is +inf, 0/1 is -inf, 0/0 is NaN."""
    # The difference of logarithms cannot overflow.
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * (np.log10(numerator) - np.log10(denominator))
