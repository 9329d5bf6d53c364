"""Filters that bring the references nearest to the estimates: the projections of BSS Eval.

The references' delayed copies span a space; the filters are the coordinates of an estimate's projection onto it. They
solve `G X = D`: G holds the inner products of all delayed references with each other, D those with the estimates. G is
block Toeplitz, so one matrix of correlations per delay is all of it.

Axes here: L delays (the filters' taps), P channels of all references, M channels of all estimates, and any batch axes
in front of `(L, P, P)` and `(L, P, M)`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import fft, linalg

from .signals import Array

Product = Callable[[Array], Array]

BLOCK_SAMPLES = 4096
BUFFER_SAMPLES = 1 << 20
# What the diagonal gets, relative to the largest eigenvalue, where the recursion breaks down without it.
LOADINGS = (0.0, 1e-15, 1e-13, 1e-11)
STEPS, PATIENCE = 60, 4
EXACT, GOOD = 1e-15, 1e-9
WRITTEN_OUT_UP_TO = 512  # rows: then quicker than the many small steps of the recursion


def correlations(references: Array, estimates: Array, taps: int) -> tuple[Array, Array]:
    """Inner products of delayed references with the references and with the estimates.

    In blocks, so that memory does not grow with the signals.

    Args:
        references: (T, S, C), or (T, P).
        estimates: (T, S, C), or (T, M).
        taps: number of delays L, at most half of `BLOCK_SAMPLES`.

    Returns:
        (L, P, P) and (L, P, M): `[d, p, m] = sum_t references[t, p] signals[t + d, m]`.
    """
    signals, width, seam = (references, estimates), references[0].size, taps - 1
    both = width + estimates[0].size
    circular = np.zeros((BLOCK_SAMPLES // 2 + 1, width, both), dtype=np.complex128)
    mending = np.zeros((taps + 1, width, both), dtype=np.complex128)
    for begins in batches(range(0, len(references), BLOCK_SAMPLES), BLOCK_SAMPLES * both):
        blocks = cut(begins, BLOCK_SAMPLES, *signals)
        spectrum = spectra(blocks)
        circular += spectrum[..., :width].conj().swapaxes(1, 2) @ spectrum
        # Each block's end met its own beginning, where it should have met the next block's.
        ends, beginnings = (np.zeros((len(begins), channels, 2 * taps)) for channels in (width, both))
        ends[..., :seam] = blocks[:, :width, BLOCK_SAMPLES - seam :]
        following = cut([begin + BLOCK_SAMPLES for begin in begins], seam, *signals)
        np.subtract(following, blocks[..., :seam], out=beginnings[..., seam : 2 * seam])
        mending += spectra(ends).conj().swapaxes(1, 2) @ spectra(beginnings)
    lags = fft.irfft(circular, BLOCK_SAMPLES, axis=0)[:taps] + fft.irfft(mending, 2 * taps, axis=0)[:taps]
    return lags[..., :width], lags[..., width:]


def batches(begins: Sequence[int], samples: int) -> Iterator[Sequence[int]]:
    """The blocks in groups that fit a buffer, `samples` being what one block needs."""
    size = max(1, BUFFER_SAMPLES // samples)
    return (begins[first : first + size] for first in range(0, len(begins), size))


def cut(begins: Sequence[int], samples: int, *signals: Array) -> Array:
    """Blocks (N, P, samples) of signals (T, ...), side by side in float64, zero where they reach beyond either end."""
    channels = np.cumsum([0, *(each[0].size for each in signals)])
    blocks = np.zeros((len(begins), channels[-1], samples))
    for block, begin in zip(blocks, begins, strict=True):
        for each, low, high in zip(signals, channels[:-1], channels[1:], strict=True):
            first, last = max(begin, 0), min(begin + samples, len(each))
            if first < last:
                block[low:high, first - begin : last - begin] = each[first:last].reshape(last - first, -1).T
    return blocks


def spectra(blocks: Array) -> NDArray[np.complex128]:
    """Spectra (frequencies, N, P) of blocks (N, P, samples), laid out for matrix products at each frequency."""
    return by_frequency(fft.rfft(blocks))


def by_frequency(spectrum: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Spectra (..., frequencies) as (frequencies, ...), contiguous."""
    return np.ascontiguousarray(np.moveaxis(spectrum, -1, 0))


