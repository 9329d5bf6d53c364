"""Pictures of scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .figures import DOTS_PER_INCH, INK, note, readable, save_figure
from .signals import Array
from .summary import ALL, trivial_rows

# From the palette of Okabe and Ito: distinct with every kind of colour vision, and in grey.
MIXTURE_COLOUR = "#E69F00"
RUN_COLOURS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
PANELS = {"SI-SDR": "of tracks", "SDR": "of frames"}
DOTS_UP_TO = 30
NAME_UP_TO = 20


def score_boxplot(rows: pd.DataFrame, path: str | Path) -> None:
    """Boxplots of SI-SDR over tracks and of SDR over frames, per source: each run's beside the mixture's.

    Sources are sorted by the first run's median SI-SDR, or SDR where they have none; all sources together stand last. A
    box spans the quartiles, the line in it is the median, the whiskers reach the 5th and the 95th percentile; up to 30
    values are drawn as dots too. NaN, infinite values and trivial pairs (see `summarise`) are left out; where nothing
    is left, that is written in the picture.

    Args:
        rows: rows of `score_track`, of one run or several; where they hold no scores of a mixture, it has no boxes.
        path: the png to write.

    Raises:
        OSError: the file cannot be written.
    """
    runs = list(rows["run"].unique())
    trivial = trivial_rows(rows)
    counted = rows.assign(value=rows["value"].mask(trivial)).dropna(subset="value")
    sources = _by_median(counted[counted["run"].isin(runs[:1])]) or sorted(rows["source"].unique())
    sources, rows = [*sources, ALL], pd.concat([counted, counted.assign(source=ALL)], ignore_index=True)
    rows = rows[np.isfinite(rows["value"])]
    series = _series(rows, runs)
    longest_name = max(len(readable(source, NAME_UP_TO)) for source in sources)
    width = 1.6 + len(sources) * max(0.8, 0.8 * len(series) / 3, 0.1 * longest_name)
    figure = Figure(figsize=(max(7.0, width), 7.2), dpi=DOTS_PER_INCH, layout="constrained")
    for axes, metric in zip(figure.subplots(len(PANELS), 1), PANELS, strict=True):
        of_metric = [each._replace(rows=each.rows[each.rows["metric"] == metric]) for each in series]
        _boxes(axes, of_metric, sources)
        if all(each.rows.empty for each in of_metric):
            why = "\n(trivial: the mixture is the source alone)" if trivial.any() else ""
            note(axes, f"no finite {metric} that counts{why}")
        axes.set_ylabel(f"{metric} (dB)")
        axes.set_title(f"{metric} {PANELS[metric]} (n below each name)", loc="left", fontsize=11, color=INK)
    axes.text(1.005, 0, "silence", transform=axes.get_yaxis_transform(), va="center", color=INK)
    keys = [Patch(facecolor=_pale(each.colour), edgecolor=each.colour, label=each.label) for each in series]
    longest = max(len(each.label) for each in series)
    columns = int(figure.get_figwidth() / (0.7 + 0.09 * longest))
    figure.legend(handles=keys, loc="outside upper right", ncols=min(3, columns), frameon=False, fontsize=10)
    save_figure(figure, path)


def run_colour(place: int) -> str:
    """The colour of a run among several, from 0; after six they repeat."""
    return RUN_COLOURS[place % len(RUN_COLOURS)]


def score_heatmap(scores: pd.DataFrame, title: str, path: str | Path) -> None:
    """Tracks and runs as a grid of coloured cells: which tracks are hard, and for whom.

    Args:
        scores: (tracks, runs) in dB, as of `track_scores`; drawn with the best track on top. NaN has no colour.
        title: what the numbers are.
        path: the png to write.

    Raises:
        OSError: the file cannot be written.
    """
    with np.errstate(invalid="ignore"):  # the mean of both infinities is NaN
        scores = scores.loc[scores.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    values = scores.to_numpy(np.float64)
    tracks, runs = values.shape
    size = (3.4 + max(1.1 * runs, 2), 1.4 + 0.26 * max(tracks, 2))
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    largest = max(1.0, float(np.max(np.abs(values), initial=0, where=np.isfinite(values))))
    image = axes.imshow(values if values.size else [[np.nan]], cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if abs(value) > 0.6 * largest else INK
        text = "-" if np.isnan(value) else f"{value:.1f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
    if not values.size:
        note(axes, "no track with a score")
    names, run_names = ([readable(str(name)) for name in index] for index in (scores.index, scores.columns))
    axes.set_xticks(range(runs), run_names, fontsize=9, rotation=20, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(tracks), names, fontsize=8)
    axes.set_title(readable(title), loc="left", fontsize=11, color=INK)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("dB", fontsize=9, color=INK)
    bar.ax.tick_params(length=0, labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    save_figure(figure, path)


class Series(NamedTuple):
    """Boxes of one colour: whose they are, and the rows that they are drawn of."""

    label: str
    colour: str
    rows: pd.DataFrame


def _series(rows: pd.DataFrame, runs: Sequence[str]) -> list[Series]:
    """What has boxes side by side: each run's estimates, and the mixture where the first run scored it."""
    estimates = rows[rows["method"] == "estimate"]
    series = [
        Series(readable(run), run_colour(place), estimates[estimates["run"] == run]) for place, run in enumerate(runs)
    ]
    if len(runs) < 2:
        series = [Series("model's estimate", run_colour(0), estimates)]
    mixture = rows[(rows["method"] == "mixture") & rows["run"].isin(runs[:1])]
    return series if mixture.empty else [*series, Series("mixture as the estimate", MIXTURE_COLOUR, mixture)]


def _by_median(rows: pd.DataFrame) -> list[str]:
    """The sources whose estimates were scored, the best first."""
    scored = rows[(rows["method"] == "estimate") & rows["metric"].isin(PANELS)]
    medians = scored.pivot_table("value", "source", "metric", "median").reindex(columns=list(PANELS))
    return list(medians.sort_values(list(PANELS), ascending=False).index)


def _boxes(axes: Axes, series: Sequence[Series], sources: Sequence[str]) -> None:
    step = 0.76 / len(series)
    for place, each in enumerate(series):
        offset = step * (place - (len(series) - 1) / 2)
        for position, source in enumerate(sources):
            values = each.rows.loc[each.rows["source"] == source, "value"].to_numpy()
            if values.size:
                _box(axes, values, position + offset, step, each.colour)
    counts = series[0].rows["source"].value_counts()
    labels = [f"{readable(source, NAME_UP_TO)}\n{counts.get(source, 0)}" for source in sources]
    axes.set_xticks(range(len(sources)), labels)
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
