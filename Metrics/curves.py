"""The losses of runs as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .files import save_figure
from .plots import RUN_COLOURS, run_colour

COLOURS = {"loss": "#0072B2", "validation_loss": "#D55E00"}  # Okabe and Ito's blue and vermilion

MARKERS = "os^"

Log = Sequence[Mapping[str, float]]
"""One row a validation, with step, loss and validation_loss."""


def loss_curve(rows: Log, path: str | Path) -> None:
    """Training and validation loss over steps, the best validation marked.

    Args:
        rows: of a run.
        path: the png to write.
    """
    figure, axes = _figure()
    for name, colour in COLOURS.items():
        _line(axes, rows, name, "o-", colour, name.replace("_", " "))
    _best(axes, rows, COLOURS["validation_loss"], "best")
    _save(figure, axes, path)


def loss_curves(logs: Mapping[str, Sequence[Log]], path: str | Path) -> None:
    """Several runs' losses over steps: training dotted, validation solid, the best validation marked.

    Args:
        logs: by the runs' names; several of a run that was repeated, in its colour.
        path: the png to write.
    """
    figure, axes = _figure(width=9)
    for place, (run, repeats) in enumerate(logs.items()):
        style = MARKERS[place // len(RUN_COLOURS) % len(MARKERS)] + "-"  # where colours come again
        for number, rows in enumerate(repeats):
            _line(axes, rows, "loss", ":", run_colour(place), None)
            _line(axes, rows, "validation_loss", style, run_colour(place), None if number else run)
            _best(axes, rows, run_colour(place), None)
    axes.set_title("validation solid, training dotted, best marked", loc="left", fontsize=9)
    figure.legend(loc="outside right upper", frameon=False)
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
    top = 2 * smoothed[0] - np.nanmin(smoothed)  # where it diverges it hides all else
    axes.set_ylim(min(0.0, 1.1 * np.nanmin(smoothed)), max(top, 1.1 * smoothed[0]))
    _save(figure, axes, path)


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
    best = min(rows, key=lambda row: row["validation_loss"])
    axes.plot(best["step"], best["validation_loss"], "*", ms=13, color=colour, label=label)


def _save(figure: Figure, axes: Axes, path: str | Path) -> None:
    axes.legend(frameon=False)
    save_figure(figure, path)