class Gram:
    """The matrix G, positive semidefinite and block Toeplitz.

    Args:
        lags: correlations (..., L, P, P) of the references.
    """

    def __init__(self, lags: Array) -> None:
        self.lags = lags.copy()
        diagonal = np.einsum("...pp->...p", self.lags[..., 0, :, :])
        # A silent channel has no filter to find: with any number in place of its energy, zero comes out.
        np.copyto(diagonal, diagonal.max(axis=-1, keepdims=True), where=diagonal == 0)
        self.batch, (self.taps, self.width) = lags.shape[:-3], lags.shape[-3:-1]
        circle = np.zeros((*self.batch, 2 * self.taps, self.width, self.width))
        circle[..., : self.taps, :, :] = self.lags
        circle[..., self.taps + 1 :, :, :] = self.lags[..., :0:-1, :, :].swapaxes(-1, -2)
        self.spectrum = fft.rfft(circle, axis=-3)
        top = self.top(self.times)
        self.norm = inner(top, self.times(top))

    def times(self, x: Array) -> Array:
        """G x of x (..., L, P, M)."""
        return _filtered(self.spectrum, x)

    def top(self, product: Product, steps: int = 8) -> Array:
        """The vector (..., L, P, 1), of norm 1, that a symmetric matrix enlarges most, by power iteration."""
        x = np.random.default_rng(0).standard_normal((*self.batch, self.taps, self.width, 1))
        for _ in range(steps):
            x = product(x)
            x /= np.sqrt(inner(x, x))
        return x

    def inverses(self) -> list[Callable[[], Product]]:
        """Ways to an approximate inverse, in the order in which they are worth a try."""
        recursions = [partial(self.levinson_inverse, loading) for loading in LOADINGS]
        small = self.taps * self.width <= WRITTEN_OUT_UP_TO
        return [self.cholesky_inverse, *recursions] if small else [*recursions, self.cholesky_inverse]

    def levinson_inverse(self, loading: float) -> Product:
        """The product with the inverse of `G + loading |G| I`; the worse the condition, the rougher.

        Raises:
            numpy.linalg.LinAlgError: the recursion broke down.

        Source: block Levinson recursion, Whittle 1963, "On the fitting of multivariate autoregressions"; the inverse
        made of its predictors, Gohberg and Heinig 1974 (the block form of Gohberg and Semencul's formula).
        """
        lags = self.lags.copy()
        np.einsum("...pp->...p", lags[..., 0, :, :])[...] += loading * self.norm[..., 0, 0]
        forward, backward, forward_error, backward_error = _predictors(lags)
        late = np.zeros_like(backward)
        late[..., 1:, :, :] = backward[..., :-1, :, :]
        outer = fft.rfft(np.concatenate([forward, late], axis=-1), 2 * self.taps, axis=-3)
        adjoint = np.ascontiguousarray(outer.conj().swapaxes(-1, -2))
        middle = np.zeros((*self.batch, 1, 2 * self.width, 2 * self.width))
        middle[..., 0, : self.width, : self.width] = np.linalg.inv(forward_error)
        middle[..., 0, self.width :, self.width :] = -np.linalg.inv(backward_error)
        middle = (middle + middle.swapaxes(-1, -2)) / 2
        return lambda x: _filtered(outer, middle @ _filtered(adjoint, x))

    def cholesky_inverse(self) -> Product:
        """The product with the inverse of G, written out and factored: exact, but (L P)^2 numbers large.

        Raises:
            numpy.linalg.LinAlgError: G is singular in float64.
        """
        shape, side = (-1, self.taps, self.width, self.width), self.taps * self.width
        factor, solved = (
            partial(linalg.cho_factor, lower=True, check_finite=False),
            partial(linalg.cho_solve, check_finite=False),
        )
        factors = [factor(_dense(lags), overwrite_a=True) for lags in self.lags.reshape(shape)]

        def product(x: Array) -> Array:
            columns = zip(factors, x.reshape(-1, side, x.shape[-1]), strict=True)
            return np.stack([solved(each, right) for each, right in columns]).reshape(x.shape)

        return product


