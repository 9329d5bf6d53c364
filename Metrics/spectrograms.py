"""Pictures of separated tracks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from .figures import DOTS_PER_INCH, INK, readable, save_figure
from .sdr import si_sdr
from .signals import Array, checked_mixture, checked_pair, sounding_sources

SPECTRUM_SECONDS = 0.09
LOWEST_HZ = 50.0
BANDS = 160
POINTS_PER_BAND = 6
COLUMNS_UP_TO = 600
FLOOR_DB = -70.0
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)


def separation_figure(
    mixture: ArrayLike | None,
    references: ArrayLike,
    estimates: ArrayLike,
    sources: Sequence[str],
    sample_rate_hz: float,
    path: str | Path,
) -> None:
    """Spectrograms of a track: the mixture beside the sum of the estimates, then each reference beside its estimate.

    Frequency is logarithmic. One colour scale serves all panels: energy in dB below the mixture's loudest point. Only
    the sources that sound have a row; where none does, all have.

    Args:
        mixture: what was separated (T, C); None where it is not known: then there are the references and estimates
            alone, and the first that is not silent sets the scale.
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C).
        sources: the S names.
        sample_rate_hz: sample rate of all signals, above 100 Hz.
        path: the png to write.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity in the input.
        OSError: the file cannot be written.
    """
    references, estimates = checked_pair(references, estimates)
    sounding = sounding_sources(references)
    scores = [f": SI-SDR {score:.1f} dB" for score in si_sdr(references, estimates)]
    rows = []
    if mixture is not None:
        mixture = checked_mixture(mixture, references)
        rows.append([("mixture", mixture), ("sum of the estimates", estimates.sum(axis=1))])
        of_mixture = si_sdr(references, np.broadcast_to(mixture[:, np.newaxis], references.shape))
        scores = [f"{own} (mixture {score:.1f} dB)" for own, score in zip(scores, of_mixture, strict=True)]
    for index, name in enumerate(sources):
        if sounding.any() and not sounding[index]:
            continue
        score = scores[index] if sounding[index] else ""
        rows.append([(f"{name}, reference", references[:, index]), (f"{name}, estimate{score}", estimates[:, index])])
    spectrogram_grid(rows, sample_rate_hz, path)


def spectrogram_grid(rows: Sequence[Sequence[tuple[str, ArrayLike]]], sample_rate_hz: float, path: str | Path) -> None:
    """Spectrograms of any signals, on one colour scale: dB below the loudest point of the first that is not silent.

    Args:
        rows: of pairs of a title and a signal (T, C); one row at least, all of as many signals.
        sample_rate_hz: sample rate of all signals, above 100 Hz.
        path: the png to write.

    Raises:
        OSError: the file cannot be written.
    """
    columns = len(rows[0])
    size = (max(11.0, 4.4 * columns), 0.7 + 1.55 * len(rows))
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    titles = [title for row in rows for title, _ in row]
    signals = [np.asarray(signal) for row in rows for _, signal in row]
    energies = [_band_energies(signal, sample_rate_hz) for signal in signals]
    place = next((place for place, of_one in enumerate(energies) if of_one.any()), 0)
    loudest = energies[place].max() or 1.0
    for axes, title, signal, of_one in zip(grid.flat, titles, signals, energies, strict=True):
        image = _spectrogram(axes, of_one / loudest, max(len(signal), 1), sample_rate_hz)
        axes.set_title(readable(title, 60), loc="left", fontsize=9.5, color=INK, pad=3)
    for axes in grid[:, 0]:
        axes.set_ylabel("Hz", color=INK)
    for axes in grid[-1]:
        axes.set_xlabel("seconds", color=INK)
    bar = figure.colorbar(image, ax=grid, fraction=0.02, pad=0.01, aspect=60)
    bar.set_label(f"dB, relative to the loudest\npoint of '{readable(titles[place])}'", fontsize=9, color=INK)
    bar.ax.tick_params(length=0, labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    save_figure(figure, path)


def _spectrogram(axes: Axes, energies: Array, samples: int, sample_rate_hz: float) -> AxesImage:
    """Draws energies (BANDS, columns) of so many samples, as shares of the loudest point."""
    image = axes.imshow(
        10 * np.log10(np.maximum(energies, 10 ** (FLOOR_DB / 10))),
        vmin=FLOOR_DB,
        vmax=0,
        cmap="magma",
        origin="lower",
        aspect="auto",
        interpolation="antialiased",
        extent=(0, samples / sample_rate_hz, *np.log2([LOWEST_HZ, sample_rate_hz / 2])),
    )
    ticks = [hz for hz in TICKS_HZ if LOWEST_HZ <= hz <= sample_rate_hz / 2]
    axes.set_yticks(np.log2(ticks), [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in ticks])
    axes.tick_params(length=2, labelsize=8, colors=INK)
    axes.spines[:].set_visible(False)
    return image


def _band_energies(signal: Array, sample_rate_hz: float) -> Array:
    """Energies (BANDS, columns) of a signal (T, C) in bands evenly spaced in octaves, its channels added up."""
    window = 2 ** round(np.log2(SPECTRUM_SECONDS * sample_rate_hz))
    padded = np.pad(signal.astype(np.float64), ((window // 2, window // 2), (0, 0)))
    # A long track has up to four excerpts a column: their mean is shown, and only one column is in memory.
    hop = max(window // 4, len(signal) // (4 * COLUMNS_UP_TO))
    excerpts = sliding_window_view(padded, window, axis=0)[::hop]
    columns = np.array_split(excerpts, min(len(excerpts), COLUMNS_UP_TO))
    return np.stack([_bands(column, sample_rate_hz).mean(axis=0) for column in columns], axis=1)


def _bands(excerpts: Array, sample_rate_hz: float) -> Array:
    """Energies (excerpts, BANDS) of excerpts (excerpts, C, T)."""
    window = excerpts.shape[2]
    energies = np.sum(np.abs(np.fft.rfft(excerpts * np.hanning(window), 2 * window)) ** 2, axis=1)
    # A band of the high octaves holds many bins, one of the low ones lies between two: take the most of a few points.
    points = np.geomspace(LOWEST_HZ, sample_rate_hz / 2, BANDS * POINTS_PER_BAND) * 2 * window / sample_rate_hz
    below = np.minimum(points.astype(int), window - 1)
    at_points = energies[:, below] * (below + 1 - points) + energies[:, below + 1] * (points - below)
    return at_points.reshape(-1, BANDS, POINTS_PER_BAND).max(axis=2)
