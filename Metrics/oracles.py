"""Separators that are given the true sources: what masks of the spectrum can reach at best."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

from .projection import batches, cut
from .signals import Array, checked, checked_mixture

ORACLES = ("IBM", "IRM", "MWF")

WINDOW_SECONDS = 0.046  # 2048 samples at 44.1 kHz
Spectra = NDArray[np.complex128]


def oracle_estimates(oracle: str, mixture: ArrayLike, references: ArrayLike, sample_rate_hz: float) -> Array:
    """Estimates by an ideal mask: what a separator that masks the mixture's spectrum could give at best.

    The mixture's short-time spectrum x is multiplied, frame by frame and bin by bin, by
    - "IBM", ideal binary mask: 1 where a source has more energy than all others together, else 0.
    - "IRM", ideal ratio mask: the source's energy over the sum of all sources' energies.
    - "MWF", multichannel Wiener filter: `v_j R_j (sum_k v_k R_k)^-1`, a matrix over channels, with v_j the source's
      energy in the bin and frame (mean over channels) and R_j its spatial covariance in the bin,
      `sum s s^H / sum v_j` over all frames. Of one channel it is the IRM.

    Energies are sums over channels. Frames are the power of two nearest to 46 ms (2048 samples at 44.1 kHz), half
    overlapping; analysis and synthesis windows are the square root of Hann's.

    Args:
        oracle: one of `ORACLES`.
        mixture: what would be separated (T, C).
        references: true sources (T, S, C).
        sample_rate_hz: sample rate of both.

    Returns:
        Estimates (T, S, C), float64.

    Raises:
        ValueError: an unknown oracle, shapes that do not fit, NaN or infinity in the input.

    Sources: Wang 2005, "On ideal binary mask as the computational goal of auditory scene analysis"; Liutkus and Badeau
    2015, "Generalized Wiener filtering with fractional power spectrograms"; Duong, Vincent and Gribonval 2010,
    "Under-determined reverberant audio source separation using a full-rank spatial covariance model", eq. 5. All three
    are baselines in Stöter et al. 2018, "The 2018 Signal Separation Evaluation Campaign".
    """
    if oracle not in ORACLES:
        raise ValueError(f"oracle: expected one of {', '.join(ORACLES)}; received {oracle!r}")
    references = checked("references", references)
    mixture = checked_mixture(mixture, references)
    samples, sources, channels = references.shape
    window = 2 ** max(2, round(np.log2(WINDOW_SECONDS * sample_rate_hz)))
    covariances = _covariances(references, window) if oracle == "MWF" else None
    estimates = np.zeros((samples + 2 * window, sources, channels))  # frames reach beyond both ends
    taper = np.sqrt(signal.windows.hann(window, sym=False))
    for begins, true, mixed in _frames(window, references, mixture[:, np.newaxis]):
        masked = _filtered(true, mixed, covariances) if covariances is not None else _mask(oracle, true) * mixed
        pieces = np.moveaxis(fft.irfft(masked, window) * taper, -1, 1)
        for begin, piece in zip(begins, pieces, strict=True):
            estimates[window + begin : 2 * window + begin] += piece
    return estimates[window : window + samples]


def _frames(window: int, *signals: Array) -> Iterator[tuple[Sequence[int], Spectra, Spectra]]:
    """Where frames begin, and the spectra (frames, S, C, bins) of two signals (T, S, C) in them, batch by batch."""
    shapes = [each.shape[1:] for each in signals]
    widths = np.cumsum([0, *(sources * channels for sources, channels in shapes)])
    taper = np.sqrt(signal.windows.hann(window, sym=False))
    hop = window // 2
    for begins in batches(range(-hop, len(signals[0]), hop), 2 * int(widths[-1]) * window):
        spectra = fft.rfft(cut(begins, window, *signals) * taper)
        first, second = (
            spectra[:, low:high].reshape(len(begins), *shape, window // 2 + 1)
            for low, high, shape in zip(widths[:-1], widths[1:], shapes, strict=True)
        )
        yield begins, first, second


def _mask(oracle: str, true: Spectra) -> Array:
    """Masks (frames, S, 1, bins) of sources (frames, S, C, bins)."""
    energies = _energy(true).sum(axis=2, keepdims=True)
    total = energies.sum(axis=1, keepdims=True)
    if oracle == "IBM":
        return (energies > total - energies).astype(np.float64)
    return np.divide(energies, total, out=np.zeros_like(energies), where=total > 0)


def _covariances(references: Array, window: int) -> Spectra:
    """Spatial covariances (bins, S, C, C) of the sources, each of trace C; a silent bin's is the identity."""
    _, sources, channels = references.shape
    products = np.zeros((window // 2 + 1, sources, channels, channels), np.complex128)
    for _, true, _ in _frames(window, references, references[:, :0]):
        products += np.einsum("nscf,nsdf->fscd", true, true.conj())
    mean = np.trace(products, axis1=2, axis2=3).real / channels
    silent = mean <= 0
    products[silent] = np.eye(channels)
    return products / np.where(silent, 1, mean)[..., np.newaxis, np.newaxis]


def _filtered(true: Spectra, mixed: Spectra, covariances: Spectra) -> Spectra:
    """The mixture (frames, 1, C, bins) through each source's Wiener filter: (frames, S, C, bins)."""
    energies = np.moveaxis(_energy(true).mean(axis=2), -1, 1)  # (frames, bins, S)
    own = energies[..., np.newaxis, np.newaxis] * covariances  # (frames, bins, S, C, C)
    total = own.sum(axis=2)
    # Sources of one direction span fewer dimensions than there are channels: a trace of noise makes them invertible.
    channels = total.shape[-1]
    noise = 1e-10 * np.trace(total, axis1=2, axis2=3).real / channels + np.finfo(np.float64).tiny ** 0.5
    total += noise[..., np.newaxis, np.newaxis] * np.eye(channels)
    whitened = np.linalg.solve(total, np.moveaxis(mixed[:, 0], -1, 1)[..., np.newaxis])
    return np.moveaxis((own @ whitened[:, :, np.newaxis])[..., 0], 1, -1)


def _energy(spectra: Spectra) -> Array:
    return spectra.real**2 + spectra.imag**2
