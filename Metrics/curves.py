"""The losses of runs as pictures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import AutoLocator, LogLocator, NullLocator, ScalarFormatter

from .figures import note, readable, save_figure
from .plots import RUN_COLOURS, run_colour

COLOURS = {"loss": "#0072B2", "validation_loss": "#D55E00"}  # Okabe and Ito's blue and vermilion

MARKERS = "os^"

Log = Sequence[Mapping[str, float]]
"""One row a validation, with step, loss and validation_loss."""


def loss_curve(rows: Log, path: str | Path) -> None:
    """Training and validation loss over steps, the best validation marked.

    The axis is logarithmic where all losses are positive. A loss that is no number leaves a gap.

    Args:
        rows: of a run.
        path: the png to write.
    """
    figure, axes = _figure()
    for name, colour in COLOURS.items():
        _line(axes, rows, name, "o-", colour, name.replace("_", " "))
    _best(axes, rows, COLOURS["validation_loss"], "best")
    _scale(axes, rows)
    axes.legend(frameon=False)
    save_figure(figure, path)


def loss_curves(logs: Mapping[str, Sequence[Log]], path: str | Path) -> None:
    """Several runs' losses over steps: training dotted, validation solid, the best validation marked.

    The axis is logarithmic where all losses are positive: a run that failed hides no others. A loss that is no number
    leaves a gap.

    Args:
        logs: by the runs' names; several of a run that was repeated, in its colour.
        path: the png to write.
    """
    figure, axes = _figure(width=9)
    keys = []
    for place, (run, repeats) in enumerate(logs.items()):
        style = MARKERS[place // len(RUN_COLOURS) % len(MARKERS)] + "-"  # where colours come again
        keys.append(Line2D([], [], marker=style[0], ms=3, lw=1.5, color=run_colour(place), label=readable(run)))
        for rows in repeats:
            _line(axes, rows, "loss", ":", run_colour(place), None)
            _line(axes, rows, "validation_loss", style, run_colour(place), None)
            _best(axes, rows, run_colour(place), None)
    _scale(axes, [row for repeats in logs.values() for rows in repeats for row in rows])
    axes.set_title("validation solid, training dotted, best marked", loc="left", fontsize=9)
    figure.legend(handles=keys, loc="outside right upper", frameon=False)
    save_figure(figure, path)


def rate_curve(rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray, rate: float, path: str | Path) -> None:
    """The loss of each step of a range test over its learning rate, and the rate that it suggests.

    Args:
        rates: (N,), rising.
        losses: (N,), of the batches; what is no number is left out.
        smoothed: (N,).
        rate: the suggestion.
        path: the png to write.
    """
    figure, axes = _figure()
    axes.plot(rates, losses, "o", ms=3, color="#BBBBBB", label="loss of a batch")
    axes.plot(rates, smoothed, color=COLOURS["loss"], label="smoothed")
    axes.axvline(rate, color=COLOURS["validation_loss"], label=f"suggested: {rate:.1g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    known = smoothed[np.isfinite(smoothed)]
    if known.any():
        first, least = known[0], known.min()  # where it diverges it hides all else
        axes.set_ylim(min(0.0, 1.1 * least), max(2 * first - least, 1.1 * first))
    axes.legend(frameon=False)
    save_figure(figure, path)


def _figure(width: float = 7) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(color="#E4E4E4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _line(axes: Axes, rows: Log, name: str, style: str, colour: str, label: str | None) -> None:
    steps = [row["step"] for row in rows]
    axes.plot(steps, [row[name] for row in rows], style, ms=3, lw=1.5, color=colour, label=label)


def _best(axes: Axes, rows: Log, colour: str, label: str | None) -> None:
    known = [row for row in rows if math.isfinite(row["validation_loss"])]
    if known:
        best = min(known, key=lambda row: row["validation_loss"])
        axes.plot(best["step"], best["validation_loss"], "*", ms=13, color=colour, label=label)


def _scale(axes: Axes, rows: Log) -> None:
    """Makes the axis of the losses logarithmic where it can be."""
    losses = [loss for row in rows for name in COLOURS if math.isfinite(loss := row[name])]
    if not losses:
        note(axes, "no loss that is a number")
    elif min(losses) > 0:
        axes.set_yscale("log")
        span = max(losses) / min(losses)
        axes.yaxis.set_minor_locator(NullLocator())
        if span > 10:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < 1e4 else (1,)))
            axes.yaxis.set_major_formatter("{x:g}")
        else:  # a tick or two would be all: they lie as on a linear axis
            axes.yaxis.set_major_locator(AutoLocator())
            axes.yaxis.set_major_formatter(ScalarFormatter())
