"""Pictures of scores and of separated tracks. Figures are made by object, never through pyplot's global state."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from .files import whole_file
from .sdr import si_sdr
from .signals import Array, checked_mixture, checked_pair
from .summary import ALL, trivial_rows

DOTS_PER_INCH = 120
INK = "#333333"
# From the palette of Okabe and Ito: told apart with every kind of colour vision, and in grey.
MIXTURE_COLOUR = "#E69F00"
RUN_COLOURS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
PANELS = {"SI-SDR": "of tracks", "SDR": "of frames"}
DOTS_UP_TO = 30

SPECTRUM_SECONDS = 0.09
LOWEST_HZ = 50.0
BANDS = 160
POINTS_PER_BAND = 6
COLUMNS_UP_TO = 600
FLOOR_DB = -70.0
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)


def score_boxplot(rows: pd.DataFrame, path: str | Path) -> None:
    """Boxplots of SI-SDR over tracks and of SDR over frames, per source: each run's beside the mixture's.

    Sources are sorted by the first run's median SI-SDR; all sources together stand last. A box spans the quartiles, the
    line in it is the median, the whiskers reach the 5th and the 95th percentile; up to 30 values are drawn as dots
    too. NaN, infinite values and trivial pairs (see `summarise`) are left out.

    Args:
        rows: rows of `score_track`, of one run or several.
        path: the png to write.

    Raises:
        ValueError: no estimate has an SI-SDR.
        OSError: the file cannot be written.
    """
    rows = rows[rows["value"].notna() & ~trivial_rows(rows)]
    runs = list(rows["run"].unique())
    rows = pd.concat([rows, rows.assign(source=ALL)], ignore_index=True)
    sources = _by_median(rows[rows["run"] == runs[0]] if runs else rows)
    rows = rows[np.isfinite(rows["value"])]
    estimates, first = rows[rows["method"] == "estimate"], rows["run"] == runs[0]
    series = [Series(run, run_colour(place), estimates[estimates["run"] == run]) for place, run in enumerate(runs)]
    if len(runs) == 1:
        series = [series[0]._replace(label="model's estimate")]
    series.append(Series("mixture as the estimate", MIXTURE_COLOUR, rows[first & (rows["method"] == "mixture")]))
    width = 1.6 + 0.8 * len(sources) * max(1, len(series) / 3)
    figure = Figure(figsize=(max(7.0, width), 7.2), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, metric in zip(figure.subplots(len(PANELS), 1), PANELS, strict=True):
        of_metric = [each._replace(rows=each.rows[each.rows["metric"] == metric]) for each in series]
        _boxes(axes, of_metric, sources)
        axes.set_ylabel(f"{metric} (dB)")
        axes.set_title(f"{metric} {PANELS[metric]} (n below each name)", loc="left", fontsize=11, color=INK)
    axes.text(1.005, 0, "silence", transform=axes.get_yaxis_transform(), va="center", color=INK)
    keys = [Patch(facecolor=_pale(each.colour), edgecolor=each.colour, label=each.label) for each in series]
    figure.legend(handles=keys, loc="outside upper right", ncols=min(3, len(keys)), frameon=False, fontsize=10)
    _save(figure, path)


def run_colour(place: int) -> str:
    """The colour of a run among several, from 0; after six they repeat."""
    return RUN_COLOURS[place % len(RUN_COLOURS)]


def score_heatmap(scores: pd.DataFrame, title: str, path: str | Path) -> None:
    """Tracks and runs as a grid of coloured cells: which tracks are hard, and for whom.

    Args:
        scores: (tracks, runs) in dB, as of `track_scores`; drawn with the best track on top.
        title: what the numbers are.
        path: the png to write.

    Raises:
        OSError: the file cannot be written.
    """
    scores = scores.loc[scores.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    tracks, runs = scores.shape
    size = (3.4 + max(1.1 * runs, 2), 1.4 + 0.26 * tracks)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    largest = max(1.0, float(np.nanmax(np.abs(scores.to_numpy()), initial=0)))
    image = axes.imshow(scores, cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
    for (row, column), value in np.ndenumerate(scores.to_numpy()):
        ink = "white" if abs(value) > 0.6 * largest else INK
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(runs), scores.columns, fontsize=9, rotation=20, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(tracks), [_shortened(str(track)) for track in scores.index], fontsize=8)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("dB", fontsize=9, color=INK)
    bar.ax.tick_params(length=0, labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    _save(figure, path)


def separation_figure(
    mixture: ArrayLike,
    references: ArrayLike,
    estimates: ArrayLike,
    sources: Sequence[str],
    sample_rate_hz: float,
    path: str | Path,
) -> None:
    """Spectrograms of a track: the mixture beside the sum of the estimates, then each reference beside its estimate.

    Frequency is logarithmic. One colour scale serves all panels: energy in dB below the mixture's loudest point. Only
    the sources that sound have a row.

    Args:
        mixture: what was separated (T, C).
        references: true sources (T, S, C).
        estimates: estimated sources (T, S, C).
        sources: the S names.
        sample_rate_hz: sample rate of all signals, above 100 Hz.
        path: the png to write.

    Raises:
        ValueError: shapes that do not fit, a silent mixture, NaN or infinity in the input.
        OSError: the file cannot be written.
    """
    references, estimates = checked_pair(references, estimates)
    mixture = checked_mixture(mixture, references)
    if not np.any(mixture):
        raise ValueError("mixture: expected sound to draw; every sample is zero")
    own, of_mixture = si_sdr(references, estimates), si_sdr(references, _for_every_source(mixture, references))
    rows = [[Panel("mixture", mixture), Panel("sum of the estimates", estimates.sum(axis=1))]]
    for index, source in enumerate(sources):
        title = f"{source}, estimate: SI-SDR {own[index]:.1f} dB (mixture {of_mixture[index]:.1f} dB)"
        rows.append([Panel(f"{source}, reference", references[:, index]), Panel(title, estimates[:, index])])
    _save(_spectrogram_grid([row for row in rows if np.any(row[0].signal)], sample_rate_hz), path)


def spectrogram_grid(rows: Sequence[Sequence[tuple[str, ArrayLike]]], sample_rate_hz: float, path: str | Path) -> None:
    """Spectrograms of any signals, on one colour scale: dB below the loudest point of the first.

    Args:
        rows: of pairs of a title and a signal (T, C); all rows as many, the first one's signal not silent.
        sample_rate_hz: sample rate of all signals, above 100 Hz.
        path: the png to write.
    """
    panels = [[Panel(title, np.asarray(signal)) for title, signal in row] for row in rows]
    _save(_spectrogram_grid(panels, sample_rate_hz), path)


class Panel(NamedTuple):
    """A signal (T, C) and what it is."""

    title: str
    signal: Array


class Series(NamedTuple):
    """Boxes of one colour: whose they are, and the rows that they are drawn of."""

    label: str
    colour: str
    rows: pd.DataFrame


def _by_median(rows: pd.DataFrame) -> list[str]:
    """The sources whose estimates were scored, the best first, all together last."""
    scored = rows[(rows["method"] == "estimate") & (rows["metric"] == "SI-SDR") & (rows["source"] != ALL)]
    if scored.empty:
        raise ValueError("scores: expected an SI-SDR of at least one estimate to draw; received none")
    medians = scored.groupby("source")["value"].median()
    return [*medians.sort_values(ascending=False, kind="stable").index, ALL]


def _boxes(axes: Axes, series: Sequence[Series], sources: Sequence[str]) -> None:
    step = 0.76 / len(series)
    for place, each in enumerate(series):
        offset = step * (place - (len(series) - 1) / 2)
        for position, source in enumerate(sources):
            values = each.rows.loc[each.rows["source"] == source, "value"].to_numpy()
            if values.size:
                _box(axes, values, position + offset, step, each.colour)
    counts = series[0].rows["source"].value_counts()
    axes.set_xticks(range(len(sources)), [f"{source}\n{counts.get(source, 0)}" for source in sources])
    axes.set_xlim(-0.6, len(sources) - 0.4)
    axes.axvline(len(sources) - 1.5, color=INK, linewidth=0.8, linestyle=(0, (1, 3)))
    axes.axhline(0, color=INK, linewidth=1.0, zorder=0.9)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)


def _box(axes: Axes, values: Array, position: float, step: float, colour: str) -> None:
    line = {"color": colour, "linewidth": 1.2}
    axes.boxplot(
        [values],
        positions=[position],
        widths=0.85 * step,
        whis=(5, 95),
        showfliers=False,
        showcaps=False,
        manage_ticks=False,
        patch_artist=True,
        whiskerprops=line,
        medianprops=line | {"linewidth": 2.4},
        boxprops={"facecolor": _pale(colour), "edgecolor": colour, "linewidth": 1.2},
    )
    if values.size <= DOTS_UP_TO:
        # Steps of the golden ratio spread the dots evenly, and the same picture comes out every time.
        spread = (np.arange(values.size) * 0.618 % 1 - 0.5) * 0.5 * step
        axes.plot(position + spread, values, "o", markersize=2.8, color=colour, alpha=0.55, markeredgewidth=0, zorder=3)


def _pale(colour: str) -> tuple[float, float, float]:
    red, green, blue = (0.25 * part + 0.75 for part in to_rgb(colour))
    return red, green, blue


def _shortened(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:33]}…"


def _for_every_source(mixture: Array, references: Array) -> Array:
    return np.broadcast_to(mixture[:, np.newaxis], references.shape)


def _spectrogram_grid(rows: Sequence[Sequence[Panel]], sample_rate_hz: float) -> Figure:
    columns = len(rows[0])
    size = (max(11.0, 4.4 * columns), 0.7 + 1.55 * len(rows))
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    grid = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    loudest = _band_energies(rows[0][0].signal, sample_rate_hz).max()
    for of_row, row in zip(grid, rows, strict=True):
        for axes, panel in zip(of_row, row, strict=True):
            image = _spectrogram(axes, panel.signal, panel.title, loudest, sample_rate_hz)
        of_row[0].set_ylabel("Hz", color=INK)
    for axes in grid[-1]:
        axes.set_xlabel("seconds", color=INK)
    bar = figure.colorbar(image, ax=grid, fraction=0.02, pad=0.01, aspect=60)
    bar.set_label("dB, relative to the mixture's loudest point", fontsize=9, color=INK)
    bar.ax.tick_params(length=0, labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    return figure


def _spectrogram(axes: Axes, signal: Array, title: str, loudest: float, sample_rate_hz: float) -> AxesImage:
    energies = _band_energies(signal, sample_rate_hz)
    decibels = 10 * np.log10(np.maximum(energies / loudest, 10 ** (FLOOR_DB / 10)))
    octaves = np.log2([LOWEST_HZ, sample_rate_hz / 2])
    image = axes.imshow(
        decibels,
        vmin=FLOOR_DB,
        vmax=0,
        cmap="magma",
        origin="lower",
        aspect="auto",
        interpolation="antialiased",
        extent=(0, len(signal) / sample_rate_hz, *octaves),
    )
    ticks = [hz for hz in TICKS_HZ if LOWEST_HZ <= hz <= sample_rate_hz / 2]
    axes.set_yticks(np.log2(ticks), [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in ticks])
    axes.set_title(title, loc="left", fontsize=9.5, color=INK, pad=3)
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


def _save(figure: Figure, path: str | Path) -> None:
    with whole_file(Path(path)) as unfinished:
        figure.savefig(unfinished, format="png")