def solve(gram: Gram, right: Array) -> tuple[Array, Array]:
    """Filters X (..., L, P, M) with G X = D, and the reciprocal condition (...) of G.

    Conjugate gradients, which an approximate inverse brings to rounding in a few steps: Levinson's, or for a small G
    a Cholesky factor's. Where G is singular, or so nearly that the recursion breaks down, a little is added to G's
    diagonal for the inverse, not for the answer. What remains inexact then is done again with a Cholesky factor.

    Args:
        gram: G.
        right: D (..., L, P, M).

    Returns:
        X, and the smallest eigenvalue of G over the largest, to some percent (0 where rounding hides it).
    """
    best, error = np.zeros_like(right), np.full_like(right[..., :1, :1, :], np.inf)
    condition = np.full_like(gram.norm, np.inf)
    for make_inverse in gram.inverses():
        try:
            with np.errstate(all="ignore"):
                inverse = make_inverse()
                x, remaining = _conjugate_gradients(gram, inverse, right)
                weakest = gram.top(inverse)
                condition = np.fmin(condition, inner(weakest, gram.times(weakest)) / gram.norm)
        except np.linalg.LinAlgError:
            continue
        np.copyto(best, x, where=remaining < error)
        error = np.fmin(error, remaining)
        if (error <= GOOD).all():
            break
    return best, np.where(np.isfinite(condition), np.maximum(condition, 0), 0)[..., 0, 0, 0]


def inner(x: Array, y: Array) -> Array:
    """Inner products (..., 1, 1, M) of the columns of x and y (..., L, P, M)."""
    return np.einsum("...lpm,...lpm->...m", x, y)[..., np.newaxis, np.newaxis, :]


def _conjugate_gradients(gram: Gram, inverse: Product, right: Array) -> tuple[Array, Array]:
    """X, and how far (..., 1, 1, M) its projection is off, relative to the projection's own size."""
    x = inverse(right)
    energy = np.abs(inner(x, right))
    best, least, mark, waited = np.zeros_like(x), np.full_like(energy, np.inf), np.full_like(energy, np.inf), 0
    direction, before = np.zeros_like(x), np.full_like(energy, np.inf)
    for _ in range(STEPS):
        residual = right - gram.times(x)
        step = inverse(residual)
        # r' G^-1 r is the energy by which the projection is off.
        off = inner(residual, step)
        off = np.where(off >= 0, off, np.inf)
        np.copyto(best, x, where=off < least)
        least = np.fmin(least, off)
        gained = least < mark / 4
        mark, waited = np.where(gained, least, mark), 0 if gained.any() else waited + 1
        if (least <= EXACT**2 * energy).all() or waited > PATIENCE:
            break
        direction = step + np.nan_to_num(off / before) * direction
        x = x + np.nan_to_num(off / inner(direction, gram.times(direction))) * direction
        before = off
    return best, np.sqrt(np.divide(least, energy, out=np.zeros_like(least), where=energy > 0))


def _filtered(spectrum: NDArray[np.complex128], x: Array) -> Array:
    """The first L samples of x (..., L, P, M) through filters given as their spectrum (..., L + 1, Q, P)."""
    taps = x.shape[-3]
    return fft.irfft(spectrum @ fft.rfft(x, 2 * taps, axis=-3), 2 * taps, axis=-3)[..., :taps, :, :]


def _predictors(lags: Array) -> tuple[Array, Array, Array, Array]:
    """Forward and backward predictors (..., L, P, P) of the references, and their errors (..., P, P)."""
    *batch, taps, width, _ = lags.shape
    # [T(L-1) ... T(1)] side by side, so that a step is one product.
    row = np.moveaxis(lags[..., :0:-1, :, :], -3, -2).reshape(*batch, width, (taps - 1) * width)
    forward = np.zeros((*batch, taps * width, width))
    forward[..., :width, :] = np.eye(width)
    backward = forward.copy()
    forward_error = backward_error = lags[..., 0, :, :]
    for known in range(width, taps * width, width):
        rows = slice(known + width)
        missed = row[..., (taps - 1) * width - known :] @ forward[..., :known, :]
        missed_back = missed.swapaxes(-1, -2)
        to_forward, to_backward = np.linalg.solve(backward_error, missed), np.linalg.solve(forward_error, missed_back)
        late = np.zeros((*batch, known + width, width))
        late[..., width:, :] = backward[..., :known, :]
        backward[..., rows, :] = late - forward[..., rows, :] @ to_backward
        forward[..., rows, :] -= late @ to_forward
        forward_error = forward_error - missed_back @ to_forward
        backward_error = backward_error - missed @ to_backward
    return forward.reshape(lags.shape), backward.reshape(lags.shape), forward_error, backward_error


def _dense(lags: Array) -> Array:
    """G (L P, L P) of lags (L, P, P), written out."""
    taps, width, _ = lags.shape
    strip = np.concatenate([lags[::-1], lags[1:].swapaxes(1, 2)])  # T(L-1) ... T(0) ... T(-(L-1))
    dense = np.empty((taps, width, taps, width))
    for row in range(taps):
        dense[row] = strip[taps - 1 - row : 2 * taps - 1 - row].swapaxes(0, 1)
    return dense.reshape(taps * width, taps * width)
